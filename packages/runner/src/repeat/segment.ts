/**
 * Repeating one segment of a run, in a machine that was restored from its snapshot or that came to it in the segment before.
 * Rules: spec/record.md §9.
 */
import {
  canonical,
  CHECKPOINT_FINAL,
  CHECKPOINT_GRID,
  hex,
  type Checkpoint,
  type Measurement,
  type SnapshotManifest,
} from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { gatherSnapshot, type BlobPlace, type BlobSources, type GatherProgress } from '../gather/index.ts'
import { startWasmMachine, type WasmMachine } from '../machine/index.ts'
import type { LoadedRecord } from '../record/index.ts'
import { blobPaths, drive, outcomeOf, readSnapshot } from '../run/index.ts'
import { compareCheckpoint, recordedPositions, type FirstDivergence } from './repeat.ts'
import type { Segment } from './schedule.ts'
import { repeatStart, startDiffers } from './warm.ts'

/** What a record is repeated from. */
export interface SegmentSources {
  readonly original: LoadedRecord
  readonly store: BlobStore
  readonly inputsFolder: string
  /** Where blobs may be had that are neither attached nor in the store. */
  readonly places?: readonly BlobPlace[]
  readonly onGather?: (progress: GatherProgress) => void
  readonly signal?: AbortSignal
}

export interface SegmentRequest extends SegmentSources {
  readonly home: string
}

export interface SegmentResult extends Segment {
  readonly reproduced: boolean
  /** False when its snapshot is nowhere to be found: then it was not repeated. */
  readonly available: boolean
  readonly firstDivergence: FirstDivergence | undefined
  /** In words, when it is not a checkpoint that differs. */
  readonly detail: string
}

/** A machine that has reproduced a segment and stands at its end. */
export interface Standing {
  readonly machine: WasmMachine
  readonly at: Segment
}

export function sourcesOf(request: SegmentSources): BlobSources {
  const { original, store, inputsFolder, places = [], signal, onGather } = request
  return { original, store, folder: inputsFolder, places, signal, onProgress: onGather }
}

/**
 * The manifest of the snapshot at a checkpoint, with all that it names in the store.
 *
 * @throws RunnerError `BLOB_MISSING`, `BLOB_CORRUPT`, `NOT_THE_SNAPSHOT`.
 */
export async function snapshotAt(request: SegmentSources, seq: number): Promise<SnapshotManifest> {
  const { original, store } = request
  const line = original.snapshots.find((snapshot) => snapshot.seq === seq)
  const checkpoint = original.checkpoints.at(seq)
  if (line === undefined || checkpoint === undefined) throw new Error(`there is no snapshot at checkpoint ${seq}`)
  await gatherSnapshot(sourcesOf(request), line)
  return await readSnapshot(line, checkpoint, store)
}

/**
 * Repeats a segment.
 *
 * @param standing - A machine at the end of the segment before: it goes on. One that stands elsewhere is ended.
 * @returns Also the machine at the end of this one, when it can be gone on with; it is the caller's then.
 */
export async function repeatSegment(
  request: SegmentRequest,
  segment: Segment,
  standing: Standing | undefined,
): Promise<{ readonly result: SegmentResult; readonly standing?: Standing }> {
  let machine = standing?.machine
  let isKept = false
  const interrupt = (): void => machine?.interrupt()
  request.signal?.addEventListener('abort', interrupt)
  try {
    const beginning = await beginningOf(request, segment)
    if ('refused' in beginning) return { result: beginning.refused }
    const { manifest } = beginning
    if (standing?.at.last !== segment.first) {
      await machine?.[Symbol.asyncDispose]()
      machine = await startMachine(request, segment, manifest)
      // What was aborted while the machine got ready tells nobody any more.
      request.signal?.throwIfAborted()
    }
    const result = await driveSegment(request.original, segment, machine as WasmMachine, manifest).catch(
      async (error: unknown) => {
        const restored = await machine?.restored
        if (restored === undefined || restored.isExpected) throw error
        return notRestored(request.original, segment, restored.measurement)
      },
    )
    request.signal?.throwIfAborted()
    isKept = result.reproduced
    return { result, ...(isKept && { standing: { machine: machine as WasmMachine, at: segment } }) }
  } finally {
    request.signal?.removeEventListener('abort', interrupt)
    if (!isKept) await machine?.[Symbol.asyncDispose]()
  }
}

