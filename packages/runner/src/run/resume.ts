/** Going on with a run that ended before its end, from its newest signed snapshot. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Attempt, Checkpoint, Snapshot, SnapshotManifest } from '@reprise/core'
import { RunnerError, systemCode } from '../error.ts'
import { runnerFolders } from '../home.ts'
import { gatherBlobs, gatherSnapshot, type BlobSources } from '../gather/index.ts'
import { expectModule } from '../machine/index.ts'
import {
  Cursor,
  hostNumber,
  journalPath,
  openJournal,
  peekJournal,
  resumePoint,
  type JournalRun,
  type JournalWriter,
  type ResumePoint,
} from '../journal/index.ts'
import { checkRecordPlace } from '../record/index.ts'
import { chainsAt } from './chains.ts'
import { describeEnvironment } from './environment.ts'
import { execute, type Earlier } from './execute.ts'
import { mapLimited } from '../parallel.ts'
import { computationBlobs, prepare, readyHost, type BegunAttempt, type ReadyHost } from './prepare.ts'
import { alarmed, hasEnded, notResumable } from './refusals.ts'
import { journalHost } from './run.ts'
import { openAttempt } from './signing.ts'
import { checkBlob, readSnapshot } from './snapshot.ts'
import type { ExecuteRequest, RunResult } from './types.ts'

const CHECKED_AT_ONCE = 4

export interface ResumeRequest extends ExecuteRequest {
  /** The run, whole. */
  readonly run: string
  /** Where what is not in the store may be had. */
  readonly sources: BlobSources
  /** Goes on although what was signed came out differently before; it has to come out as signed all the same. */
  readonly discardAlarm?: boolean
}

/**
 * Goes on with a run from its newest signed snapshot. Nothing that was signed comes out differently: that would stop
 * the run.
 *
 * @throws RunnerError `NOT_RESUMABLE` when the run has ended or has no signed snapshot, `RUN_BUSY` when another process is
 *   at work on it, `ALARMED`, `DETERMINISM`, `JOURNAL_DAMAGED`, `BLOB_MISSING`, `BLOB_CORRUPT`, `NOT_THE_SNAPSHOT`, and as `run` does.
 */
export async function resume(request: ResumeRequest): Promise<RunResult> {
  const startedMs = performance.now()
  await checkRecordPlace(request.recordPath)
  request.store.begin()
  const { run: earlier, journal: opened, begun } = await openAndBegin(request)
  await using journal = opened
  const { point, readying } = begun
  const { snapshot } = point
  await gatherBlobs(request.sources, earlier.computation)
  const before = await begun.before
  const [manifest] = await Promise.all([
    gatheredSnapshot(request, snapshot, before.checkpoint),
    mapLimited(computationBlobs(earlier.computation), CHECKED_AT_ONCE, (digest) => checkBlob(request.store, digest)),
  ])
  const beginAttempt = async (ready: ReadyHost): Promise<BegunAttempt> => {
    const attempt = await nextAttempt(earlier, snapshot, ready)
    const { run, computation, lastAttestation: previous = null } = earlier
    return { attempt, runSigner: await openAttempt(ready, { run, computation, attempt, previous }) }
  }
  const prepared = await prepare(request, earlier.computation, {
    from: { manifest, expected: before.checkpoint },
    host: readying,
    begin: beginAttempt,
  })
  const { signer, machine, look, attempt, runSigner } = prepared
  await using _machine = machine
  const prepareMs = performance.now() - startedMs
  const { keepSnapshots: keep = earlier.keep } = request
  const begin = async (): Promise<void> => {
    if (earlier.alarm !== null) journal.append({ kind: 'discard' })
    journal.append({ kind: 'attempt', attempt, host: journalHost(signer.host) })
    if (keep !== earlier.keep) journal.append({ kind: 'keep', snapshots: keep })
    await journal.sync()
  }
  await using _expected = before.expected.stream
  return await execute(request, {
    run: request.run,
    computation: earlier.computation,
    attempt,
    host: signer.host,
    runSigner,
    look,
    machine,
    journal,
    prepareMs,
    keep,
    earlier: { ...before, manifest, begin },
  })
}

async function nextAttempt(
  earlier: JournalRun,
  { seq }: Snapshot,
  { signer: { host }, logs }: ReadyHost,
): Promise<Attempt> {
  const environment = await describeEnvironment({
    host,
    startedAt: new Date(),
    logs,
    follows: earlier.attempts[0]?.environment.follows ?? [],
    repeats: repeatsOf(earlier),
  })
  const { attempts } = earlier
  return {
    attempt: attempts.length + 1,
    environment,
    firstSeq: seq + 1,
    from: seq,
    host: hostNumber(earlier, journalHost(host).ak),
  }
}

