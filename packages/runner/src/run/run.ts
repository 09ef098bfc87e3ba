/**
 * A run: from a computation to its record. One direction: prepare, drive, measure, chain, sign,
 * write down, assemble.
 */
import { randomBytes } from 'node:crypto'
import {
  CHECKPOINT_FINAL,
  computationId,
  environmentDigest,
  hex,
  nextGridPosition,
  pagesRoot,
  type Attempt,
  type Checkpoint,
  type Computation,
  type Exit,
  type MachineNote,
  type Outcome,
  type OutcomeOutput,
  type RecordDocument,
} from '@reprise/core'
import type { HostFacts, Signer } from '@reprise/host'
import type { BlobStore } from '../blobs/index.ts'
import { nodeCrypto } from '../crypto.ts'
import { createJournal, journalPath, type JournalWriter } from '../journal/index.ts'
import { startWasmMachine, type WasmMachine } from '../machine/index.ts'
import { RunnerError } from '../error.ts'
import { checkRecordPlace, writeRecord, type AttachLevel } from '../record/index.ts'
import { drive, type Ended, type Measured } from './drive.ts'
import { describeEnvironment } from './environment.ts'
import { createEvidence, type Evidence } from './evidence.ts'
import { createSigning, type Signing } from './signing.ts'

/** How old an unsigned checkpoint may get before the machine waits for the TPM. */
export const MAX_LAG_MS = 10_000

const { sha256 } = nodeCrypto

export interface RunRequest {
  readonly computation: Computation
  readonly store: BlobStore
  readonly home: string
  readonly signer: Promise<Signer>
  readonly recordPath: string
  readonly attach: AttachLevel
  readonly maxLagMs?: number
  readonly follows?: readonly string[]
  readonly repeats?: string | null
  /** Stops the run at the next poll; what was signed stays signed. */
  readonly signal?: AbortSignal
  readonly onStream?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> | void
  readonly onProgress?: (progress: RunProgress) => void
  readonly onTrouble?: (message: string) => void
  /** Sees every checkpoint in order; `stop` ends the run there. A repetition compares here. */
  readonly onCheckpoint?: (checkpoint: Checkpoint) => 'go' | 'stop'
  /** Which positions grid checkpoints want; the policy of the computation unless it is given. */
  readonly nextDue?: (position: bigint, memoryBytes: number) => bigint
}

export interface RunProgress {
  readonly phase: 'preparing' | 'running' | 'signing'
  readonly position: bigint
  readonly memoryBytes: number
  readonly checkpoints: number
  readonly attestations: number
  /** How many checkpoints no quote covers yet, and the age of the oldest. */
  readonly unsigned: number
  readonly lagMs: number
}

export interface RunResult {
  readonly run: string
  readonly computation: string
  readonly recordPath: string
  readonly recordBytes: number
  readonly host: HostFacts
  /** Undefined when the run was interrupted or stopped before its end. */
  readonly outcome: Outcome | undefined
  readonly trapMessage: string | undefined
  readonly checkpoints: readonly Checkpoint[]
  readonly attestations: number
  readonly signedSeq: number
  /** Why signing ended before the run did. */
  readonly signingLost: string | undefined
  readonly cumulative: string
  readonly follows: readonly string[]
  readonly removed: readonly string[]
  readonly notes: readonly MachineNote[]
  readonly overhead: {
    readonly prepareMs: number
    readonly measureMs: number
    readonly signWaitMs: number
    readonly runMs: number
  }
}

/**
 * Runs a computation and writes its record, whatever the guest does.
 *
 * @throws RunnerError when the run cannot begin or Reprise itself fails.
 */
export async function run(request: RunRequest): Promise<RunResult> {
  const startedMs = performance.now()
  const runId = randomBytes(32)
  await checkRecordPlace(request.recordPath)
  const [signer, machine] = await prepare(request)
  await using _machine = machine
  const prepareMs = performance.now() - startedMs
  const { host } = signer
  const environment = await describeEnvironment({
    host,
    startedAt: new Date(),
    follows: request.follows ?? [],
    repeats: request.repeats ?? null,
  })
  const attempt: Attempt = { attempt: 1, environment, firstSeq: 0, from: null, host: 0 }
  await using journal = await createJournal(journalPath(request.home, hex(runId)))
  journal.append({
    kind: 'start',
    attempt,
    computation: request.computation,
    host: { ak: hex(host.akPublic), ek: host.ekCertificate === null ? null : hex(host.ekCertificate) },
    run: hex(runId),
  })
  await journal.sync()

  const id = computationId(request.computation, sha256)
  const evidence = createEvidence({ computationId: id, journal, sha256, clock: () => performance.now() })
  using signing = await createSigning({
    signer,
    evidence,
    run: { runId, attempt: 1, firstSeq: 0, environmentDigest: environmentDigest(environment, sha256), previous: null },
    maxLagMs: request.maxLagMs ?? MAX_LAG_MS,
    onTrouble: request.onTrouble,
    signal: request.signal,
  })
  const runStartedMs = performance.now()
  const finished = await runToEnd(request, { machine, evidence, signing, journal })
  const { outcome } = finished
  await finish({ journal, evidence, signing, ended: outcome !== undefined })

  const document: RecordDocument = {
    schema: 'reprise/record/v1',
    attempts: [attempt],
    computation: request.computation,
    hosts: [{ ak: 'evidence/ak-0.tpmt', ek: host.ekCertificate === null ? null : 'evidence/ek-0.der' }],
    outcome: outcome ?? null,
    run: hex(runId),
  }
  const recordBytes = await writeRecord({
    path: request.recordPath,
    document,
    evidence,
    host,
    attach: request.attach,
    store: request.store,
  })
  const state = evidence.state()
  return {
    run: hex(runId),
    computation: hex(id),
    recordPath: request.recordPath,
    recordBytes,
    host,
    outcome,
    trapMessage: finished.ended?.kind === 'trapped' ? finished.ended.message : undefined,
    checkpoints: evidence.checkpoints,
    attestations: state.attestations,
    signedSeq: state.signedSeq,
    signingLost: signing.lost(),
    cumulative: hex(state.cumulative),
    follows: environment.follows,
    removed: finished.removed,
    notes: finished.notes,
    overhead: {
      prepareMs,
      measureMs: machine.progress().measureMs,
      signWaitMs: signing.waitedMs(),
      runMs: performance.now() - runStartedMs,
    },
  }
}

