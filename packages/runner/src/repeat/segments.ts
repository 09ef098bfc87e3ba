/**
 * Repeating a run in parts: each segment from its snapshot in a machine of its own, several at a time. A segment is
 * reproduced when every checkpoint in it comes out equal, and the snapshot at its end too: a forged stack fails in
 * the segment before it. Rules: spec/record.md §9.
 */
import { randomInt } from 'node:crypto'
import {
  CHECKPOINT_GRID,
  confidence,
  decodeManifestBytes,
  hex,
  manifestBlobs,
  segmentBounds,
  type Checkpoint,
  type Measurement,
  type SnapshotManifest,
} from '@reprise/core'
import { RunnerError } from '../error.ts'
import type { BlobStore } from '../blobs/index.ts'
import { startWasmMachine, type WasmMachine } from '../machine/index.ts'
import { mapLimited } from '../parallel.ts'
import type { LoadedRecord } from '../record/index.ts'
import { blobPaths, drive } from '../run/index.ts'
import { gatherBlobs } from './gather.ts'
import { compareCheckpoint, recordedPositions, type FirstDivergence } from './repeat.ts'

/** `all`, `sample:K` by the verifier's own random generator, or `K..L`, counted from 0. */
export type SegmentChoice =
  | { readonly kind: 'all' }
  | { readonly kind: 'sample'; readonly count: number }
  | { readonly kind: 'range'; readonly first: number; readonly last: number }

export interface SegmentsRequest {
  readonly original: LoadedRecord
  readonly choice: SegmentChoice
  /** How many machines run at the same time. */
  readonly jobs: number
  readonly store: BlobStore
  readonly home: string
  readonly inputsFolder: string
  readonly signal?: AbortSignal
  readonly onSegment?: (done: SegmentResult, progress: { readonly done: number; readonly chosen: number }) => void
}

export interface SegmentResult {
  readonly segment: number
  /** The checkpoints that bound it. */
  readonly first: number
  readonly last: number
  readonly reproduced: boolean
  readonly firstDivergence: FirstDivergence | undefined
  /** In words, when it is not a checkpoint that differs. */
  readonly detail: string
}

export interface SegmentsResult {
  readonly repetition: 'reproduced' | 'diverged'
  readonly segments: { readonly total: number; readonly repeated: number }
  /** The chance that these draws find one bad segment, if there is exactly one; 1 when all were repeated. */
  readonly confidence: number
  readonly results: readonly SegmentResult[]
}

interface Segment {
  readonly segment: number
  readonly first: number
  readonly last: number
}

/**
 * @throws RunnerError `BLOB_MISSING` when the computation or a snapshot that is needed is nowhere to be found; `USAGE`
 *   for segments that the record does not have.
 */
export async function repeatSegments(request: SegmentsRequest): Promise<SegmentsResult> {
  const { original, store } = request
  const { computation } = original.document
  await gatherBlobs({ computation, original, store, folder: request.inputsFolder })
  const segments = segmentsOf(original)
  const weights = segments.map(({ first, last }) => Number(positionOf(original, last) - positionOf(original, first)))
  const chosen = choose(segments, weights, request.choice)
  let done = 0
  const results = await mapLimited(chosen, request.jobs, async (segment) => {
    const result = await repeatSegment(request, segment)
    done += 1
    request.onSegment?.(result, { done, chosen: chosen.length })
    return result
  })
  return {
    repetition: results.every(({ reproduced }) => reproduced) ? 'reproduced' : 'diverged',
    segments: { total: segments.length, repeated: results.length },
    // Segments that the user names were not drawn by chance: they say nothing of the others.
    confidence:
      request.choice.kind === 'range' && results.length < segments.length
        ? 0
        : confidence({ total: segments.length, repeated: results.length, weights }),
    results,
  }
}

function positionOf(original: LoadedRecord, seq: number): bigint {
  return BigInt(original.checkpoints[seq]?.position ?? 0)
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

function choose(segments: readonly Segment[], weights: readonly number[], choice: SegmentChoice): readonly Segment[] {
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
    drawn.push(...left.splice(index < 0 ? left.length - 1 : index, 1).map(({ segment }) => segment))
  }
  return drawn.toSorted((a, b) => a.segment - b.segment)
}

