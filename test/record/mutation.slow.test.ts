import { describe, expect, test } from 'vitest'
import { answer, offsetsThatLie } from './mutation.ts'
import { packed } from './pack.ts'
import { draft, sign } from './sample.ts'

const whole = await packed(sign(draft()))

describe('a changed record', () => {
  test('is refused when it is cut, at every length', async () => {
    for (let lengthBytes = 0; lengthBytes < whole.length; lengthBytes++)
      expect(await answer(whole.subarray(0, lengthBytes))).toBe('not accepted')
  })

  test.each([0, 3, 7])('is refused or answers the same after bit %i of any byte changes', async (bit) => {
    expect(await offsetsThatLie(whole, whole.keys(), () => bit)).toEqual([])
  })
})
