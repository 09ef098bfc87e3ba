/** Random numbers that a target, a seed and the number of an input decide, and nothing else. */
import { createHash } from 'node:crypto'

/** @returns An integer from 0 to below `end`. */
export type Random = (end: number) => number

/** sfc32 (Chris Doty-Humphrey, PractRand), from four words of SHA-256: neighbouring inputs have nothing in common. */
export function randomOf(target: string, seed: number, input: number): Random {
  const words = createHash('sha256').update(`${target} ${seed} ${input}`).digest()
  let [a, b, c, counter] = [0, 4, 8, 12].map((at) => words.readInt32LE(at))
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return sum >>> 0
  }
  return (end) => Math.floor((next() / 2 ** 32) * end)
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)]
}

/** True once in `times`, on average. */
export function once(random: Random, times: number): boolean {
  return random(times) === 0
}
