import { describe, expect, test } from 'vitest'
import { confidence, segmentBounds } from './index.ts'

describe('segmentBounds', () => {
  const bounds = (seqs: number[], lastSeq: number): number[] =>
    segmentBounds(
      seqs.map((seq) => ({ seq })),
      lastSeq,
    )

  test('are the start, every snapshot and the end', () => {
    expect(bounds([], 4)).toEqual([0, 4])
    expect(bounds([1, 3], 4)).toEqual([0, 1, 3, 4])
  })

  test('count a snapshot at the end, and nothing beyond it', () => {
    expect(bounds([1, 4], 4)).toEqual([0, 1, 4])
    expect(bounds([1, 9], 4)).toEqual([0, 1, 4])
  })

  test('count a snapshot at the start, where there should be none, once', () => {
    expect(bounds([0, 2], 4)).toEqual([0, 2, 4])
    expect(bounds([-1, 2], 4)).toEqual([0, 2, 4])
  })

  test('of nothing, or of a start alone, hold no segment', () => {
    expect([bounds([], -1), bounds([], 0)]).toEqual([[], [0]])
  })
})

describe('confidence', () => {
  test('is 0 without a repetition and 1 when everything was repeated', () => {
    expect([confidence({ total: 10, repeated: 0 }), confidence({ total: 10, repeated: 10 })]).toEqual([0, 1])
    expect([confidence({ total: 0, repeated: 0 }), confidence({ total: 0, repeated: 1 })]).toEqual([0, 0])
    expect([confidence({ total: 10, repeated: -1 }), confidence({ total: 10, repeated: 11 })]).toEqual([0, 1])
    expect(confidence({ total: 2, repeated: 1, weights: [0, 0] })).toBe(0)
  })

  test('grows as 1 - (1 - w)^m', () => {
    expect(confidence({ total: 10, repeated: 1 })).toBeCloseTo(0.1)
    expect(confidence({ total: 10, repeated: 3 })).toBeCloseTo(1 - 0.9 ** 3)
  })

  test('is that of the lightest segment', () => {
    expect(confidence({ total: 3, repeated: 2, weights: [5, 4, 1] })).toBeCloseTo(1 - 0.9 ** 2)
    expect(confidence({ total: 2, repeated: 1, weights: [5, 0] })).toBe(0)
  })

  test('is no more than drawing without putting back finds', () => {
    const weights = [5, 3, 2, 1]
    for (const [bad] of weights.entries())
      expect(found(weights, 2, bad)).toBeGreaterThanOrEqual(confidence({ total: 4, repeated: 2, weights }))
  })

  /** The chance that `draws` draws in proportion to the weights, without putting back, come upon `bad`. */
  function found(weights: readonly number[], draws: number, bad: number): number {
    if (draws === 0) return 0
    const sum = weights.reduce((a, b) => a + b, 0)
    return weights.reduce((chance, weight, i) => {
      const rest = weights.map((each, k) => (k === i ? 0 : each))
      return chance + (weight / sum) * (i === bad ? 1 : found(rest, draws - 1, bad))
    }, 0)
  }
})
