import { CHECKPOINT_GRID, type Attestation } from '@reprise/core'
import { expect, test } from 'vitest'
import { nodeCrypto } from '../crypto.ts'
import type { JournalWriter } from '../journal/index.ts'
import { createEvidence } from './evidence.ts'

function created() {
  const written: string[] = []
  const journal: JournalWriter = {
    append: ({ kind }) => void written.push(kind),
    sync: async () => void written.push('sync'),
    failure: () => undefined,
    [Symbol.asyncDispose]: async () => {},
  }
  const { sha256 } = nodeCrypto
  const evidence = createEvidence({ computationId: new Uint8Array(32), journal, sha256, clock: () => 0 })
  const measurement = { position: 0n, stateRoot: new Uint8Array(32), outputsRoot: new Uint8Array(32) }
  evidence.add({ seq: 0, kind: CHECKPOINT_GRID, measurement })
  return { evidence, written }
}

/** As far as evidence reads one. */
const ATTESTATION = { seq: 0 } as Attestation

test('what is signed goes to the disk at once', () => {
  const { evidence, written } = created()
  expect(written).toEqual(['checkpoint'])
  evidence.onReceipt(ATTESTATION)
  expect(written).toEqual(['checkpoint', 'attestation', 'sync'])
  expect(evidence.state()).toMatchObject({ signedSeq: 0, attestations: 1 })
})

test('so does what shows that the host is not one to go on with, and nothing comes after it', () => {
  const { evidence, written } = created()
  evidence.stop(ATTESTATION)
  evidence.onReceipt(ATTESTATION)
  expect(written).toEqual(['checkpoint', 'changed', 'attestation', 'sync'])
  expect(evidence.state()).toMatchObject({ signedSeq: -1, attestations: 1 })
})
