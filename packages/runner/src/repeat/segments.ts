/**
 * Repeating a run in parts, several at a time: each segment from its snapshot, or in a machine that came there. A segment is
 * reproduced when every checkpoint in it comes out equal, and the snapshot or the outcome at its end too: a forged stack
 * fails in the segment before it. Rules: spec/record.md §9.
 */
import { randomInt } from 'node:crypto'
import { confidence, segmentBounds } from '@reprise/core'
import { RunnerError } from '../error.ts'
import { gatherBlobs } from '../gather/index.ts'
import type { LoadedRecord } from '../record/index.ts'
import { createSchedule, type Segment } from './schedule.ts'
import { repeatSegment, sourcesOf, type SegmentRequest, type SegmentResult, type Standing } from './segment.ts'

/** `all`, `sample:K` by the verifier's own random generator, or `K..L`, counted from 0. */
export type SegmentChoice =
  | { readonly kind: 'all' }
  | { readonly kind: 'sample'; readonly count: number }
  | { readonly kind: 'range'; readonly first: number; readonly last: number }

export interface SegmentsRequest extends SegmentRequest {
  readonly choice: SegmentChoice
  /** How many machines run at the same time. */
  readonly jobs: number
  readonly onSegment?: (done: SegmentResult, progress: { readonly done: number; readonly chosen: number }) => void
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

/**
 * @throws RunnerError `BLOB_MISSING` when a part of the computation is nowhere to be found; `USAGE` for segments that the record does not have; the signal's reason: segments that were cut short say nothing.
 */
export async function repeatSegments(request: SegmentsRequest): Promise<SegmentsResult> {
  const { original } = request
  await gatherBlobs(sourcesOf(request), original.document.computation)
  const segments = segmentsOf(original)
  const weights = segments.map(({ first, last }) => Number(positionOf(original, last) - positionOf(original, first)))
  const chosen = choose(segments, weights, request.choice)
  const results = await repeatChosen(request, chosen, ({ segment }) => weights[segment])
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

/** @returns Their results, in their order. Once one has failed, none is begun any more. */
async function repeatChosen(
  request: SegmentsRequest,
  chosen: readonly Segment[],
  weightOf: (segment: Segment) => number,
): Promise<readonly SegmentResult[]> {
  const schedule = createSchedule(chosen, weightOf)
  const results = new Map<number, SegmentResult>()
  const work = async (job: number): Promise<void> => {
    let standing: Standing | undefined
    try {
      for (let segment; (segment = schedule.take(job, standing?.at)) !== undefined;) {
        request.signal?.throwIfAborted()
        // From here on the machine is in its hands.
        const from = standing
        standing = undefined
        const repeated = await repeatSegment(request, segment, from)
        standing = repeated.standing
        results.set(segment.segment, repeated.result)
        request.onSegment?.(repeated.result, { done: results.size, chosen: chosen.length })
      }
    } catch (error) {
      schedule.close()
      throw error
    } finally {
      await standing?.machine[Symbol.asyncDispose]()
    }
  }
  const jobs = Array.from({ length: Math.min(request.jobs, chosen.length) }, (_, job) => work(job))
  for (const settled of await Promise.allSettled(jobs)) if (settled.status === 'rejected') throw settled.reason
  return chosen.flatMap(({ segment }) => results.get(segment) ?? [])
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
