/** Going on with a run that ended before its end, from its newest signed snapshot. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Attempt, Checkpoint, Snapshot, SnapshotManifest } from '@reprise/core'
import { RunnerError, systemCode } from '../error.ts'
import { runnerFolders } from '../home.ts'
import { gatherBlobs, gatherSnapshot, type BlobSources } from '../gather/index.ts'
import { expectModule, type WasmMachine } from '../machine/index.ts'
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
import { computationBlobs, prepare, readyHost, startMachine, type BegunAttempt, type ReadyHost } from './prepare.ts'
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
  const { snapshot } = begun.point
  const beginAttempt = async (ready: ReadyHost): Promise<BegunAttempt> => {
    const attempt = await nextAttempt(earlier, snapshot, ready)
    const { run, computation, lastAttestation: previous = null } = earlier
    return { attempt, runSigner: await openAttempt(ready, { run, computation, attempt, previous }) }
  }
  const restoring = begun.restored.then(({ machine }) => machine)
  const prepared = await prepare({ host: begun.readying, machine: restoring, begin: beginAttempt })
  const { signer, machine, look, attempt, runSigner } = prepared
  await using _machine = machine
  const { before, manifest } = await begun.restored
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
  readonly restored: Promise<RestoredMachine>
}

interface RestoredMachine {
  readonly before: Awaited<ReturnType<typeof earlierOf>>
  readonly manifest: SnapshotManifest
  readonly machine: WasmMachine
}

/**
 * Opens the journal, which takes as long as to lock it does: what it said before that is most likely what it says then, so all
 * that follows from it is begun meanwhile, the machine too. A guess that is wrong costs work and nothing else.
 */
async function openAndBegin(
  request: ResumeRequest,
): Promise<{ readonly run: JournalRun; readonly journal: JournalWriter; readonly begun: Begun }> {
  const path = journalPath(request.home, request.run)
  const peeking = peekJournal(path)
  const opening = openJournal(path, peeking)
  // Whatever is wrong is said of the journal that is locked.
  const guessing = peeking.then(({ run }) => run && beginAfter(request, run)).catch(() => undefined)
  let journal: JournalWriter | undefined
  try {
    const opened = await opening
    journal = opened.journal
    const { run } = opened
    // Cut off before its first line was on disk.
    if (run === undefined) throw notResumable(request.run, 'it has no signed snapshot')
    const guessed = await guessing
    if (guessed?.earlier === run) return { run, journal, begun: guessed }
    await takeDown(guessed)
    return { run, journal, begun: beginAfter(request, run) }
  } catch (error) {
    // Who is refused does not wait until a large memory is there to be taken down.
    void guessing.then(takeDown).catch(() => {})
    await journal?.[Symbol.asyncDispose]()
    throw error
  }
}

/** What nobody asks for any more. */
async function takeDown(guessed: Begun | undefined): Promise<void> {
  const restored = await guessed?.restored.catch(() => undefined)
  await restored?.machine[Symbol.asyncDispose]()
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
  const restored = restore(request, earlier, point)
  restored.catch(() => {})
  return { earlier, point, readying, restored }
}

/** The machine as the newest signed snapshot has it, when all is there that it needs. */
async function restore(request: ResumeRequest, earlier: JournalRun, point: ResumePoint): Promise<RestoredMachine> {
  const { computation } = earlier
  const [before] = await Promise.all([earlierOf(earlier, point), gatherBlobs(request.sources, computation)])
  const [manifest] = await Promise.all([
    gatheredSnapshot(request, point.snapshot, before.checkpoint),
    mapLimited(computationBlobs(computation), CHECKED_AT_ONCE, (digest) => checkBlob(request.store, digest)),
  ])
  const machine = await startMachine(request, computation, { manifest, expected: before.checkpoint })
  return { before, manifest, machine }
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