async function repeatSegment(request: SegmentsRequest, segment: Segment): Promise<SegmentResult> {
  const { original, store, home } = request
  const { computation } = original.document
  const manifest = segment.first === 0 ? undefined : await snapshotManifest(request, segment.first)
  await using machine = await startWasmMachine({
    computation,
    blobs: { ...blobPaths(computation, store), ...manifestPaths(manifest, store) },
    home,
    from: manifest,
  })
  const interrupt = (): void => machine.interrupt()
  request.signal?.addEventListener('abort', interrupt)
  try {
    return await driveSegment(original, segment, machine, manifest)
  } finally {
    request.signal?.removeEventListener('abort', interrupt)
  }
}

function manifestPaths(manifest: SnapshotManifest | undefined, store: BlobStore): Readonly<Record<string, string>> {
  return Object.fromEntries(
    (manifest === undefined ? [] : manifestBlobs(manifest)).map(({ sha256 }) => [sha256, store.path(sha256)]),
  )
}

/** The manifest of the snapshot at a checkpoint, with all that it names in the store. */
async function snapshotManifest({ original, store }: SegmentsRequest, seq: number): Promise<SnapshotManifest> {
  const line = original.snapshots.find((snapshot) => snapshot.seq === seq)
  if (line === undefined) throw new Error(`there is no snapshot at checkpoint ${seq}`)
  await bring(original, store, line.manifest)
  const manifest = decodeManifestBytes(await store.read(line.manifest))
  for (const { sha256 } of manifestBlobs(manifest)) await bring(original, store, sha256)
  return manifest
}

async function bring(original: LoadedRecord, store: BlobStore, sha256: string): Promise<void> {
  if (await store.has(sha256)) return
  const attached = await original.blob(sha256)
  if (attached === undefined) {
    throw new RunnerError('BLOB_MISSING', {
      message: `a snapshot of ${original.path} is neither attached nor on this machine (sha256:${sha256})`,
      hint: 'ask for a record made with --attach all, or repeat the whole run: reprise repeat',
    })
  }
  await store.putBytes(attached)
}

async function driveSegment(
  original: LoadedRecord,
  { segment, first, last }: Segment,
  machine: WasmMachine,
  manifest: SnapshotManifest | undefined,
): Promise<SegmentResult> {
  let firstDivergence: FirstDivergence | undefined
  let detail = 'every checkpoint equal'
  const compare = (seq: number, kind: Checkpoint['kind'], { position, stateRoot, outputsRoot }: Measurement): void => {
    const measured = { kind, outputs: hex(outputsRoot), position: position.toString(), seq, state: hex(stateRoot) }
    firstDivergence ??= compareCheckpoint(original.checkpoints, measured)
  }
  const failed = (why: string): SegmentResult => ({
    segment,
    first,
    last,
    reproduced: false,
    firstDivergence,
    detail: why,
  })
  if (manifest !== undefined) compare(first, CHECKPOINT_GRID, await machine.measure())
  if (firstDivergence !== undefined) return failed('the snapshot does not give the state that was signed')
  const isLast = last === original.checkpoints.length - 1
  const signed = isLast ? undefined : original.snapshots.find(({ seq }) => seq === last)
  let reached = -1
  const ended = await drive(
    machine,
    {
      nextDue: recordedPositions(original.checkpoints),
      async onCheckpoint({ seq, kind, measurement }) {
        compare(seq, kind, await measurement)
        reached = seq
        if (firstDivergence !== undefined) return 'stop'
        if (seq < last || isLast) return 'go'
        const { root } = await machine.snapshot()
        if (signed !== undefined && hex(root) !== signed.root)
          detail = 'the stack at its end is not the one that was signed'
        return 'stop'
      },
    },
    manifest === undefined ? undefined : { seq: first, position: BigInt(manifest.position) },
  )
  if (firstDivergence !== undefined) return failed('a checkpoint differs')
  if (ended?.kind === 'interrupted') return failed('interrupted')
  if (reached !== last) return failed(`it ended at checkpoint ${reached}`)
  return { segment, first, last, reproduced: detail === 'every checkpoint equal', firstDivergence, detail }
}
