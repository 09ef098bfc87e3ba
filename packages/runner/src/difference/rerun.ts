/**
 * Running two records again, side by side, to find out more than they tell: the first step at which they part, and their
 * memories at the first checkpoint that differs. Each begins at its own newest snapshot before that, when it is there.
 */
import { readFile } from 'node:fs/promises'
import {
  CHECKPOINT_GRID,
  CHECKPOINT_REQUESTED,
  hex,
  NEVER,
  type Checkpoint,
  type SnapshotManifest,
} from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { diffPages } from '../compare/index.ts'
import { RunnerError } from '../error.ts'
import { startProbe, type Look, type Probe } from '../machine/index.ts'
import type { LoadedRecord } from '../record/index.ts'
import { snapshotAt } from '../repeat/index.ts'
import { blobPaths } from '../run/index.ts'
import { explainStep, type StepDifference } from './explain.ts'
import { both, searchStep, TO_THE_END, type Pair, type Search, type Step } from './steps.ts'
import { BYTES_MAX, PAGES_MAX, type MemoryDifference } from './types.ts'

export interface RerunRequest {
  readonly a: LoadedRecord
  readonly b: LoadedRecord
  readonly store: BlobStore
  readonly home: string
  /** Folder in which inputs that are missing elsewhere are looked for by path. */
  readonly inputsFolder: string
  /** Both records are of one computation: what differs between them is not in what the program was given. */
  readonly isOne: boolean
  /** The first checkpoint that differs, and the last that does not. */
  readonly seq: number
  readonly lastEqualSeq: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onPhase?: ((phase: string) => void) | undefined
}

/** The step, or why there is none to name. */
export type StepFinding =
  | ({ readonly kind: 'found' } & StepDifference)
  | { readonly kind: 'not-found'; readonly why: string }

export interface Rerun {
  readonly step: StepFinding
  readonly memory: MemoryDifference
  /** Whether the checkpoint came out here as it was recorded; undefined: that record has none there, or it was not reached. */
  readonly reproduced: Pair<boolean | undefined>
}

/** Both computations have the same program, and all their blobs are in the store. */
export async function rerunBoth(request: RerunRequest): Promise<Rerun> {
  const equal = lastEqualSite(request)
  const starts = await both({ a: request.a, b: request.b }, (record) => newestSnapshot(request, record, equal.seq))
  const found = await rerunFrom(request, equal.position, starts)
  if (found !== 'apart') return found
  // Alike as far as a checkpoint tells, but not in their stacks: they parted before it.
  const again = await rerunFrom(request, 0n, { a: undefined, b: undefined })
  if (again === 'apart') throw new Error('two machines of one module differ before they begin')
  return again
}

/** The newest checkpoint up to which the records agree and at which a machine can be stopped. */
function lastEqualSite({ a, lastEqualSeq }: RerunRequest): { readonly seq: number; readonly position: bigint } {
  for (let seq = lastEqualSeq ?? 0; seq > 0; seq--) {
    const checkpoint = a.checkpoints.at(seq)
    if (checkpoint?.kind === CHECKPOINT_GRID) return { seq, position: BigInt(checkpoint.position) }
  }
  return { seq: 0, position: 0n }
}

async function newestSnapshot(
  { store, inputsFolder }: RerunRequest,
  record: LoadedRecord,
  seqMax: number,
): Promise<SnapshotManifest | undefined> {
  for (const { seq } of record.snapshots.filter(({ seq: at }) => at > 0 && at <= seqMax).toReversed()) {
    try {
      return await snapshotAt({ original: record, store, inputsFolder }, seq)
    } catch (error) {
      // An older one, or the start, does as well.
      if (!(error instanceof RunnerError)) throw error
    }
  }
  return undefined
}

async function rerunFrom(
  request: RerunRequest,
  equal: bigint,
  starts: Pair<SnapshotManifest | undefined>,
): Promise<Rerun | 'apart'> {
  const { signal, seq, a, b } = request
  request.onPhase?.('preparing both to be run again')
  await using probes = await openBoth(request, starts)
  const interrupt = (): void => {
    probes.a.interrupt()
    probes.b.interrupt()
  }
  signal?.addEventListener('abort', interrupt)
  if (signal?.aborted === true) interrupt()
  try {
    const different = positionOf(a.checkpoints.at(seq) ?? b.checkpoints.at(seq))
    const search = await searchStep(probes, {
      equal,
      different,
      // One computation comes out in one way, or its records are the least of our troubles.
      until: request.isOne ? different : undefined,
      onProgress: (position) => request.onPhase?.(`looking for the first step that differs: position ${position}`),
    })
    if (search.kind === 'apart') return 'apart'
    const step = search.kind === 'step' ? await explained(request, probes, search) : undefined
    if (search.kind === 'step' || search.kind === 'none') await both(probes, (probe) => probe.back())
    request.onPhase?.(`looking at the memory at checkpoint ${seq}`)
    return { step: findingOf(request, search, step), ...(await atCheckpoint(request, probes, search)) }
  } finally {
    signal?.removeEventListener('abort', interrupt)
  }
}

async function explained({ a, store }: RerunRequest, probes: Pair<Probe>, step: Step): Promise<StepDifference> {
  const { program, mounts } = a.document.computation
  const own = mounts.flatMap(({ at, source }) =>
    // What stands below `.reprise` is ours.
    source.kind === 'files' && !at.startsWith('/.reprise')
      ? source.files.map(({ path }) => `${at === '/' ? '' : at}/${path}`)
      : [],
  )
  return await explainStep(probes, step, await readFile(store.path(program.sha256)), new Set(own))
}

