import { bytesSource, canonical, verifyRecord } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { answer, offsetsThatLie, samples } from './mutation.ts'
import { nodeCrypto } from './node-crypto.ts'
import { entriesOf, pack } from './pack.ts'

/** How much farther from each other the changes are for a commit. */
const APART = process.env['REPRISE_TESTS'] === 'check' ? 4 : 1

describe.each(samples)('a changed record of $name', ({ signed, whole }) => {
  const every = (step: number): number[] => Array.from({ length: Math.ceil(whole.length / step) }, (_, i) => i * step)

  test('is accepted as it is', async () => {
    expect(await answer(whole)).not.toBe('not accepted')
  })

  test('is refused when it is cut', async () => {
    for (const lengthBytes of every(97 * APART))
      expect(await answer(whole.subarray(0, lengthBytes))).toBe('not accepted')
  })

  test('is refused or answers the same after one bit changes', async () => {
    expect(await offsetsThatLie(whole, every(37 * APART), (offset) => offset % 8)).toEqual([])
  })

  test('is refused without any of its entries, but for blobs', async () => {
    const entries = entriesOf(signed())
    for (const [i, { name }] of entries.entries()) {
      const result = await answer(await pack(entries.toSpliced(i, 1)))
      if (!name.startsWith('blobs/')) expect([name, result]).toEqual([name, 'not accepted'])
    }
  })

  test('says the same of the run when its blobs are taken out, and that they were not checked', async () => {
    const entries = entriesOf(signed()).filter(({ name }) => !name.startsWith('blobs/'))
    const verify = async (bytes: Uint8Array): Promise<string> => {
      const { notChecked, attached: _, ...result } = await verifyRecord(bytesSource(bytes), { crypto: nodeCrypto })
      expect(notChecked.some(({ what }) => what === 'contents')).toBe(bytes !== whole)
      return canonical(result)
    }
    expect(await verify(await pack(entries))).toBe(await verify(whole))
  })
})
