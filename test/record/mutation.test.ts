import { bytesSource, canonical, openZip, verifyRecord } from '@reprise/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { answer, offsetsThatLie, samples } from './mutation.ts'
import { nodeCrypto } from './node-crypto.ts'
import { entriesOf, pack } from './pack.ts'

describe.each(samples)('a changed record of $name', ({ signed, whole }) => {
  const accepted = answer(whole)
  const every = (step: number): number[] => Array.from({ length: Math.ceil(whole.length / step) }, (_, i) => i * step)

  test('is accepted as it is', async () => {
    expect(await accepted).not.toBe('not accepted')
  })

  test('is refused when it is cut', async () => {
    for (const lengthBytes of every(97)) expect(await answer(whole.subarray(0, lengthBytes))).toBe('not accepted')
  })

  test('is refused or answers the same after one bit changes', async () => {
    expect(await offsetsThatLie(whole, every(37), (offset) => offset % 8)).toEqual([])
  })

  test('is refused or answers the same after a byte inside an entry changes', async () => {
    const entries = entriesOf(signed())
    await fc.assert(
      fc.asyncProperty(fc.nat(entries.length - 1), fc.nat(), fc.integer({ min: 1, max: 255 }), async (i, at, mask) => {
        const content = Uint8Array.from(entries[i].content)
        if (content.length === 0) return
        content[at % content.length] ^= mask
        const got = await answer(await pack(entries.map((entry, k) => (k === i ? { ...entry, content } : entry))))
        expect([await accepted, 'not accepted']).toContain(got)
      }),
      { numRuns: 80 },
    )
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

describe('random bytes', () => {
  const [, { signed, whole }] = samples

  test('are never accepted, and throw nothing but EvidenceError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        expect(await answer(bytes)).toBe('not accepted')
        expect(await answer(Buffer.concat([whole.subarray(0, 60), bytes]))).toBe('not accepted')
      }),
      { numRuns: 150 },
    )
  })

  test('in the place of one entry are never accepted', async () => {
    const entries = entriesOf(signed())
    const notBlobs = (await openZip(bytesSource(whole))).filter(({ name }) => !name.startsWith('blobs/')).length
    await fc.assert(
      fc.asyncProperty(fc.nat(notBlobs - 1), fc.uint8Array({ maxLength: 100 }), async (i, content) => {
        expect(await answer(await pack(entries.map((entry, k) => (k === i ? { ...entry, content } : entry))))).toBe(
          'not accepted',
        )
      }),
      { numRuns: 50 },
    )
  })
})