interface Begun {
  readonly earlier: JournalRun
  readonly point: ResumePoint
  readonly readying: Promise<ReadyHost>
  readonly before: ReturnType<typeof earlierOf>
}

/**
 * Opens the journal, which takes as long as to lock it does: what it said before that is most likely what it says then, so all
 * that follows from it is begun meanwhile.
 */
async function openAndBegin(
  request: ResumeRequest,
): Promise<{ readonly run: JournalRun; readonly journal: JournalWriter; readonly begun: Begun }> {
  const path = journalPath(request.home, request.run)
  const peeking = peekJournal(path)
  const opening = openJournal(path, peeking)
  // Whatever is wrong is said of the journal that is locked.
  const guessing = peeking.then(({ run }) => run && beginAfter(request, run)).catch(() => undefined)
  const { run, journal } = await opening
  try {
    // Cut off before its first line was on disk.
    if (run === undefined) throw notResumable(request.run, 'it has no signed snapshot')
    const guessed = await guessing
    return { run, journal, begun: guessed?.earlier === run ? guessed : beginAfter(request, run) }
  } catch (error) {
    await journal[Symbol.asyncDispose]()
    throw error
  }
}

/** The host and the engine's thread are at work while everything is looked for. @throws RunnerError for a run that does not go on. */
function beginAfter(request: ResumeRequest, earlier: JournalRun): Begun {
  const point = resumePoint(earlier)
  if (earlier.ended === 'finished') throw hasEnded(request.run)
  if (point === undefined) throw notResumable(request.run, 'it has no signed snapshot')
  if (earlier.alarm !== null && request.discardAlarm !== true) throw alarmed(earlier)
  const { floats, limits, program, start } = earlier.computation
  expectModule({ floats, limits, program, ...(start !== undefined && { start: {} }) }, request.home)
  const readying = readyHost(request, earlier.computation, { isRequired: repeatsOf(earlier) === null })
  const before = earlierOf(earlier, point)
  before.catch(() => {})
  return { earlier, point, readying, before }
}

function repeatsOf({ attempts: [first] }: JournalRun): string | null {
  return first?.environment.repeats ?? null
}

async function gatheredSnapshot(
  { sources, store }: ResumeRequest,
  snapshot: Snapshot,
  checkpoint: Checkpoint,
): Promise<SnapshotManifest> {
  // The journal names it: it need not stay longer than that wants it.
  await gatherSnapshot({ ...sources, store: sources.store.at(BigInt(checkpoint.position)) }, snapshot)
  return await readSnapshot(snapshot, checkpoint, store)
}

/** What an attempt has to know of those before it, gone along in their journal. */
export async function earlierOf(run: JournalRun, point: ResumePoint): Promise<Omit<Earlier, 'begin' | 'manifest'>> {
  const { snapshot, snapshots, expected } = point
  return {
    ...(await chainsAt(run, snapshot.seq, snapshots)),
    laterSnapshots: snapshots.filter(({ seq }) => seq > snapshot.seq),
    attestations: run.attestationCount,
    run,
    snapshot,
    expected: { last: expected.last, stream: new Cursor(run.checkpoints(expected.first, expected.last)) },
  }
}

/**
 * The run that `name` means: a whole id, the beginning of one, or `last` for the one that was written to last.
 *
 * @throws RunnerError `RUN_UNKNOWN`.
 */
export async function findRun(home: string, name: string): Promise<string> {
  const folder = runnerFolders(home).runs
  const found = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  })
  const runs = found.filter((entry) => /^[0-9a-f]{64}$/.test(entry))
  if (name === 'last') {
    const dated = await Promise.all(runs.map(async (run) => ({ run, atMs: await writtenAtMs(join(folder, run)) })))
    const newest = dated.toSorted((a, b) => b.atMs - a.atMs)[0]
    if (newest !== undefined) return newest.run
  } else if (/^[0-9a-f]{4,64}$/.test(name)) {
    const matching = runs.filter((run) => run.startsWith(name))
    if (matching.length === 1) return matching[0]
  }
  throw new RunnerError('RUN_UNKNOWN', {
    message:
      name === 'last'
        ? `no run is kept in ${folder}`
        : `no single run in ${folder} is meant by ${JSON.stringify(name)}`,
    hint: 'give the beginning of a run id, at least four digits, or the word last; or a record, as FILE.reprise',
  })
}

/** A run that was cut off before its journal was there is the oldest. */
async function writtenAtMs(folder: string): Promise<number> {
  const found = await stat(join(folder, 'journal')).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  })
  return found?.mtimeMs ?? 0
}
