/** What must hold of a changed record (spec/record.md §7). */
import { bytesSource, canonical, EvidenceError, verifyRecord } from '@reprise/core'
import { nodeCrypto } from './node-crypto.ts'

/** All that a record that verifies answers, as one text; otherwise that it was not accepted. */
export async function answer(bytes: Uint8Array): Promise<string> {
  try {
    const result = await verifyRecord(bytesSource(bytes), { crypto: nodeCrypto })
    return result.evidence === 'verified' ? canonical(result) : 'not accepted'
  } catch (error) {
    if (error instanceof EvidenceError) return 'not accepted'
    throw error
  }
}

/** Changes one bit in each of the bytes, and collects the offsets at which the answer then is another one. */
export async function offsetsThatLie(
  whole: Uint8Array,
  offsets: Iterable<number>,
  bitOf: (offset: number) => number,
): Promise<number[]> {
  const expected = await answer(whole)
  const lies: number[] = []
  for (const offset of offsets) {
    const changed = Uint8Array.from(whole)
    changed[offset] ^= 1 << bitOf(offset)
    const got = await answer(changed)
    if (got !== expected && got !== 'not accepted') lies.push(offset)
  }
  return lies
}