const ONE_WAY = 'both are one computation: run again here, twice, it comes out in one way only'

function findingOf({ isOne }: RerunRequest, search: Search, step: StepDifference | undefined): StepFinding {
  if (step !== undefined) return { kind: 'found', ...step }
  if (search.kind !== 'none') return { kind: 'not-found', why: 'the search was interrupted' }
  const why = isOne ? ONE_WAY : 'run again here, both programs go through the same states to their ends'
  return { kind: 'not-found', why }
}

async function openBoth(
  { a, b, store, home }: RerunRequest,
  starts: Pair<SnapshotManifest | undefined>,
): Promise<Pair<Probe> & AsyncDisposable> {
  const opening = ([record, from]: readonly [LoadedRecord, SnapshotManifest | undefined]): Promise<Probe> => {
    const { computation } = record.document
    const blobs = blobPaths(computation, store, from)
    return startProbe({ computation, blobs, home, from })
  }
  const [first, second] = await Promise.allSettled([opening([a, starts.a]), opening([b, starts.b])])
  if (first.status === 'rejected' || second.status === 'rejected') {
    for (const each of [first, second]) if (each.status === 'fulfilled') await each.value[Symbol.asyncDispose]()
    throw first.status === 'rejected' ? first.reason : (second as PromiseRejectedResult).reason
  }
  const probes = { a: first.value, b: second.value }
  return {
    ...probes,
    async [Symbol.asyncDispose]() {
      await both(probes, async (probe) => await probe[Symbol.asyncDispose]())
    },
  }
}

/** What both are at the first checkpoint that differs, from the last equal stop on. */
async function atCheckpoint(
  request: RerunRequest,
  probes: Pair<Probe>,
  search: Search,
): Promise<Pick<Rerun, 'memory' | 'reproduced'>> {
  const unknown = { a: undefined, b: undefined }
  // Machines that end alike were alike everywhere.
  if (search.kind === 'none' && !request.isOne) return { memory: equalMemory, reproduced: unknown }
  if (search.kind !== 'step' && search.kind !== 'none')
    return { memory: notCompared('the search was interrupted'), reproduced: unknown }
  // At its start a module is the same whatever it is given.
  if (request.seq === 0 && !request.isOne) return { memory: equalMemory, reproduced: unknown }
  const sides = { a: { probe: probes.a, record: request.a }, b: { probe: probes.b, record: request.b } }
  const there = await both(sides, ({ probe, record }) => lookAt(probe, record.checkpoints.at(request.seq), search.from))
  const { seq } = request
  const reproduced = {
    a: isAs(request.a.checkpoints.at(seq), there.a),
    b: isAs(request.b.checkpoints.at(seq), there.b),
  }
  if (search.kind === 'none') return { memory: notCompared(ONE_WAY), reproduced }
  for (const side of ['a', 'b'] as const) {
    const { path, checkpoints } = request[side]
    if (checkpoints.at(seq) === undefined)
      return { memory: notCompared(`${path} ended before checkpoint ${seq}`), reproduced }
    if (there[side] === undefined)
      return { memory: notCompared(`${path} did not come to checkpoint ${seq} again`), reproduced }
  }
  const { a, b } = there as Pair<CheckpointLook>
  const limits = { maxPages: PAGES_MAX, maxBytes: BYTES_MAX }
  return { memory: { kind: 'compared', ...diffPages(a.look.memory, b.look.memory, limits) }, reproduced }
}

interface CheckpointLook {
  readonly look: Look
  readonly state: string
  readonly outputs: string
}

/** Runs to a checkpoint from a site; undefined when the machine does not come there, or is past it. */
async function lookAt(
  probe: Probe,
  checkpoint: Checkpoint | undefined,
  from: bigint,
): Promise<CheckpointLook | undefined> {
  if (checkpoint === undefined) return undefined
  const position = positionOf(checkpoint)
  const isGrid = checkpoint.kind === CHECKPOINT_GRID
  if (position < from) return undefined
  if (!isGrid || position > from) {
    const requested = checkpoint.kind === CHECKPOINT_REQUESTED
    const target = isGrid ? { position } : requested ? { position: NEVER, requested: position } : TO_THE_END
    const stop = await probe.run(target)
    const isThere = requested ? stop.kind === 'requested' : isGrid ? stop.position === position : isEnd(stop.kind)
    if (!isThere) return undefined
  }
  const { stateRoot, outputsRoot } = await probe.measure()
  return { look: await probe.look(), state: hex(stateRoot), outputs: hex(outputsRoot) }
}

function isAs(checkpoint: Checkpoint | undefined, found: CheckpointLook | undefined): boolean | undefined {
  if (checkpoint === undefined || found === undefined) return undefined
  return checkpoint.state === found.state && checkpoint.outputs === found.outputs
}

const isEnd = (kind: string): boolean => kind === 'exited' || kind === 'trapped'

function positionOf(checkpoint: Checkpoint | undefined): bigint {
  return BigInt(checkpoint?.position ?? 0)
}

const equalMemory: MemoryDifference = { kind: 'compared', pages: [], pageCount: 0, bytes: [] }

function notCompared(why: string): MemoryDifference {
  return { kind: 'not-compared', why }
}
