/**
 * The middle of a run, the same for a fresh one and one that goes on: drive, measure, chain, sign, write down, and
 * assemble the record.
 */
import {
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  computationId,
  hex,
  nextGridPosition,
  type Attempt,
  type Computation,
  type MachineNote,
  type Outcome,
  type SnapshotRef,
} from '@reprise/core'
import type { HostFacts, RunSigner } from '@reprise/host'
import { nodeCrypto } from '../crypto.ts'
import {
  journalPath,
  keptSnapshots,
  readRun,
  type JournalRun,
  type JournalWriter,
  type KeepSnapshots,
} from '../journal/index.ts'
import { refusedHost, tierOf, watchHost, type HostLook, type HostWatch } from '../host/index.ts'
import type { WasmMachine } from '../machine/index.ts'
import { writeRecord } from '../record/index.ts'
import { chainsAt } from './chains.ts'
import { createAgain, type SignedBefore } from './again.ts'
import { drive, type Ended, type Measured } from './drive.ts'
import { createEvidence, type EarlierEvidence, type Evidence } from './evidence.ts'
import { outcomeOf } from './outcome.ts'
import { createSigning, type Signing } from './signing.ts'
import { SnapshotClock } from './snapshot-clock.ts'
import { createSnapshotKeeper, type SnapshotKeeper } from './snapshot-keeper.ts'
import { snapshotBytes } from './snapshot.ts'
import { MAX_LAG_MS, type ExecuteRequest, type RunProgress, type RunResult } from './types.ts'

const { sha256 } = nodeCrypto

/** A run that is ready to go. */
export interface Session {
  readonly run: string
  readonly computation: Computation
  readonly attempt: Attempt
  readonly host: HostFacts
  /** Knows the attempt already. */
  readonly runSigner: RunSigner
  /** How the host was just before. */
  readonly look: HostLook
  readonly machine: WasmMachine
  readonly journal: JournalWriter
  readonly prepareMs: number
  readonly keep: KeepSnapshots
  /** What an earlier attempt left, when this one goes on from it. */
  readonly earlier: Earlier | undefined
}

export type Earlier = EarlierEvidence & SignedBefore

export async function execute(request: ExecuteRequest, session: Session): Promise<RunResult> {
  const { host, machine, journal, computation, attempt, earlier } = session
  const id = computationId(computation, sha256)
  const evidence = createEvidence({ computationId: id, journal, sha256, clock: () => performance.now(), earlier })
  const watch = watchHost({
    rules: computation.host,
    logs: session.look.logs,
    tier: await tierOf(host),
    isRequired: attempt.environment.repeats === null,
    onTrouble: request.onTrouble,
  })
  using signing = createSigning({
    watch,
    onStop: () => machine.interrupt(),
    runSigner: session.runSigner,
    evidence,
    maxLagMs: request.maxLagMs ?? MAX_LAG_MS,
    onTrouble: request.onTrouble,
    signal: request.signal,
  })
  const runStartedMs = performance.now()
  const keeper = createSnapshotKeeper({
    ...request,
    keep: session.keep,
    journal,
    before: earlier?.run,
    from: BigInt(earlier?.checkpoint.position ?? 0),
  })
  const parts = { machine, evidence, signing, watch, journal, computation, attempt, earlier, keeper }
  const finished = await runToEnd(request, parts)
  // It takes its time; the record does not wait for it, but whoever made the machine does, and sees what fails.
  machine[Symbol.asyncDispose]().then(undefined, () => {})
  await finish({ journal, evidence, signing, watch, ended: finished.outcome !== undefined })
  const hostChange = watch.stopped()
  // What ended on a host that was not to be gone on with has no outcome yet.
  const outcome = hostChange === undefined ? finished.outcome : undefined
  const written = await writtenRun({ home: request.home, run: session.run })
  const { recordPath, attach, store } = request
  const recordBytes = await writeRecord({ path: recordPath, run: written, attach, store })
  await keeper.end(written)
  const { measureMs, captureMs, dirtyPages } = machine.progress()
  return {
    run: session.run,
    computation: hex(id),
    recordPath,
    recordBytes,
    host,
    outcome,
    hostChange,
    trapMessage: outcome !== undefined && finished.ended?.kind === 'trapped' ? finished.ended.message : undefined,
    checkpoints: written.checkpointCount,
    snapshots: written.snapshots.length,
    ...(await snapshotBytes(keptSnapshots(written), store)),
    attestations: written.attestationCount,
    signedSeq: written.signedSeq,
    signingLost: signing.lost(),
    cumulative: hex(await cumulativeAtEnd(written, evidence)),
    inputs: changeableInputs(computation),
    follows: attempt.environment.follows,
    removed: finished.removed,
    notes: finished.notes,
    overhead: {
      prepareMs: session.prepareMs,
      measureMs,
      dirtyPages,
      snapshotMs: captureMs,
      signWaitMs: signing.waitedMs(),
      runMs: performance.now() - runStartedMs,
    },
  }
}

