/**
 * The middle of a run, the same for a fresh one and one that goes on: drive, measure, chain, sign, write down, and
 * assemble the record.
 */
import {
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  computationId,
  environmentDigest,
  fromHex,
  hex,
  nextGridPosition,
  type Attempt,
  type Checkpoint,
  type Computation,
  type MachineNote,
  type Measurement,
  type Outcome,
  type RecordDocument,
  type SnapshotRef,
} from '@reprise/core'
import type { Signer } from '@reprise/host'
import { nodeCrypto } from '../crypto.ts'
import { RunnerError } from '../error.ts'
import type { JournalHost, JournalWriter } from '../journal/index.ts'
import type { WasmMachine } from '../machine/index.ts'
import { writeRecord } from '../record/index.ts'
import { drive, type Ended, type Measured } from './drive.ts'
import { createEvidence, type EarlierEvidence, type Evidence } from './evidence.ts'
import { outcomeOf } from './outcome.ts'
import { createSigning, type Signing } from './signing.ts'
import { SnapshotClock } from './snapshot-clock.ts'
import { MAX_LAG_MS, type ExecuteRequest, type RunProgress, type RunResult } from './types.ts'

const { sha256 } = nodeCrypto

/** A run that is ready to go. */
export interface Session {
  readonly run: string
  readonly computation: Computation
  /** The last one is this one. */
  readonly attempts: readonly Attempt[]
  /** As the attempts number them. */
  readonly hosts: readonly JournalHost[]
  readonly signer: Signer
  readonly machine: WasmMachine
  readonly journal: JournalWriter
  readonly prepareMs: number
  /** What an earlier attempt left, when this one goes on from it. */
  readonly earlier: Earlier | undefined
}

export interface Earlier extends EarlierEvidence {
  /** Signed after the snapshot: computed again, each must come out equal. */
  readonly expected: readonly Checkpoint[]
  /** When the last one expected is the final one. */
  readonly outcome: Outcome | null
}

