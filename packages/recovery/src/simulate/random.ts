/** Random numbers that a seed decides: xoshiro128** (Blackman and Vigna), one stream for each purpose. */

export interface Random {
  /** At least 0, below 1. */
  readonly next: () => number
  readonly chance: (probability: number) => boolean
  readonly below: (count: number) => number
  readonly uniform: (from: number, to: number) => number
  /** @param sigma - Of the logarithm. */
  readonly logNormal: (median: number, sigma: number) => number
  readonly normal: (sigma: number) => number
}

/** @param seed - A whole number up to 2^53. @param stream - Its purpose: streams of one seed have nothing in common. */
export function randomFrom(seed: number, stream: string): Random {
  let mix = (seed ^ (seed / 2 ** 32)) >>> 0
  for (const char of stream) mix = Math.imul(mix ^ char.charCodeAt(0), 0x01000193) >>> 0
  const [a, b, c, d] = [splitMix(), splitMix(), splitMix(), splitMix()]
  function splitMix(): number {
    mix = (mix + 0x9e3779b9) >>> 0
    let z = mix
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  return distributions(generator(a, b, c, d))
}

function generator(a: number, b: number, c: number, d: number): () => number {
  return () => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result / 2 ** 32
  }
}

function distributions(next: () => number): Random {
  const normal = (sigma: number): number =>
    // 1 - u is never 0, of which there is no logarithm.
    sigma * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  return {
    next,
    chance: (probability) => next() < probability,
    below: (count) => Math.floor(next() * count),
    uniform: (from, to) => from + (to - from) * next(),
    logNormal: (median, sigma) => median * Math.exp(normal(sigma)),
    normal,
  }
}
