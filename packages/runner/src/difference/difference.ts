/**
 * What differs between two runs: their definitions, the first checkpoint at which they part, the
 * memory there (by running both again up to that point), and their outputs, to the value.
 */
import { nextGridPosition, type Computation, type MachineState, type RecordDocument } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import {
  diffComputations,
  diffEnvironments,
  diffOutputs,
  diffPages,
  likelyCause,
  type OutputDifference,
} from '../compare/index.ts'
import { RunnerError } from '../error.ts'
import { gatherBlobs } from '../gather/index.ts'
import { runtimesPlace } from '../runtimes/index.ts'
import { startWasmMachine } from '../machine/index.ts'
import type { CheckpointList, LoadedRecord } from '../record/index.ts'
import { compareCheckpoint, repeatStart, startDiffers, type FirstDivergence } from '../repeat/index.ts'
import { blobPaths, drive } from '../run/index.ts'
import { explainedCause, type LikelyCause } from './cause.ts'
import { findFork, type Fork } from './fork.ts'
import { rerunBoth, type Rerun, type StepFinding } from './rerun.ts'
import type { Pair } from './steps.ts'
import { BYTES_MAX, PAGES_MAX, type MemoryDifference } from './types.ts'

export interface DifferenceRequest {
  readonly a: LoadedRecord
  readonly b: LoadedRecord
  readonly store: BlobStore
  readonly home: string
  /** Folder in which inputs that are missing elsewhere are looked for by path. */
  readonly inputsFolder: string
  /** Whether to run both again to see the memory at the first difference. */
  readonly rerun: boolean
  /** Whether to look for the first step too, when both are run again. */
  readonly steps: boolean
  readonly signal?: AbortSignal
  readonly onPhase?: (phase: string) => void
}

export interface Difference {
  readonly equal: boolean
  readonly definitions: readonly string[]
  readonly environments: readonly string[]
  /** Undefined when every checkpoint that both have is equal and both have as many. */
  readonly firstDivergence: (FirstDivergence & { readonly lastEqualSeq: number | undefined }) | undefined
  readonly step: StepFinding
  readonly memory: MemoryDifference
  /** Whether this host comes to the checkpoint as it was recorded; undefined where that was not tried or not reached. */
  readonly reproduced: Pair<boolean | undefined>
  readonly outputs: readonly OutputDifference[]
  /** The two are of one run that was gone on with twice; what they computed may be equal all the same. */
  readonly fork: Fork | undefined
  /** Undefined when the runs are equal. */
  readonly cause: LikelyCause | undefined
}

export async function difference(request: DifferenceRequest): Promise<Difference> {
  const { a, b } = request
  const equal = a.cumulative === b.cumulative
  const firstDivergence = firstDifference(a.checkpoints, b.checkpoints)
  const definitions = diffComputations(a.document.computation, b.document.computation)
  const environments = diffEnvironments(environmentOf(a.document), environmentOf(b.document))
  const outputs = await diffOutputs(outputsOf(a, request.store), outputsOf(b, request.store))
  const found = await rerun(request, firstDivergence, definitions.length === 0)
  return {
    equal,
    definitions: definitions.map(({ text }) => text),
    environments: environments.map(({ text }) => text),
    firstDivergence,
    ...found,
    outputs: outputs.filter(({ kind }) => kind !== 'equal'),
    fork: await findFork(a, b),
    cause: equal ? undefined : explainedCause(likelyCause({ computations: definitions, environments }), found),
  }
}

function environmentOf({ attempts }: RecordDocument) {
  const last = attempts.at(-1)
  if (last === undefined) throw new Error('a record has an attempt')
  return last.environment
}

function firstDifference(a: CheckpointList, b: CheckpointList): Difference['firstDivergence'] {
  for (const checkpoint of b) {
    const found = compareCheckpoint(a, checkpoint)
    if (found !== undefined) return { ...found, lastEqualSeq: found.seq === 0 ? undefined : found.seq - 1 }
  }
  const missing = a.at(b.length)
  if (missing === undefined) return undefined
  return {
    seq: missing.seq,
    position: { original: missing.position, repetition: null },
    differs: ['length'],
    lastEqualSeq: missing.seq === 0 ? undefined : missing.seq - 1,
  }
}

