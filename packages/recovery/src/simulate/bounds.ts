/** How sure a rate is that was counted: Clopper and Pearson's exact bounds, spec/recovery.md §9. */

export interface Rate {
  readonly count: number
  readonly trials: number
  /** count / trials; undefined without trials. */
  readonly rate: number | undefined
  /** 95 %: two-sided, or one-sided when nothing or everything was counted. */
  readonly low: number
  readonly high: number
}

export function rateOf(count: number, trials: number): Rate {
  if (trials === 0) return { count, trials, rate: undefined, low: 0, high: 1 }
  const low = count === 0 ? 0 : count === trials ? 0.05 ** (1 / trials) : betaQuantile(0.025, count, trials - count + 1)
  const high =
    count === trials ? 1 : count === 0 ? 1 - 0.05 ** (1 / trials) : betaQuantile(0.975, count + 1, trials - count)
  return { count, trials, rate: count / trials, low, high }
}

function betaQuantile(probability: number, a: number, b: number): number {
  let low = 0
  let high = 1
  // Sixty halvings are the precision of a number.
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (betaCumulative(middle, a, b) < probability) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** The regularised incomplete beta function by its continued fraction (Numerical Recipes, §6.4). */
export function betaCumulative(x: number, a: number, b: number): number {
  if (x <= 0) return 0
  if (x >= 1) return 1
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x))
  return x < (a + 1) / (a + b + 2) ? (front * fraction(x, a, b)) / a : 1 - (front * fraction(1 - x, b, a)) / b
}

function fraction(x: number, a: number, b: number): number {
  const tiny = 1e-300
  let c = 1
  let d = 1 / (1 - ((a + b) * x) / (a + 1) || tiny)
  let value = d
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / (1 + even * d || tiny)
    c = 1 + even / c || tiny
    value *= d * c
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / (1 + odd * d || tiny)
    c = 1 + odd / c || tiny
    value *= d * c
    if (Math.abs(d * c - 1) < 1e-14) break
  }
  return value
}

/** Lanczos's approximation, good to 15 digits. */
function logGamma(x: number): number {
  const coefficients = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ]
  const shifted = x - 1
  const sum = coefficients.reduce((total, each, i) => total + (i === 0 ? each : each / (shifted + i)), 0)
  const t = shifted + 7.5
  return 0.5 * Math.log(2 * Math.PI) + (shifted + 0.5) * Math.log(t) - t + Math.log(sum)
}
