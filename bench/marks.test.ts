import { describe, expect, test } from 'vitest'
import { between, type Mark, steady } from './marks.ts'

const at = (...seconds: readonly number[]): Mark[] => seconds.map((wallS) => ({ processS: 2 * wallS, wallS }))

describe('steady', () => {
  test('leaves the first rounds out', () => {
    expect(steady(at(0, 9, 11, 12, 13, 14), 'wallS')).toBeCloseTo(1)
    expect(steady(at(0, 9, 11, 12, 13, 14), 'processS')).toBeCloseTo(2)
  })

  test('is not told of too few rounds, nor by a clock that nobody read', () => {
    expect(() => steady(at(0, 9), 'wallS')).toThrow(/1 rounds are too few/)
    expect(() => steady(at(0, 9, 11, 12), 'threadS')).toThrow('nobody read threadS')
  })
})

test('between is the mean of the rounds between two marks', () => {
  expect(between(at(0, 9, 11, 13), { first: 1, last: 3 }, 'wallS')).toBe(2)
})
