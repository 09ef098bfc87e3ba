/**
 * Repeating a run: the same computation again, checkpoint against checkpoint, then the sealed
 * criteria. The repetition is a run like any other and leaves a signed record of its own.
 */
import { CHECKPOINT_GRID, NEVER, type Checkpoint, type Outcome } from '@reprise/core'
import { applyCriteria, type CriterionResult, type Side } from '../compare/index.ts'
import { gatherBlobs, type BlobPlace, type GatherProgress } from '../gather/index.ts'
import type { CheckpointList, LoadedRecord } from '../record/index.ts'
import { run, type RunRequest, type RunResult } from '../run/index.ts'
import { repeatStart, startDiffers, type RepeatedStart } from './warm.ts'

export interface RepeatRequest extends Pick<
  RunRequest,
  | 'attach'
  | 'home'
  | 'maxLagMs'
  | 'onProgress'
  | 'onStream'
  | 'onTrouble'
  | 'recordPath'
  | 'signal'
  | 'signer'
  | 'snapshotMs'
  | 'store'
> {
  readonly original: LoadedRecord
  /** Folder in which inputs that are missing elsewhere are looked for by path. */
  readonly inputsFolder: string
  /** Where blobs may be had that are neither attached nor in the store. */
  readonly places?: readonly BlobPlace[]
  readonly onGather?: (progress: GatherProgress) => void
  /** Goes on past the first difference, to the end. */
  readonly continue: boolean
}

export interface FirstDivergence {
  readonly seq: number
  /** Decimal; null where that side has no such checkpoint. */
  readonly position: { readonly original: string | null; readonly repetition: string | null }
  readonly differs: readonly ('position' | 'kind' | 'state' | 'outputs' | 'length')[]
}

export interface RepeatResult {
  readonly repetition: 'reproduced' | 'diverged'
  readonly criteria: readonly CriterionResult[]
  readonly firstDivergence: FirstDivergence | undefined
  readonly checkpointsEqual: boolean
  readonly start: RepeatedStart
  /** Absent when the program does not come to the warm start of the computation: nothing can follow from it. */
  readonly run: RunResult | undefined
}

/**
 * Snapshots of the repetition itself go when it has ended, unless its record carries them.
 *
 * @throws RunnerError `BLOB_MISSING` when something that the computation names is nowhere to be found.
 */
export async function repeat(request: RepeatRequest): Promise<RepeatResult> {
  const { original } = request
  const { computation, outcome, run: originalRun } = original.document
  const { store, inputsFolder: folder, places = [], signal, onGather: onProgress } = request
  await gatherBlobs({ original, store, folder, places, signal, onProgress }, computation)
  const start = await repeatStart(computation, request)
  if (startDiffers(start)) {
    const criteria = computation.success.map((criterion) => ({ criterion, met: null, detail: 'nothing was run' }))
    return {
      repetition: 'diverged',
      criteria,
      firstDivergence: undefined,
      checkpointsEqual: false,
      start,
      run: undefined,
    }
  }
  let firstDivergence: FirstDivergence | undefined
  const repetition = await run({
    ...request,
    computation,
    // Who wants to go on or to repeat in parts has those of the original.
    keepSnapshots: request.attach === 'all' ? 'all' : 'none',
    repeats: originalRun,
    nextDue: recordedPositions(original.checkpoints),
    onCheckpoint(checkpoint) {
      firstDivergence ??= compareCheckpoint(original.checkpoints, checkpoint)
      return firstDivergence === undefined || request.continue ? 'go' : 'stop'
    },
  })
  firstDivergence ??= compareLength(original.checkpoints, repetition)
  const checkpointsEqual = firstDivergence === undefined && original.cumulative === repetition.cumulative
  const criteria = await applyCriteria({
    criteria: computation.success,
    checkpointsEqual,
    outputs: { original: outcome?.outputs ?? [], repetition: repetition.outcome?.outputs ?? [] },
    output: outputReader(request, { original: outcome, repetition: repetition.outcome }),
  })
  const isReproduced = repetition.outcome !== undefined && criteria.every(({ met }) => met === true)
  return {
    repetition: isReproduced ? 'reproduced' : 'diverged',
    criteria,
    firstDivergence,
    checkpointsEqual,
    start,
    run: repetition,
  }
}

/** The grid positions as they were recorded, so that a repetition measures where the original did. */
export function recordedPositions(checkpoints: CheckpointList): (position: bigint) => bigint {
  let next = 0
  return (position) => {
    for (; ; next++) {
      const checkpoint = checkpoints.at(next)
      if (checkpoint === undefined) return NEVER
      const recorded = BigInt(checkpoint.position)
      if (checkpoint.kind === CHECKPOINT_GRID && recorded > position) return recorded
    }
  }
}

/** The difference between a checkpoint of the repetition and its original; undefined when they are equal. */
export function compareCheckpoint(original: CheckpointList, checkpoint: Checkpoint): FirstDivergence | undefined {
  const { seq } = checkpoint
  const expected = original.at(seq)
  if (expected === undefined) {
    return { seq, position: { original: null, repetition: checkpoint.position }, differs: ['length'] }
  }
  const differs = (['position', 'kind', 'state', 'outputs'] as const).filter(
    (field) => expected[field] !== checkpoint[field],
  )
  if (differs.length === 0) return undefined
  return { seq, position: { original: expected.position, repetition: checkpoint.position }, differs }
}

function compareLength(original: CheckpointList, { checkpoints, outcome }: RunResult): FirstDivergence | undefined {
  const missing = original.at(checkpoints)
  if (missing === undefined || outcome === undefined) return undefined
  return { seq: missing.seq, position: { original: missing.position, repetition: null }, differs: ['length'] }
}

function outputReader(
  { original, store }: RepeatRequest,
  outcomes: Readonly<Record<Side, Outcome | null | undefined>>,
): (side: Side, path: string) => Promise<Uint8Array | undefined> {
  return async (side, path) => {
    const output = outcomes[side]?.outputs.find((entry) => entry.path === path)
    if (output === undefined) return undefined
    const attached = side === 'original' ? await original.blob(output.sha256) : undefined
    return attached ?? ((await store.has(output.sha256)) ? await store.read(output.sha256) : undefined)
  }
}
