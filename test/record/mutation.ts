/** What must hold of a changed record (spec/record.md §7). */
import { bytesSource, canonical, EvidenceError, verifyRecord } from '@reprise/core'
import { inflateWhole } from '../../packages/runner/src/record/inflate.ts'
import { told } from './cases/power.ts'
import { secondAttempt } from './cases/resumed.ts'
import { nodeCrypto } from './node-crypto.ts'
import { packed } from './pack.ts'
import { draft, sign, type Draft, type Signed } from './sample.ts'
import { takeSnapshot } from './snapshot.ts'

/** A run in one go, one of two attempts with snapshots that are attached, and one with statements about its host's power. */
export const samples: readonly { readonly name: string; readonly signed: () => Signed; readonly whole: Uint8Array }[] =
  await Promise.all(
    [
      { name: 'a run', signed: () => sign(draft()) },
      { name: 'a run that went on', signed: () => sign(resumed()) },
      { name: 'a run whose host went down', signed: () => sign(wentDown()) },
    ].map(async (sample) => ({ ...sample, whole: await packed(sample.signed()) })),
  )

export function resumed(): Draft {
  const run = draft()
  secondAttempt(run, 0, 8)
  takeSnapshot(run, 3)
  return run
}

function wentDown(): Draft {
  const run = draft()
  told(run)
  return run
}

/**
 * All that a record that verifies answers, as one text; otherwise that it was not accepted.
 *
 * @param inflating - With the streams of the web, or small entries at once, as Node does it.
 */
export async function answer(bytes: Uint8Array, inflating: 'as a stream' | 'at once' = 'as a stream'): Promise<string> {
  const source = bytesSource(bytes)
  try {
    const result = await verifyRecord(inflating === 'at once' ? { ...source, inflate: inflateWhole } : source, {
      crypto: nodeCrypto,
    })
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
