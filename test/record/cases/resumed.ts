/** Records of runs of several attempts: those that went on as they should, and those that did not. */
import { computationId, hex, snapshotsStart, utf8 } from '@reprise/core'
import { eccTpm } from '../imitation-tpm.ts'
import { nodeCrypto } from '../node-crypto.ts'
import { chainOf, clockAt, draft, sampleEnvironment, sign, stateOf, type Draft, type PlannedQuote } from '../sample.ts'
import { takeSnapshot } from '../snapshot.ts'
import { refuted, unverifiable, verified, type RecordCase } from './case.ts'

const GAP = ['ATTEMPT_GAP'] as const

function goOn(draft: Draft, from: number, host: number): void {
  const attempt = draft.attempts.length + 1
  const environment = { ...sampleEnvironment(), startedAt: `2026-11-22T0${attempt + 2}:00:00Z` }
  draft.attempts.push({ attempt, environment, firstSeq: from + 1, from, host })
}

/** One after the other: which attempt signs which checkpoint, with which resetCount. */
function quotes(...planned: readonly (readonly [attempt: number, seq: number, resetCount: number])[]): PlannedQuote[] {
  return planned.map(([attempt, seq, resetCount], i) => ({
    attempt,
    seq,
    clockInfo: clockAt(60_000 + i, resetCount),
    batch: { others: 0, index: 0 },
  }))
}

/** Goes on with a second attempt from a snapshot of checkpoint 1, on a host of one's choice; checkpoint 2 was signed before. */
export function secondAttempt(draft: Draft, host: number, resetCount: number): void {
  takeSnapshot(draft, 1)
  goOn(draft, 1, host)
  draft.quotes = quotes([1, 0, 7], [1, 2, 7], [2, 3, resetCount], [2, 4, resetCount])
}

export function otherHost(draft: Draft): void {
  draft.hosts.push({ tpm: eccTpm('host 1'), ek: null })
  secondAttempt(draft, 1, 3)
}