/** The signer and the machine get ready at the same time; when one fails, neither is left behind. */
async function prepare(request: RunRequest): Promise<readonly [Signer, WasmMachine]> {
  const { computation, store } = request
  const machine = startWasmMachine({
    computation,
    blobs: blobPaths(computation, store),
    cacheFolder: `${request.home}/cache/wasm`,
    ...(request.onStream !== undefined && { onStream: request.onStream }),
  })
  const [signed, started] = await Promise.allSettled([request.signer, machine])
  if (started.status === 'rejected') throw refusalOf(computation, started.reason)
  if (signed.status === 'rejected') {
    await started.value[Symbol.asyncDispose]()
    throw signed.reason
  }
  return [signed.value, started.value]
}

/** Says which program it is that cannot be run: the machine knows only its digest. */
function refusalOf({ arguments: [name] }: Computation, error: unknown): unknown {
  if (!(error instanceof RunnerError) || error.code !== 'ENGINE_REFUSED' || name === undefined) return error
  const { message, hint, data } = error
  return new RunnerError('ENGINE_REFUSED', {
    message: `${name}: ${message}`,
    ...(hint !== undefined && { hint }),
    data,
    cause: error,
  })
}

export function blobPaths(computation: Computation, store: BlobStore): Readonly<Record<string, string>> {
  const digests = [computation.program.sha256, computation.stdin.sha256]
  for (const { source } of computation.mounts) {
    if (source.kind === 'archive') digests.push(source.blob.sha256)
    else digests.push(...source.files.map((file) => file.sha256))
  }
  return Object.fromEntries(digests.map((digest) => [digest, store.path(digest)]))
}

interface Parts {
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

async function runToEnd(request: RunRequest, parts: Parts): Promise<Finished> {
  const { machine, evidence, signing, journal } = parts
  const policy = request.computation.checkpoints
  let finished: Finished = { ended: undefined, outcome: undefined, removed: [], notes: [] }
  let verdict: 'go' | 'stop' = 'go'
  // Checkpoints are hashed beside the running machine; this is the order in which they are chained.
  let chained: Promise<void> = Promise.resolve()
  const chain = async (measured: Measured): Promise<void> => {
    const measurement = await measured.measurement
    if (measured.kind === CHECKPOINT_FINAL) finished = await finishOutputs(request, machine, measured)
    const { seq, kind } = measured
    evidence.add({ seq, kind, measurement, ...(finished.outcome !== undefined && { outcome: finished.outcome }) })
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
    const ended = await drive(machine, {
      nextDue: request.nextDue ?? ((position, memoryBytes) => nextGridPosition(policy, position, memoryBytes)),
      onCheckpoint: async (measured) => {
        // Nothing is computed for a run that cannot be written down any more.
        const failure = journal.failure()
        if (failure !== undefined) throw failure
        chained = chained.then(() => chain(measured))
        chained.catch(() => {})
        // The first is signed before the guest's first instruction: nothing it does comes before the seal.
        const isEdge = measured.seq === 0 || measured.kind === CHECKPOINT_FINAL
        if (isEdge) await chained
        if (measured.seq === 0) await signing.waitFor(0)
        else await signing.waitForLag()
        return verdict
      },
    })
    await chained
    return { ...finished, ended }
  } finally {
    clearInterval(ticker)
    request.signal?.removeEventListener('abort', interrupt)
  }
}

/** Puts the outputs into the store and says what came out. */
async function finishOutputs(request: RunRequest, machine: WasmMachine, { stop }: Measured): Promise<Finished> {
  if (stop === undefined || (stop.kind !== 'exited' && stop.kind !== 'trapped'))
    throw new Error('a final checkpoint is at an end')
  const { outputs, removed, notes } = await machine.results()
  const listed: OutcomeOutput[] = []
  for (const { path, bytes } of outputs) {
    const blob = await request.store.putBytes(bytes)
    listed.push({ length: bytes.length, pages: hex(pagesRoot(bytes, sha256)), path, sha256: blob.sha256 })
  }
  const exit: Exit = stop.kind === 'exited' ? { code: stop.code } : { trap: stop.reason }
  return { ended: stop, outcome: { exit, outputs: listed }, removed, notes }
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
