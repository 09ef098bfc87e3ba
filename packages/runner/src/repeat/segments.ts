/**
 * Repeating a run in parts: each segment from its snapshot in a machine of its own, several at a time. A segment is
 * reproduced when every checkpoint in it comes out equal, and the snapshot or the outcome at its end too: a forged stack
 * fails in the segment before it. Rules: spec/record.md §9.
 */
import { randomInt } from 'node:crypto'
import {
  canonical,
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  confidence,
  hex,
  segmentBounds,
  type Checkpoint,
  type Measurement,
  type SnapshotManifest,
} from '@reprise/core'
import { RunnerError } from '../error.ts'
import type { BlobStore } from '../blobs/index.ts'
import { startWasmMachine, type WasmMachine } from '../machine/index.ts'
import { mapLimited } from '../parallel.ts'
import { gatherBlobs, gatherSnapshot, type BlobPlace, type BlobSources, type GatherProgress } from '../gather/index.ts'
import type { LoadedRecord } from '../record/index.ts'
import { blobPaths, drive, outcomeOf, readSnapshot, snapshotPaths } from '../run/index.ts'
import { repeatStart, startDiffers } from './warm.ts'
import { compareCheckpoint, recordedPositions, type FirstDivergence } from './repeat.ts'

/** `all`, `sample:K` by the verifier's own random generator, or `K..L`, counted from 0. */
export type SegmentChoice =
  | { readonly kind: 'all' }
  | { readonly kind: 'sample'; readonly count: number }
  | { readonly kind: 'range'; readonly first: number; readonly last: number }

type SnapshotSources = Pick<SegmentsRequest, 'original' | 'store' | 'inputsFolder' | 'places' | 'signal' | 'onGather'>

export interface SegmentsRequest {
  readonly original: LoadedRecord
  readonly choice: SegmentChoice
  /** How many machines run at the same time. */
  readonly jobs: number
  readonly store: BlobStore
  readonly home: string
  readonly inputsFolder: string
  /** Where blobs may be had that are neither attached nor in the store. */
  readonly places?: readonly BlobPlace[]
  readonly onGather?: (progress: GatherProgress) => void
  readonly signal?: AbortSignal
  readonly onSegment?: (done: SegmentResult, progress: { readonly done: number; readonly chosen: number }) => void
}

export interface SegmentResult {
  readonly segment: number
  /** The checkpoints that bound it. */
  readonly first: number
  readonly last: number
  readonly reproduced: boolean
  /** False when its snapshot is nowhere to be found: then it was not repeated. */
  readonly available: boolean
  readonly firstDivergence: FirstDivergence | undefined
  /** In words, when it is not a checkpoint that differs. */
  readonly detail: string
}

export interface SegmentsResult {
  /** `incomplete`: nothing came out differently, and some that were chosen could not be repeated. */
  readonly repetition: 'reproduced' | 'diverged' | 'incomplete'
  readonly segments: { readonly total: number; readonly repeated: number }
  /**
   * The chance that these draws find one bad segment, if there is exactly one, whichever it is; 1 when all were repeated.
   * 0 when one that was chosen could not be repeated: it may be that one.
   */
  readonly confidence: number
  readonly results: readonly SegmentResult[]
}

export interface Segment {
  readonly segment: number
  readonly first: number
  readonly last: number
}

/**
 * @throws RunnerError `BLOB_MISSING` when a part of the computation is nowhere to be found; `USAGE` for segments that the record does not have; the signal's reason: segments that were cut short say nothing.
 */
export async function repeatSegments(request: SegmentsRequest): Promise<SegmentsResult> {
  const { original } = request
  await gatherBlobs(sourcesOf(request), original.document.computation)
  const segments = segmentsOf(original)
  const weights = segments.map(({ first, last }) => Number(positionOf(original, last) - positionOf(original, first)))
  const chosen = choose(segments, weights, request.choice)
  let done = 0
  const results = await mapLimited(chosen, request.jobs, async (segment) => {
    request.signal?.throwIfAborted()
    const result = await repeatSegment(request, segment)
    done += 1
    request.onSegment?.(result, { done, chosen: chosen.length })
    return result
  })
  const repeated = results.filter(({ available }) => available)
  const isComplete = repeated.length === results.length
  // Segments that the user names were not drawn by chance: they say nothing of the others. What was drawn from all and
  // repeated says something of all, also of those whose snapshots are gone: they might have been drawn.
  const isDrawn = request.choice.kind !== 'range' || repeated.length === segments.length
  return {
    repetition: repeated.some(({ reproduced }) => !reproduced) ? 'diverged' : isComplete ? 'reproduced' : 'incomplete',
    segments: { total: segments.length, repeated: repeated.length },
    confidence: isDrawn && isComplete ? confidence({ total: segments.length, repeated: repeated.length, weights }) : 0,
    results,
  }
}

function positionOf(original: LoadedRecord, seq: number): bigint {
  return BigInt(original.checkpoints.at(seq)?.position ?? 0)
}

function segmentsOf({ snapshots, checkpoints, path }: LoadedRecord): readonly Segment[] {
  const bounds = segmentBounds(snapshots, checkpoints.length - 1)
  if (bounds.length < 2) {
    throw new RunnerError('USAGE', {
      message: `${path} has no segments: it ends at its first checkpoint`,
      hint: `reprise repeat ${path}`,
    })
  }
  return bounds.slice(1).map((last, segment) => ({ segment, first: bounds[segment], last }))
}

