/** `reprise repeat --segments`: parts of a run from their snapshots, side by side. */
import { resolve } from 'node:path'
import {
  repeatSegments,
  type BlobPlace,
  type BlobStore,
  type LoadedRecord,
  type SegmentChoice,
  type SegmentsResult,
} from '@reprise/runner'
import type { Context } from '../context.ts'
import { EXIT_INTERRUPTED, EXIT_NO, EXIT_UNKNOWN, EXIT_YES } from '../exit.ts'
import { count, paint, safe } from '../print/format.ts'
import { gatherProgress } from '../print/gather-progress.ts'
import { progressLine } from '../print/progress.ts'

interface PartsRequest {
  readonly original: LoadedRecord
  readonly choice: SegmentChoice
  readonly jobs: number
  readonly store: BlobStore
  readonly inputs: string
  readonly places: readonly BlobPlace[]
  readonly context: Context
  readonly json: boolean
  /** What verification of the record said. */
  readonly evidence: string
}

export async function repeatInParts(request: PartsRequest): Promise<number> {
  const { original, choice, jobs, store, context, json } = request
  const progress = progressLine()
  const gathering = gatherProgress()
  const result = await repeatSegments({
    original,
    choice,
    jobs,
    store,
    home: context.home,
    inputsFolder: resolve(request.inputs),
    places: request.places,
    onGather: gathering.show,
    signal: context.signal,
    onSegment: (_done, { done, chosen }) => progress.show(`${done} of ${count(chosen, 'segment')} repeated`),
  })
    .catch((error: unknown) => {
      if (context.signal.aborted) return undefined
      throw error
    })
    .finally(() => {
      gathering.clear()
      progress.clear()
    })
  if (result === undefined) return EXIT_INTERRUPTED
  if (json) process.stdout.write(`${JSON.stringify(answer(result, request.evidence))}\n`)
  else print(original.path, result)
  return EXITS[result.repetition]
}

const EXITS = { reproduced: EXIT_YES, diverged: EXIT_NO, incomplete: EXIT_UNKNOWN } as const
const COLOURS = { reproduced: 'green', diverged: 'red', incomplete: 'yellow' } as const

function answer(result: SegmentsResult, evidence: string): object {
  const { repetition, segments, confidence, results } = result
  const firstDivergence = results.find((item) => item.firstDivergence !== undefined)?.firstDivergence ?? null
  return {
    schema: 'reprise/repeat-result/v1',
    repetition,
    evidence,
    criteria: [],
    segments,
    confidence,
    results,
    record: null,
    firstDivergence,
  }
}

function print(path: string, { repetition, segments, confidence, results }: SegmentsResult): void {
  const { stdout } = process
  const line = (text: string): void => void stdout.write(`${text}\n`)
  line(
    `${paint(COLOURS[repetition], repetition, stdout)}, ${segments.repeated} of ${count(segments.total, 'segment')}   ${safe(path)}`,
  )
  for (const { segment, first, last, reproduced, available, detail, firstDivergence } of results) {
    const where =
      firstDivergence === undefined
        ? ''
        : `: checkpoint ${firstDivergence.seq}, in ${firstDivergence.differs.join(', ')}`
    const word = reproduced ? 'reproduced' : available ? 'diverged' : 'not repeated'
    line(
      `  segment ${segment}, checkpoints ${first} to ${last}: ${word}${reproduced ? '' : ` (${safe(detail.replaceAll(/\s+/g, ' '))}${where})`}`,
    )
  }
  if (results.some(({ available }) => !available))
    line(
      `  a missing snapshot may come by --blobs, or in a record by reprise export RUN --format record --attach all where it ran; else the whole run: reprise repeat ${safe(path)}`,
    )
  const chance = `${(100 * confidence).toFixed(1)} %`
  const isBound = confidence > 0 && confidence < 1
  line(
    `  chance that one bad segment among all would have been found: ${isBound ? `at least ${chance}, for it may be the shortest` : chance}`,
  )
}
