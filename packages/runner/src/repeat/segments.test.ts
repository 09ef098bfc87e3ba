import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { choose } from './segments.ts'

const some = (count: number) =>
  Array.from({ length: count }, (_, segment) => ({ segment, first: 2 * segment, last: 2 * segment + 2 }))
const numbersOf = (chosen: readonly { readonly segment: number }[]): number[] => chosen.map(({ segment }) => segment)

describe('the segments that are repeated', () => {
  test('are all of them, or those that are named', () => {
    const weights = [1, 1, 1, 1]
    expect(numbersOf(choose(some(4), weights, { kind: 'all' }))).toEqual([0, 1, 2, 3])
    expect(numbersOf(choose(some(4), weights, { kind: 'range', first: 1, last: 2 }))).toEqual([1, 2])
    for (const [first, last] of [
      [3, 4],
      [2, 1],
      [9, 9],
    ]) {
      expect(() => choose(some(4), weights, { kind: 'range', first, last })).toThrow('segments 0 to 3')
    }
  })

  test('are drawn each once, in order, as many as are wanted or there are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 30 }),
        (weights, count) => {
          const drawn = numbersOf(choose(some(weights.length), weights, { kind: 'sample', count }))
          expect(drawn).toHaveLength(Math.min(count, weights.length))
          expect(drawn).toEqual([...new Set(drawn)].sort((a, b) => a - b))
        },
      ),
    )
  })

  test('are drawn in proportion to their length, one that takes no time among them', () => {
    const drawn = Array.from(
      { length: 3000 },
      () => choose(some(3), [0, 10, 30], { kind: 'sample', count: 1 })[0].segment,
    )
    const share = (segment: number): number => drawn.filter((one) => one === segment).length / drawn.length
    // 1, 10 and 30 of 41; six standard deviations are below 0.055.
    expect(Math.abs(share(0) - 1 / 41)).toBeLessThan(0.055)
    expect(Math.abs(share(1) - 10 / 41)).toBeLessThan(0.055)
    expect(Math.abs(share(2) - 30 / 41)).toBeLessThan(0.055)
  })
})