/** @throws RunnerError `USAGE`. */
export function choose(
  segments: readonly Segment[],
  weights: readonly number[],
  choice: SegmentChoice,
): readonly Segment[] {
  switch (choice.kind) {
    case 'all':
      return segments
    case 'range': {
      const found = segments.slice(choice.first, choice.last + 1)
      if (choice.last >= segments.length || found.length === 0) {
        throw new RunnerError('USAGE', {
          message: `the record has segments 0 to ${segments.length - 1}`,
          hint: 'choose among them: --segments K..L',
        })
      }
      return found
    }
    default:
      return draw(segments, weights, choice.count)
  }
}

/** Draws without putting back, by weight; the generator is this verifier's own. */
function draw(segments: readonly Segment[], weights: readonly number[], count: number): readonly Segment[] {
  const left = segments.map((segment, i) => ({ segment, weight: Math.max(1, weights[i]) }))
  const drawn: Segment[] = []
  while (drawn.length < count && left.length > 0) {
    const total = left.reduce((sum, { weight }) => sum + weight, 0)
    let at = (randomInt(2 ** 47) / 2 ** 47) * total
    const index = left.findIndex(({ weight }) => (at -= weight) < 0)
    drawn.push(...left.splice(index, 1).map(({ segment }) => segment))
  }
  return drawn.toSorted((a, b) => a.segment - b.segment)
}

async function repeatSegment(request: SegmentsRequest, segment: Segment): Promise<SegmentResult> {
  const { original, store, home, signal } = request
  const { computation } = original.document
  let manifest: SnapshotManifest | undefined
  if (segment.first === 0 && startDiffers(await repeatStart(computation, request)))
    return {
      ...segment,
      reproduced: false,
      available: true,
      firstDivergence: undefined,
      detail: 'its warm start is not what the program comes to',
    }
  try {
    if (segment.first > 0) manifest = await snapshotAt(request, segment.first)
  } catch (error) {
    if (!(error instanceof RunnerError) || (error.code !== 'NOT_THE_SNAPSHOT' && error.code !== 'BLOB_MISSING'))
      throw error
    const available = error.code !== 'BLOB_MISSING'
    return { ...segment, reproduced: false, available, firstDivergence: undefined, detail: error.message }
  }
  await using machine = await startWasmMachine({
    computation,
    blobs: { ...blobPaths(computation, store), ...(manifest !== undefined && snapshotPaths(manifest, store)) },
    home,
    from: manifest,
    // The one at the end is only compared.
    keepsSnapshots: false,
  })
  const interrupt = (): void => machine.interrupt()
  signal?.addEventListener('abort', interrupt)
  try {
    const result = await driveSegment(original, segment, machine, manifest)
    signal?.throwIfAborted()
    return result
  } finally {
    signal?.removeEventListener('abort', interrupt)
  }
}

function sourcesOf({ original, store, inputsFolder, places = [], signal, onGather }: SnapshotSources): BlobSources {
  return { original, store, folder: inputsFolder, places, signal, onProgress: onGather }
}

/**
 * The manifest of the snapshot at a checkpoint, with all that it names in the store.
 *
 * @throws RunnerError `BLOB_MISSING`, `BLOB_CORRUPT`, `NOT_THE_SNAPSHOT`.
 */
export async function snapshotAt(request: SnapshotSources, seq: number): Promise<SnapshotManifest> {
  const { original, store } = request
  const line = original.snapshots.find((snapshot) => snapshot.seq === seq)
  const checkpoint = original.checkpoints.at(seq)
  if (line === undefined || checkpoint === undefined) throw new Error(`there is no snapshot at checkpoint ${seq}`)
  await gatherSnapshot(sourcesOf(request), line)
  return await readSnapshot(line, checkpoint, store)
}

async function driveSegment(
  original: LoadedRecord,
  { segment, first, last }: Segment,
  machine: WasmMachine,
  manifest: SnapshotManifest | undefined,
): Promise<SegmentResult> {
  let firstDivergence: FirstDivergence | undefined
  let wrong: string | undefined
  const compare = (seq: number, kind: Checkpoint['kind'], { position, stateRoot, outputsRoot }: Measurement): void => {
    const measured = { kind, outputs: hex(outputsRoot), position: position.toString(), seq, state: hex(stateRoot) }
    firstDivergence ??= compareCheckpoint(original.checkpoints, measured)
  }
  const failed = (why: string): SegmentResult => ({
    segment,
    first,
    last,
    reproduced: false,
    available: true,
    firstDivergence,
    detail: why,
  })
  if (manifest !== undefined) compare(first, CHECKPOINT_GRID, await machine.measure())
  if (firstDivergence !== undefined) return failed('the snapshot does not give the state that was signed')
  const signed = original.snapshots.find(({ seq }) => seq === last)
  let reached = first
  await drive(
    machine,
    {
      nextDue: recordedPositions(original.checkpoints),
      async onCheckpoint({ seq, kind, measurement, stop }) {
        compare(seq, kind, await measurement)
        reached = seq
        if (firstDivergence !== undefined) return 'stop'
        if (seq < last) return 'go'
        if (kind === CHECKPOINT_FINAL) {
          const outcome = outcomeOf(stop, await machine.results())
          if (canonical(outcome) !== canonical(original.document.outcome)) wrong = 'its outcome is not the recorded one'
        } else if (signed !== undefined && hex((await machine.snapshot()).root) !== signed.root) {
          wrong = 'the stack at its end is not the one that was signed'
        }
        return 'stop'
      },
    },
    manifest === undefined ? undefined : { seq: first, position: BigInt(manifest.position) },
  )
  if (firstDivergence !== undefined) return failed('a checkpoint differs')
  if (reached !== last) return failed(`it ended at checkpoint ${reached}`)
  if (wrong !== undefined) return failed(wrong)
  return { segment, first, last, reproduced: true, available: true, firstDivergence, detail: 'every checkpoint equal' }
}
