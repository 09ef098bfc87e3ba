/** Two histories of one run: each attestation commits to all before it, so of two one is the other's beginning, or they have parted. */
import type { Attestation } from '@reprise/core'
import { Cursor } from './sections.ts'

export type HistoryComparison =
  /** One is the beginning of the other, `same` of both. */
  | { readonly kind: 'same' | 'a-is-longer' | 'b-is-longer' }
  | {
      readonly kind: 'fork'
      /** The last attestation that is in both. */
      readonly agreed: Attestation | undefined
      /** The first one that is not. */
      readonly a: Attestation
      readonly b: Attestation
    }

interface History {
  attestations(): AsyncIterable<readonly Attestation[]>
}

export async function compareHistories(a: History, b: History): Promise<HistoryComparison> {
  await using ofA = new Cursor(a.attestations())
  await using ofB = new Cursor(b.attestations())
  for (let agreed: Attestation | undefined; ;) {
    const [inA, inB] = [await ofA.next(), await ofB.next()]
    if (inA === undefined) return { kind: inB === undefined ? 'same' : 'b-is-longer' }
    if (inB === undefined) return { kind: 'a-is-longer' }
    if (inA.attest !== inB.attest || inA.signature !== inB.signature) return { kind: 'fork', agreed, a: inA, b: inB }
    agreed = inA
  }
}