/** What the record is made of is what is on disk: the same that another process would find after a crash. */
async function writtenRun({ home, run }: { readonly home: string; readonly run: string }): Promise<JournalRun> {
  const read = await readRun(journalPath(home, run))
  if (read.run === undefined) throw new Error('a journal that was written has a start')
  return read.run
}

async function cumulativeAtEnd(written: JournalRun, evidence: Evidence): Promise<Uint8Array> {
  const { checkpoints, cumulative } = evidence.state()
  if (checkpoints === written.checkpointCount) return cumulative
  // Stopped before it came again to all that an earlier attempt has signed: that stays.
  return (await chainsAt(written, written.checkpointCount - 1, [])).cumulative
}

function changeableInputs({ mounts: [folder] }: Computation): ReadonlyMap<string, string> {
  const files = folder?.source.kind === 'files' ? folder.source.files : []
  return new Map(files.filter(({ readOnly }) => !readOnly).map(({ path, sha256: digest }) => [path, digest]))
}

interface Parts {
  readonly computation: Computation
  readonly attempt: Attempt
  readonly earlier: Earlier | undefined
  readonly machine: WasmMachine
  readonly journal: JournalWriter
  readonly evidence: Evidence
  readonly signing: Signing
  readonly watch: HostWatch
  readonly keeper: SnapshotKeeper
}

interface Finished {
  readonly ended: Ended | undefined
  readonly outcome: Outcome | undefined
  readonly removed: readonly string[]
  readonly notes: readonly MachineNote[]
}

