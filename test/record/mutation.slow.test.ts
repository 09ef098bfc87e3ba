import { describe, expect, test } from 'vitest'
import { answer, offsetsThatLie, samples } from './mutation.ts'

const [run, resumed] = samples
/** By day a sixth of the bytes, another bit of each; the fuzzers have the rest. */
const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'
const bytesOf = (whole: Uint8Array): Iterable<number> =>
  NIGHTLY ? whole.keys() : [...whole.keys()].filter((offset) => offset % 6 === 0)

describe('a changed record', () => {
  test('is refused when it is cut, at every length', async () => {
    const { whole } = run
    for (let lengthBytes = 0; lengthBytes < whole.length; lengthBytes++)
      expect(await answer(whole.subarray(0, lengthBytes))).toBe('not accepted')
  })

  test.each(NIGHTLY ? [0, 1, 2, 3, 4, 5, 6, 7] : [0])(
    'is refused or answers the same after bit %i of any byte changes',
    async (bit) => {
      expect(await offsetsThatLie(run.whole, bytesOf(run.whole), () => bit)).toEqual([])
    },
  )

  test('is refused or answers the same after one bit of any byte changes, with attempts and snapshots', async () => {
    expect(await offsetsThatLie(resumed.whole, bytesOf(resumed.whole), (offset) => Math.trunc(offset / 6) % 8)).toEqual(
      [],
    )
  })
})