export async function execute(request: ExecuteRequest, session: Session): Promise<RunResult> {
  const { signer, machine, journal, computation, earlier } = session
  const attempt = session.attempts.at(-1)
  if (attempt === undefined) throw new Error('a run has an attempt')
  const { host } = signer
  const id = computationId(computation, sha256)
  const evidence = createEvidence({ computationId: id, journal, sha256, clock: () => performance.now(), earlier })
  using signing = await createSigning({
    signer,
    evidence,
    run: {
      runId: fromHex(session.run),
      attempt: attempt.attempt,
      firstSeq: attempt.firstSeq,
      environmentDigest: environmentDigest(attempt.environment, sha256),
      previous: earlier?.attestations.at(-1) ?? null,
    },
    maxLagMs: request.maxLagMs ?? MAX_LAG_MS,
    onTrouble: request.onTrouble,
    signal: request.signal,
  })
  const runStartedMs = performance.now()
  const finished = await runToEnd(request, { machine, evidence, signing, journal, computation, earlier })
  const { outcome } = finished
  await finish({ journal, evidence, signing, ended: outcome !== undefined })
  const ahead = (earlier?.expected ?? []).filter(({ seq }) => seq >= evidence.checkpoints.length)
  evidence.keep(ahead, earlier?.outcome ?? null)
  const { attempts, hosts } = countedAttempts(session, evidence)
  const document: RecordDocument = {
    schema: 'reprise/record/v1',
    attempts,
    computation,
    hosts: hosts.map(({ ek }, i) => ({
      ak: `evidence/ak-${i}.tpmt`,
      ek: ek === null ? null : `evidence/ek-${i}.der`,
    })),
    outcome: outcome ?? (ahead.length > 0 ? (earlier?.outcome ?? null) : null),
    run: session.run,
  }
  const { recordPath, attach, store } = request
  const recordBytes = await writeRecord({ path: recordPath, document, evidence, hosts, attach, store })
  const state = evidence.state()
  const { measureMs, captureMs, dirtyPages } = machine.progress()
  return {
    run: session.run,
    computation: hex(id),
    recordPath,
    recordBytes,
    host,
    outcome,
    trapMessage: finished.ended?.kind === 'trapped' ? finished.ended.message : undefined,
    checkpoints: evidence.checkpoints,
    snapshots: evidence.snapshots.length,
    attestations: state.attestations,
    signedSeq: state.signedSeq,
    signingLost: signing.lost(),
    cumulative: hex(state.cumulative),
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

/** An attempt that goes on and of which nothing was signed does not count, nor a host that only it had: spec/journal.md §2.4. */
function countedAttempts(
  { attempts, hosts }: Session,
  { attestations }: Evidence,
): Pick<Session, 'attempts' | 'hosts'> {
  const last = attempts.length
  if (last === 1 || attestations.at(-1)?.attempt === last) return { attempts, hosts }
  const counted = attempts.slice(0, -1)
  return { attempts: counted, hosts: hosts.slice(0, Math.max(...counted.map(({ host }) => host)) + 1) }
}

function changeableInputs({ mounts: [folder] }: Computation): ReadonlyMap<string, string> {
  const files = folder?.source.kind === 'files' ? folder.source.files : []
  return new Map(files.filter(({ readOnly }) => !readOnly).map(({ path, sha256: digest }) => [path, digest]))
}

interface Parts {
  readonly computation: Computation
  readonly earlier: Earlier | undefined
  readonly machine: WasmMachine
  readonly journal: JournalWriter
  readonly evidence: Evidence
  readonly signing: Signing
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
  const expected = new Map(earlier?.expected.map((checkpoint) => [checkpoint.seq, checkpoint]))
  const lastExpected = earlier?.expected.at(-1)?.seq ?? 0
  const snapshots = new SnapshotClock(request.snapshotMs)
  let finished: Finished = { ended: undefined, outcome: undefined, removed: [], notes: [] }
  let verdict: 'go' | 'stop' = 'go'
  // Checkpoints are hashed beside the running machine; this is the order in which they are chained.
  let chained: Promise<void> = Promise.resolve()
  const chain = async (measured: Measured, saved: Promise<SnapshotRef> | undefined): Promise<void> => {
    const measurement = await measured.measurement
    checkExpected(expected.get(measured.seq), measured, measurement)
    const snapshot = await saved
    if (measured.kind === CHECKPOINT_FINAL) finished = await finishOutputs(request, machine, measured)
    const { seq, kind } = measured
    evidence.add({
      seq,
      kind,
      measurement,
      ...(finished.outcome !== undefined && { outcome: finished.outcome }),
      ...(snapshot !== undefined && { snapshot }),
    })
    if (request.onCheckpoint?.(evidence.checkpoints.at(-1) as Checkpoint) === 'stop') verdict = 'stop'
  }
  const interrupt = (): void => machine.interrupt()
  request.signal?.addEventListener('abort', interrupt)
  // What was aborted while the machine got ready tells nobody any more.
  if (request.signal?.aborted === true) interrupt()
  const report = (phase: RunProgress['phase']): void => request.onProgress?.(progressOf(phase, parts))
  const ticker = setInterval(() => report(signing.isWaiting() ? 'signing' : 'running'), 200)
  try {
    report('preparing')
    const from = earlier === undefined ? undefined : await checkRestored(machine, earlier)
    const ended = await drive(
      machine,
      {
        nextDue: request.nextDue ?? ((position, memoryBytes) => nextGridPosition(policy, position, memoryBytes)),
        onCheckpoint: async (measured) => {
          // Nothing is computed for a run that cannot be written down any more.
          const failure = journal.failure()
          if (failure !== undefined) throw failure
          const isDue = measured.kind === CHECKPOINT_GRID && measured.seq > lastExpected && snapshots.isDue()
          const saved = isDue ? machine.snapshot() : undefined
          saved?.then(() => snapshots.taken(machine.progress().captureMs)).catch(() => {})
          chained = chained.then(() => chain(measured, saved))
          chained.catch(() => {})
          // The first is signed before the guest's first instruction: nothing it does comes before the seal.
          const isEdge = measured.seq === 0 || measured.kind === CHECKPOINT_FINAL
          if (isEdge) await chained
          if (measured.seq === 0) await signing.waitFor(0)
          else await signing.waitForLag()
          return verdict
        },
      },
      from,
    )
    await chained
    return { ...finished, ended }
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

/**
 * A machine that was restored must measure as the one that was saved.
 *
 * @throws RunnerError `DETERMINISM`.
 */
async function checkRestored(
  machine: WasmMachine,
  { checkpoints }: Earlier,
): Promise<{ readonly seq: number; readonly position: bigint }> {
  const checkpoint = checkpoints.at(-1)
  if (checkpoint === undefined) throw new Error('a run goes on from a checkpoint')
  const { stateRoot, outputsRoot, position } = await machine.measure()
  if (hex(stateRoot) !== checkpoint.state || hex(outputsRoot) !== checkpoint.outputs) {
    throw new RunnerError('DETERMINISM', {
      message: `the machine restored from the snapshot of checkpoint ${checkpoint.seq} is not the one that was saved`,
      hint: 'the snapshot in the store was damaged, or saved by another version; run the program again from its start',
    })
  }
  return { seq: checkpoint.seq, position }
}

/** @throws RunnerError `DETERMINISM` when what was signed comes out differently. */
function checkExpected(expected: Checkpoint | undefined, { seq, kind }: Measured, measurement: Measurement): void {
  if (expected === undefined) return
  const { position, stateRoot, outputsRoot } = measurement
  const isSame =
    expected.kind === kind &&
    expected.position === position.toString() &&
    expected.state === hex(stateRoot) &&
    expected.outputs === hex(outputsRoot)
  if (isSame) return
  throw new RunnerError('DETERMINISM', {
    message: `checkpoint ${seq} was signed with state ${expected.state} at position ${expected.position}, and now has ${hex(stateRoot)} at ${position}`,
    hint: 'nothing that was signed is ever replaced; keep the journal and both hosts as they are, and report this',
    data: { expected, actual: { position: position.toString(), state: hex(stateRoot), outputs: hex(outputsRoot) } },
  })
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
  ended: boolean
}): Promise<void> {
  const { journal, evidence, signing, ended } = parts
  await signing.waitFor(evidence.checkpoints.length - 1)
  journal.append({ kind: 'end', reason: ended ? 'finished' : 'interrupted' })
  await journal.sync()
}