async function startMachine(
  { original, store, home }: SegmentRequest,
  { first }: Segment,
  manifest: SnapshotManifest | undefined,
): Promise<WasmMachine> {
  const { computation } = original.document
  const expected = original.checkpoints.at(first)
  return await startWasmMachine({
    computation,
    blobs: blobPaths(computation, store, manifest),
    home,
    from: manifest && expected && { manifest, expected },
    // The one at the end is only compared.
    keepsSnapshots: false,
  })
}

/** The snapshot at the beginning of a segment, whether or not a machine has to be restored from it; or why it cannot be repeated. */
async function beginningOf(
  request: SegmentRequest,
  segment: Segment,
): Promise<{ readonly manifest: SnapshotManifest | undefined } | { readonly refused: SegmentResult }> {
  const refused = (available: boolean, detail: string): { readonly refused: SegmentResult } => ({
    refused: { ...segment, reproduced: false, available, firstDivergence: undefined, detail },
  })
  if (segment.first === 0) {
    if (startDiffers(await repeatStart(request.original.document.computation, request)))
      return refused(true, 'its warm start is not what the program comes to')
    return { manifest: undefined }
  }
  try {
    return { manifest: await snapshotAt(request, segment.first) }
  } catch (error) {
    if (!(error instanceof RunnerError) || (error.code !== 'NOT_THE_SNAPSHOT' && error.code !== 'BLOB_MISSING'))
      throw error
    return refused(error.code !== 'BLOB_MISSING', error.message)
  }
}

function compared(
  original: LoadedRecord,
  { seq, kind }: { readonly seq: number; readonly kind: Checkpoint['kind'] },
  { position, stateRoot, outputsRoot }: Measurement,
): FirstDivergence | undefined {
  const measured = { kind, outputs: hex(outputsRoot), position: position.toString(), seq, state: hex(stateRoot) }
  return compareCheckpoint(original.checkpoints, measured)
}

function diverged(segment: Segment, firstDivergence: FirstDivergence | undefined, detail: string): SegmentResult {
  return { ...segment, reproduced: false, available: true, firstDivergence, detail }
}

function notRestored(original: LoadedRecord, segment: Segment, measurement: Measurement): SegmentResult {
  const difference = compared(original, { seq: segment.first, kind: CHECKPOINT_GRID }, measurement)
  return diverged(segment, difference, 'the snapshot does not give the state that was signed')
}

async function driveSegment(
  original: LoadedRecord,
  segment: Segment,
  machine: WasmMachine,
  manifest: SnapshotManifest | undefined,
): Promise<SegmentResult> {
  const { first, last } = segment
  let firstDivergence: FirstDivergence | undefined
  let wrong: string | undefined
  let reached = first
  const signed = original.snapshots.find(({ seq }) => seq === last)
  await drive(
    machine,
    {
      nextDue: recordedPositions(original.checkpoints),
      async onCheckpoint({ seq, kind, measurement, stop }) {
        firstDivergence = compared(original, { seq, kind }, await measurement)
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
  if (firstDivergence !== undefined) return diverged(segment, firstDivergence, 'a checkpoint differs')
  if (reached !== last) return diverged(segment, undefined, `it ended at checkpoint ${reached}`)
  if (wrong !== undefined) return diverged(segment, undefined, wrong)
  return { ...segment, reproduced: true, available: true, firstDivergence, detail: 'every checkpoint equal' }
}