function outputsOf(record: LoadedRecord, store: BlobStore) {
  const outputs = record.document.outcome?.outputs ?? []
  return {
    outputs,
    async read(path: string): Promise<Uint8Array | undefined> {
      const found = outputs.find((output) => output.path === path)
      if (found === undefined) return undefined
      return (
        (await record.blob(found.sha256)) ??
        ((await store.has(found.sha256)) ? await store.read(found.sha256) : undefined)
      )
    },
  }
}

async function rerun(
  request: DifferenceRequest,
  divergence: Difference['firstDivergence'],
  isOne: boolean,
): Promise<Rerun> {
  const { a, b, store, home, signal, onPhase } = request
  if (divergence === undefined) return notRun('every checkpoint is equal')
  if (!request.rerun) return notRun('not asked for (--no-rerun)')
  const lacking = await missing(request)
  if (lacking !== undefined) return notRun(lacking)
  const { seq, lastEqualSeq } = divergence
  if (!request.steps) return withoutStep(request, seq, 'not asked for (--steps no)')
  const apart = apartFromTheStart(a.document.computation, b.document.computation)
  if (apart !== undefined) return withoutStep(request, seq, apart)
  return await rerunBoth({
    a,
    b,
    store,
    home,
    inputsFolder: request.inputsFolder,
    isOne,
    seq,
    lastEqualSeq,
    signal,
    onPhase,
  })
}

/** Why no step of one has its like in the other. */
function apartFromTheStart(a: Computation, b: Computation): string | undefined {
  if (a.program.sha256 !== b.program.sha256) return 'the programs differ, and their steps have nothing in common'
  if (a.start?.snapshotRoot === b.start?.snapshotRoot) return undefined
  return 'they do not begin in the same state, and their steps have nothing in common'
}

const UNKNOWN = { a: undefined, b: undefined } as const

function notRun(why: string): Rerun {
  return { step: { kind: 'not-found', why }, memory: { kind: 'not-compared', why }, reproduced: UNKNOWN }
}

async function withoutStep(request: DifferenceRequest, seq: number, why: string): Promise<Rerun> {
  return { step: { kind: 'not-found', why }, memory: await memoryDifference(request, seq), reproduced: UNKNOWN }
}

/** In words; undefined when everything to run both again is in the store, and they begin as they did. */
async function missing({ a, b, store, home, inputsFolder }: DifferenceRequest): Promise<string | undefined> {
  for (const original of [a, b]) {
    try {
      const { computation } = original.document
      await gatherBlobs({ original, store, folder: inputsFolder, places: [runtimesPlace(home)] }, computation)
      if (startDiffers(await repeatStart(computation, { store, home })))
        return `the program of ${original.path} does not come to its warm start`
    } catch (error) {
      if (error instanceof RunnerError && error.code === 'BLOB_MISSING') return error.message
      throw error
    }
  }
  return undefined
}

async function memoryDifference(request: DifferenceRequest, seq: number): Promise<MemoryDifference> {
  const states: MachineState[] = []
  for (const record of [request.a, request.b]) {
    request.onPhase?.(`running ${record.path} again to checkpoint ${seq}`)
    // One machine at a time is enough memory.
    const state = await stateAt(request, record, seq)
    if (typeof state === 'string') return { kind: 'not-compared', why: state }
    states.push(state)
  }
  const [a, b] = states as [MachineState, MachineState]
  return { kind: 'compared', ...diffPages(a.memory, b.memory, { maxPages: PAGES_MAX, maxBytes: BYTES_MAX }) }
}

/** The machine's state at a checkpoint, or why it cannot be had. */
async function stateAt(request: DifferenceRequest, record: LoadedRecord, seq: number): Promise<MachineState | string> {
  const { computation } = record.document
  if (record.checkpoints.at(seq) === undefined) return `${record.path} ended before checkpoint ${seq}`
  await using machine = await startWasmMachine({
    computation,
    blobs: blobPaths(computation, request.store),
    home: request.home,
  })
  const interrupt = (): void => machine.interrupt()
  request.signal?.addEventListener('abort', interrupt)
  if (request.signal?.aborted === true) interrupt()
  let found: MachineState | string = `${record.path} did not reach checkpoint ${seq} again`
  try {
    await drive(machine, {
      nextDue: (position, memoryBytes) => nextGridPosition(computation.checkpoints, position, memoryBytes),
      async onCheckpoint(measured) {
        if (measured.seq < seq) return 'go'
        found = await machine.state()
        await measured.measurement
        return 'stop'
      },
    })
  } finally {
    request.signal?.removeEventListener('abort', interrupt)
  }
  return found
}