async function runToEnd(request: ExecuteRequest, parts: Parts): Promise<Finished> {
  const { machine, evidence, signing, journal, earlier } = parts
  const policy = parts.computation.checkpoints
  const nextDue = request.nextDue ?? ((position, memoryBytes) => nextGridPosition(policy, position, memoryBytes))
  const again = earlier && createAgain(earlier, { ...request, ...parts, nextDue, signal: request.signal })
  const lastExpected = earlier?.expected.last ?? 0
  const snapshots = new SnapshotClock(request.snapshotMs, earlier?.run.snapshots.length)
  let finished: Finished = { ended: undefined, outcome: undefined, removed: [], notes: [] }
  let verdict: 'go' | 'stop' = 'go'
  // Checkpoints are hashed beside the running machine; this is the order in which they are chained.
  const restored = again?.restored() ?? Promise.resolve()
  restored.catch(() => {})
  let chained = restored
  const chain = async (measured: Measured, saved: Promise<SnapshotRef> | undefined): Promise<void> => {
    const measurement = await measured.measurement
    await again?.check(measured, measurement)
    const snapshot = await saved
    if (measured.kind === CHECKPOINT_FINAL) finished = await finishOutputs(request, machine, measured)
    const { seq, kind } = measured
    const checkpoint = evidence.add({
      seq,
      kind,
      measurement,
      ...(finished.outcome !== undefined && { outcome: finished.outcome }),
      ...(snapshot !== undefined && { snapshot }),
    })
    if (snapshot !== undefined) parts.keeper.note({ manifest: snapshot.manifest, seq }, measurement.position)
    if (request.onCheckpoint?.(checkpoint) === 'stop') verdict = 'stop'
  }
  const interrupt = (): void => machine.interrupt()
  request.signal?.addEventListener('abort', interrupt)
  // What was aborted while the machine got ready tells nobody any more.
  if (request.signal?.aborted === true) interrupt()
  const report = (phase: RunProgress['phase']): void => request.onProgress?.(progressOf(phase, parts))
  const ticker = setInterval(() => report(signing.isWaiting() ? 'signing' : 'running'), 200)
  try {
    report('preparing')
    const ended = await drive(
      machine,
      {
        nextDue,
        onCheckpoint: async (measured) => {
          // Nothing is computed for a run that cannot be written down any more.
          const failure = journal.failure()
          if (failure !== undefined) throw failure
          const isDue = measured.kind === CHECKPOINT_GRID && measured.seq > lastExpected && snapshots.isDue()
          const saved = isDue ? machine.snapshot() : undefined
          parts.keeper.look(evidence.state().signedSeq)
          saved?.then(() => snapshots.taken(machine.progress().captureMs)).catch(() => {})
          chained = chained.then(() => chain(measured, saved))
          chained.catch(() => {})
          // Once one has failed, nobody asks for those behind it any more.
          measured.measurement.catch(() => {})
          // The first is signed before the guest's first instruction: nothing it does comes before the seal.
          const isEdge = measured.seq === 0 || measured.kind === CHECKPOINT_FINAL
          // Where something must come out again, the machine stands until it has: were it different, its state would be kept.
          if (isEdge || measured.seq <= lastExpected) await chained
          if (measured.seq === 0) await signing.waitFor(0)
          else await signing.waitForLag()
          return parts.watch.stopped() === undefined ? verdict : 'stop'
        },
      },
      again?.from,
    )
    await chained
    return { ...finished, ended }
  } catch (error) {
    // It says more of a machine that was not restored to what was signed.
    await restored
    throw error
  } finally {
    clearInterval(ticker)
    request.signal?.removeEventListener('abort', interrupt)
  }
}

/** Puts the outputs into the store and says what came out. */
async function finishOutputs(request: ExecuteRequest, machine: WasmMachine, { stop }: Measured): Promise<Finished> {
  const results = await machine.results()
  const outcome = outcomeOf(stop, results)
  await request.store.putAll(results.outputs.map(({ bytes }) => bytes))
  const ended = stop?.kind === 'exited' || stop?.kind === 'trapped' ? stop : undefined
  return { ended, outcome, removed: results.removed, notes: results.notes }
}

function progressOf(phase: RunProgress['phase'], { machine, evidence }: Parts): RunProgress {
  const { position, memoryBytes } = machine.progress()
  const { checkpoints, attestations, signedSeq, lagMs } = evidence.state()
  return { phase, position, memoryBytes, checkpoints, attestations, unsigned: checkpoints - 1 - signedSeq, lagMs }
}

/** Waits for the last signature, then closes the journal with what became of the run. */
async function finish(parts: {
  journal: JournalWriter
  evidence: Evidence
  signing: Signing
  watch: HostWatch
  ended: boolean
}): Promise<void> {
  const { journal, evidence, signing, watch, ended: hasEnded } = parts
  await signing.waitFor(evidence.state().checkpoints - 1)
  const change = watch.stopped()
  const ended = hasEnded && change === undefined
  journal.append({ kind: 'end', reason: ended ? 'finished' : 'interrupted' })
  await journal.sync()
  // It was one a moment ago, or the attempt would not have begun; nothing was signed that would show it.
  if (change?.isFirst === true) throw refusedHost(change)
}
