/**
 * Taking over a run that is known from its record alone: its journal is laid on this host as the record shows it, so that
 * it can be gone on with here. Rules: spec/journal.md §4.
 */
import { hex, CHECKPOINT_FINAL, type Attestation, type Checkpoint, type RecordDocument } from '@reprise/core'
import { RunnerError } from '../error.ts'
import { adoptLogs } from '../host/index.ts'
import { gatherBlobs, gatherSnapshot, type BlobSources } from '../gather/index.ts'
import {
  compareHistories,
  journalPath,
  layJournal,
  resumePoint,
  type JournalEntry,
  type JournalHost,
  type JournalRun,
} from '../journal/index.ts'
import type { LoadedRecord } from '../record/index.ts'
import { alarmed, notResumable } from './refusals.ts'

export interface AdoptRequest {
  /** Verified already, and not refuted. */
  readonly record: LoadedRecord
  readonly home: string
  readonly sources: BlobSources
  /** Whether an alarm in this host's journal is no reason to refuse. */
  readonly discardAlarm: boolean
  /** By attempt, the checkpoint whose attestation shows a host that the computation does not want, as its verification found. */
  readonly stoppedAt?: ReadonlyMap<number, number>
}

/** Which of the two is gone on with: the record, when this host had nothing of the run or less; or what this host has. */
export type Adopted = 'record' | 'journal'

/**
 * Lays the journal of a record's run on this host, after everything that going on needs is in the store. A journal of the same run
 * that has signed as far or further stays as it is.
 *
 * @throws RunnerError `NOT_RESUMABLE` when the run has ended or has no signed snapshot; `FORKED` when this host's journal and the
 *   record went on from one another separately; `BLOB_MISSING`, `RUN_BUSY`, `DETERMINISM`, `JOURNAL_DAMAGED`, `JOURNAL_WRITE`.
 */
export async function adoptRun({
  record,
  home,
  sources,
  discardAlarm,
  stoppedAt = new Map(),
}: AdoptRequest): Promise<Adopted> {
  const { document } = record
  const { signedSeq, heldSeq } = await signedOf(record, stoppedAt)
  // What a journal with these snapshots and checkpoints would say.
  const point = resumePoint({
    snapshots: record.snapshots,
    signedSeq,
    heldSeq,
    lastCheckpoint: record.checkpoints.at(signedSeq),
  })
  if (record.checkpoints.at(heldSeq)?.kind === CHECKPOINT_FINAL)
    throw notResumable(document.run, 'it has ended', `see: reprise show ${record.path}`)
  if (point === undefined) throw notResumable(document.run, 'it has no signed snapshot')
  let adopted: Adopted = 'record'
  await layJournal(
    journalPath(home, document.run),
    async (here) => {
      if (here !== undefined) {
        if (here.alarm !== null && !discardAlarm) throw alarmed(here)
        if (!(await isRecordLonger(here, record))) adopted = 'journal'
      }
      if (adopted === 'journal') return 'keep'
      await gatherBlobs(sources, document.computation)
      await adoptLogs(record, sources.store)
      await gatherSnapshot(sources, point.snapshot)
      await takeAttached(record, sources)
      return 'lay'
    },
    () => entriesOf(record, stoppedAt),
  )
  return adopted
}

/** Older snapshots that the record carries stay with the run: its own record can carry them again. */
async function takeAttached(record: LoadedRecord, { store, signal }: BlobSources): Promise<void> {
  for (const snapshot of record.snapshots) {
    if ((await record.blob(snapshot.manifest)) === undefined) continue
    const attached: BlobSources = { original: record, store, folder: '', places: [], signal }
    await gatherSnapshot(attached, snapshot).catch((error: unknown) => {
      if (!(error instanceof RunnerError) || error.code !== 'BLOB_MISSING') throw error
    })
  }
}

