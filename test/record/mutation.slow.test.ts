import { describe, expect, test } from 'vitest'
import { answer, offsetsThatLie, samples } from './mutation.ts'

const [run, resumed] = samples

describe('a changed record', () => {
  test('is refused when it is cut, at every length', async () => {
    const { whole } = run
    for (let lengthBytes = 0; lengthBytes < whole.length; lengthBytes++)
      expect(await answer(whole.subarray(0, lengthBytes))).toBe('not accepted')
  })

  test.each([0, 3, 7])('is refused or answers the same after bit %i of any byte changes', async (bit) => {
    expect(await offsetsThatLie(run.whole, run.whole.keys(), () => bit)).toEqual([])
  })

  test('is refused or answers the same after one bit of any byte changes, with attempts and snapshots', async () => {
    expect(await offsetsThatLie(resumed.whole, resumed.whole.keys(), (offset) => offset % 8)).toEqual([])
  })
})