export const resumedCases: readonly RecordCase[] = [
  verified(
    'two-attempts',
    'The run went on after a reboot of its host.',
    { draft: (draft) => secondAttempt(draft, 0, 8) },
    GAP,
  ),
  verified(
    'two-hosts',
    'The run went on on another host, whose TPM knows nothing of the first one.',
    { draft: otherHost },
    GAP,
  ),
  verified(
    'two-hosts-certified',
    'The run went on on another host; each of them has an endorsement certificate of its own.',
    {
      draft(draft) {
        otherHost(draft)
        for (const [i, host] of draft.hosts.entries()) {
          host.ek = utf8(`stands for the EK certificate of host ${i}`)
          draft.attempts[i].environment.ekCertificate = hex(nodeCrypto.sha256(host.ek))
        }
      },
    },
    GAP,
  ),
  verified('attempt-same-start', 'The run was killed and went on; its host was there all the time.', {
    draft: (draft) => secondAttempt(draft, 0, 7),
  }),
  verified(
    'attempt-signs-again',
    'The second attempt computes checkpoints again that were signed before, and has them signed as well.',
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        draft.quotes = quotes([1, 0, 7], [1, 2, 7], [1, 3, 7], [2, 2, 8], [2, 3, 8], [2, 4, 8])
      },
    },
    GAP,
  ),
  verified(
    'three-attempts',
    'Two attempts from one snapshot, on two hosts, and a third one from a later snapshot, back on the first host.',
    {
      draft(draft) {
        otherHost(draft)
        takeSnapshot(draft, 3)
        goOn(draft, 3, 0)
        draft.quotes = quotes([1, 0, 7], [1, 2, 7], [2, 2, 3], [2, 3, 3], [3, 4, 7])
      },
    },
    GAP,
  ),
  unverifiable(
    'attempt-cut-short',
    'The second attempt broke off before it came as far as the first one, and the record shows all that was signed.',
    ['ATTEMPT_GAP', 'INCOMPLETE'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        draft.checkpoints.length = 4
        draft.outcome = null
        draft.contents.splice(2, 2)
        draft.quotes = quotes([1, 0, 7], [1, 3, 7], [2, 2, 8])
      },
    },
  ),
  refuted(
    'attempt-from-nowhere',
    'The second attempt goes on from a checkpoint without a snapshot. An honest TPM signed it.',
    ['ATTEMPT_GAP', 'SNAPSHOT'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        draft.snapshots.length = 0
        draft.contents.length = 5
      },
    },
  ),
  refuted(
    'attempt-from-unsigned',
    'The second attempt goes on from checkpoint 3; nobody signed that one before.',
    ['ATTEMPT_GAP', 'ATTESTATION_ORDER'],
    {
      draft(draft) {
        takeSnapshot(draft, 3)
        goOn(draft, 3, 0)
        draft.quotes = quotes([1, 0, 7], [1, 2, 7], [2, 4, 8])
      },
    },
  ),
  refuted(
    'attempt-diverged',
    'What was computed again is not what the first attempt had signed.',
    ['ATTEMPT_GAP', 'BATCH'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        const first = { ...draft, checkpoints: structuredClone(draft.checkpoints) }
        first.checkpoints[2].state = stateOf(99)
        draft.quotes[1].told = { cumulative: chainOf(first)[2] }
      },
    },
  ),
  refuted(
    'attempt-diverged-again',
    'The second attempt signed a checkpoint that the first one had signed already, with another state.',
    ['ATTEMPT_GAP', 'BATCH'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        draft.quotes = quotes([1, 0, 7], [1, 3, 7], [2, 2, 8], [2, 4, 8])
        const second = { ...draft, checkpoints: structuredClone(draft.checkpoints) }
        second.checkpoints[2].state = stateOf(99)
        draft.quotes[2].told = { cumulative: chainOf(second)[2] }
      },
    },
  ),
  refuted(
    'attempt-signs-before',
    'The second attempt has a checkpoint signed that it did not compute.',
    ['ATTEMPT_GAP', 'ATTESTATION_ORDER'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        draft.quotes = quotes([1, 0, 7], [1, 2, 7], [2, 1, 8], [2, 4, 8])
      },
    },
  ),
  refuted('attempts-exchanged', 'Two attempts with the environment of each other.', ['ATTEMPT_GAP', 'BATCH'], {
    draft: (draft) => secondAttempt(draft, 0, 8),
    signed({ document: { attempts } }) {
      const [{ environment }] = attempts
      attempts[0].environment = attempts[1].environment
      attempts[1].environment = environment
    },
  }),
  refuted(
    'attempts-swapped',
    'What the second attempt signed stands before what the first one did.',
    ['ATTESTATION_ORDER', 'BATCH', 'FIRST_UNSIGNED'],
    {
      draft: (draft) => secondAttempt(draft, 0, 7),
      signed: ({ attestations }) => void attestations.push(...attestations.splice(0, 2)),
    },
  ),
  refuted(
    'attempt-of-other-run',
    'The second attempt of another run of the same computation, on the same two hosts.',
    ['ATTEMPT_GAP', 'BATCH'],
    {
      draft: otherHost,
      signed({ attestations }) {
        const other = draft()
        other.run = '5'.repeat(64)
        otherHost(other)
        attestations.splice(2, 2, ...sign(other).attestations.slice(2))
      },
    },
  ),
  refuted(
    'attempt-on-other-host',
    'The record says that the second attempt was on the first host; another one signed it.',
    ['ATTEMPT_GAP', 'ATTEST', 'ATTESTATION_ORDER', 'BATCH', 'SIGNATURE'],
    {
      draft: otherHost,
      signed({ document, evidence }) {
        document.attempts[1].host = 0
        document.hosts.length = 1
        evidence.delete('evidence/ak-1.tpmt')
      },
    },
  ),
  refuted('attempt-from-left-out', 'A second attempt that does not say where it goes on.', ['SCHEMA'], {
    draft: (draft) => secondAttempt(draft, 0, 8),
    signed: ({ document }) => (document.attempts[1].from = null),
  }),
  refuted('attempt-leaves-out', 'A second attempt that begins two checkpoints after its snapshot.', ['SCHEMA'], {
    draft(draft) {
      secondAttempt(draft, 0, 8)
      draft.attempts[1].firstSeq = 3
    },
  }),
  refuted(
    'attempt-unsigned',
    'A second attempt of which nothing is signed could say anything.',
    ['ATTESTATION_ORDER'],
    {
      draft: (draft) => takeSnapshot(draft, 1),
      signed: ({ document: { attempts } }) => void attempts.push({ ...attempts[0], attempt: 2, firstSeq: 2, from: 1 }),
    },
  ),
  refuted(
    'snapshot-signed-late',
    'The attestation of checkpoint 2 does not cover the snapshot of checkpoint 1, from which the second attempt goes on.',
    ['ATTEMPT_GAP', 'BATCH'],
    {
      draft(draft) {
        secondAttempt(draft, 0, 8)
        const id = computationId(draft.computation, nodeCrypto.sha256)
        draft.quotes[1].told = { snapshots: snapshotsStart(id, nodeCrypto.sha256) }
      },
    },
  ),
]