async function signedOf(
  record: LoadedRecord,
  stoppedAt: ReadonlyMap<number, number>,
): Promise<{ readonly signedSeq: number; readonly heldSeq: number }> {
  let [signedSeq, heldSeq] = [-1, -1]
  for await (const batch of record.attestations()) {
    for (const { attempt, seq } of batch) {
      signedSeq = Math.max(signedSeq, seq)
      if (stoppedAt.get(attempt) !== seq) heldSeq = Math.max(heldSeq, seq)
    }
  }
  return { signedSeq, heldSeq }
}

/** @returns Whether the record has signed further. @throws RunnerError `FORKED`. */
async function isRecordLonger(here: JournalRun, record: LoadedRecord): Promise<boolean> {
  const compared = await compareHistories(here, record)
  if (compared.kind === 'fork') throw forked({ here, record, ...compared })
  return compared.kind === 'b-is-longer'
}

function forked(parts: {
  readonly here: JournalRun
  readonly record: LoadedRecord
  readonly agreed: Attestation | undefined
  readonly a: Attestation
  readonly b: Attestation
}): RunnerError {
  const { here, record, agreed, a: our, b: their } = parts
  const run = here.run.slice(0, 8)
  const until = agreed === undefined ? 'from the start' : `after the attestation of checkpoint ${agreed.seq}`
  const ourSide = sideOf(here.attempts[our.attempt - 1], our)
  const theirSide = sideOf(record.document.attempts[their.attempt - 1], their)
  return new RunnerError('FORKED', {
    message: `the run ${run} was gone on with twice: ${until}, this host has ${ourSide}, and ${record.path} has ${theirSide}; both are kept`,
    hint:
      `to go on with this host's: reprise resume ${run}; to compare: reprise export ${run} --format record -o here.reprise, then ` +
      `reprise diff here.reprise ${record.path}; to go on with the record, do it under another REPRISE_HOME`,
    data: { run: here.run, agreedSeq: agreed?.seq ?? null, here: our.seq, record: their.seq },
  })
}

function sideOf(
  attempt: RecordDocument['attempts'][number] | undefined,
  { attempt: number, seq }: Attestation,
): string {
  const started = attempt === undefined ? '' : ` (host ${attempt.host}, begun ${attempt.environment.startedAt})`
  return `attempt ${number}${started} with checkpoint ${seq} signed`
}

/** The entries that an attempt after another would have left; what nobody signed is left out, for it would be forgotten. */
export async function* entriesOf(
  record: LoadedRecord,
  stoppedAt: ReadonlyMap<number, number> = new Map(),
): AsyncGenerator<JournalEntry> {
  const { computation, attempts, run } = record.document
  const hosts = await hostsOf(record)
  const snapshots = [...record.snapshots]
  let attempt = attempts[0]
  let written = -1
  yield { kind: 'start', attempt, computation, host: hosts[attempt.host], run }
  for await (const batch of record.attestations()) {
    for (const attestation of batch) {
      while (attempt.attempt < attestation.attempt) {
        attempt = attempts[attempt.attempt]
        written = attempt.firstSeq - 1
        yield { kind: 'attempt', attempt, host: hosts[attempt.host] }
      }
      for (; written < attestation.seq; written++) {
        const checkpoint = record.checkpoints.at(written + 1) as Checkpoint
        yield { kind: 'checkpoint', checkpoint }
        if (snapshots[0]?.seq === checkpoint.seq)
          yield { kind: 'snapshot', snapshot: snapshots.shift() as (typeof snapshots)[0] }
      }
      if (stoppedAt.get(attestation.attempt) === attestation.seq) yield { kind: 'changed' }
      yield { kind: 'attestation', attestation }
    }
  }
}

async function hostsOf(record: LoadedRecord): Promise<readonly JournalHost[]> {
  const read = async (name: string): Promise<string> => hex((await record.evidence(name)) ?? new Uint8Array())
  return await Promise.all(
    record.document.hosts.map(async ({ ak, certificates, ek }) => ({
      ak: await read(ak),
      certificates: await Promise.all(certificates.map(read)),
      ek: ek === null ? null : await read(ek),
    })),
  )
}
