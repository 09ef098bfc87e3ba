/** Records of runs that are not what was measured: changed after signing, or measured against the rules and signed so. */
import { hex, outcomeOutputsRoot, type Outcome } from '@reprise/core'
import { nodeCrypto } from '../node-crypto.ts'
import { outputOf, RESULT, type Draft, type Mutable, type Signed } from '../sample.ts'
import { entryOf, refuted, type RecordCase } from './case.ts'

function outcomeOf({ outcome }: { outcome: Mutable<Outcome> | null }): Mutable<Outcome> {
  if (outcome === null) throw new Error('the sample has an outcome')
  return outcome
}

function changed(name: string, why: string, change: (signed: Signed) => void): RecordCase {
  return refuted(name, why, ['BATCH'], { signed: change })
}

export const runCases: readonly RecordCase[] = [
  changed('criteria-loosened', 'The tolerance in the success criteria was widened afterwards.', ({ document }) => {
    document.computation.success.splice(1, 1, { output: 'result.csv', compare: { kind: 'numbers', abs: 1, rel: 1 } })
  }),
  changed('arguments-changed', 'Another command line than the one that was run.', ({ document }) => {
    document.computation.arguments[1] = 'better.csv'
  }),
  changed(
    'seed-changed',
    'Another seed than the one that was used.',
    ({ document }) => (document.computation.seed = '1'),
  ),
  changed('environment-changed', 'Another CPU than the one that it ran on.', ({ document }) => {
    document.attempts[0].environment.cpu = 'a better CPU'
  }),
  changed('time-changed', 'Another start than the one that was signed.', ({ document }) => {
    document.attempts[0].environment.startedAt = '2020-01-01T00:00:00Z'
  }),
  changed('run-id-changed', 'The id of another run.', ({ document }) => (document.run = '6'.repeat(64))),
  changed('exit-code-changed', 'A failure made a success.', ({ document }) => (outcomeOf(document).exit = { code: 1 })),
  changed(
    'state-changed',
    'Another state at a checkpoint.',
    ({ checkpoints }) => (checkpoints[3].state = '7'.repeat(64)),
  ),
  changed(
    'position-changed',
    'Another position of a checkpoint.',
    ({ checkpoints }) => (checkpoints[3].position = '2001'),
  ),
  refuted('output-exchanged', 'Another result, with its own digests, in outcome and blobs.', ['BATCH', 'OUTCOME'], {
    signed(signed) {
      const better = Buffer.from(RESULT)
      better[0] = 0x39
      outcomeOf(signed.document).outputs[2] = outputOf('result.csv', better)
      const { sha256, length } = outputOf('result.csv', better)
      const at = signed.blobs.findIndex(({ bytes }) => bytes === RESULT)
      signed.blobs[at] = { sha256, lengthBytes: length, bytes: better, open: () => [better] }
    },
  }),
  refuted('output-digest-lies', 'The outcome gives another digest for an output whose page root is right.', ['BATCH'], {
    signed(signed) {
      outcomeOf(signed.document).outputs[2].sha256 = '8'.repeat(64)
      signed.blobs = signed.blobs.filter(({ bytes }) => bytes !== RESULT)
    },
  }),
  refuted('outcome-missing', 'A final checkpoint, and no outcome.', ['BATCH', 'OUTCOME'], {
    signed(signed) {
      signed.document.outcome = null
      signed.blobs = signed.blobs.filter(({ bytes }) => bytes !== RESULT && bytes.length !== 9)
    },
  }),
  refuted('outcome-not-measured', 'A final checkpoint, and no outcome. An honest TPM signed it.', ['OUTCOME'], {
    draft(draft) {
      draft.outcome = null
      draft.contents.splice(2, 2)
    },
  }),
  refuted('outcome-without-end', 'An outcome, and the run did not end.', ['INCOMPLETE', 'OUTCOME'], {
    draft(draft) {
      draft.checkpoints.length = 3
      draft.quotes.length = 2
    },
  }),
  refuted(
    'checkpoint-left-out',
    'A checkpoint is missing in the middle.',
    ['ATTESTATION_ORDER', 'BATCH', 'CHECKPOINT_ORDER'],
    {
      signed: ({ checkpoints }) => void checkpoints.splice(1, 1),
    },
  ),
  refuted('checkpoints-swapped', 'Two checkpoints in the wrong order.', ['BATCH', 'CHECKPOINT_ORDER'], {
    signed: ({ checkpoints }) => void checkpoints.splice(1, 2, checkpoints[2], checkpoints[1]),
  }),
  lie('seq-gap', 'A number is left out in the counting of checkpoints.', ({ checkpoints }) => (checkpoints[1].seq = 9)),
  lie(
    'first-not-at-zero',
    'The first checkpoint is not at position 0.',
    ({ checkpoints }) => (checkpoints[0].position = '5'),
  ),
  lie(
    'position-back',
    'A requested checkpoint before the one before it.',
    ({ checkpoints }) => (checkpoints[2].position = '900'),
  ),
  lie(
    'grid-too-early',
    'A grid checkpoint before the next multiple of the fuel.',
    ({ checkpoints }) => (checkpoints[3].position = '1999'),
  ),
  lie(
    'grid-twice-in-a-stride',
    'A grid checkpoint after the one of the same multiple of the fuel.',
    ({ checkpoints }) => (checkpoints[2].kind = 1),
  ),
  lie(
    'first-of-other-kind',
    'The first checkpoint is a requested one.',
    ({ checkpoints }) => (checkpoints[0].kind = 2),
  ),
  lie('grid-under-none', 'A grid checkpoint where the computation wants none.', ({ computation }) => {
    computation.checkpoints = { kind: 'none' }
  }),
  lie('grid-under-outputs', 'A grid checkpoint where the computation wants them at outputs.', ({ computation }) => {
    computation.checkpoints = { kind: 'outputs' }
  }),
  lie('two-ends', 'A checkpoint after the final one.', ({ checkpoints }) => (checkpoints[3].kind = 3)),
  refuted('pages-lie', 'An outcome whose page root is not that of its content, measured and signed so.', ['BLOB'], {
    draft(draft) {
      const outcome = outcomeOf(draft)
      outcome.outputs[1].pages = outcome.outputs[0].pages
      relabel(draft)
    },
  }),
  refuted('blob-content', 'An attached file with another content, of the same length.', ['BLOB'], {
    entries(entries) {
      const blob = entryOf(entries, 'blobs/')
      blob.content = Buffer.from(blob.content).fill(0x2a)
    },
  }),
  refuted('blob-length', 'An attached file with another length.', ['BLOB'], {
    entries: (entries) => (entryOf(entries, 'blobs/').content = new Uint8Array(1)),
  }),
]

function lie(name: string, why: string, change: (draft: Draft) => void): RecordCase {
  return refuted(name, `${why} An honest TPM signed it.`, ['CHECKPOINT_ORDER'], { draft: change })
}

/** Gives all checkpoints the root of the outcome, after it was changed. */
function relabel(draft: Draft): void {
  const root = hex(outcomeOutputsRoot(outcomeOf(draft), nodeCrypto.sha256))
  for (const checkpoint of draft.checkpoints) checkpoint.outputs = root
}
