/** `reprise repeat`: run it again, compare every checkpoint, apply the sealed criteria. */
import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { loadRecord, repeat, type AttachLevel, type RepeatResult, type SegmentChoice } from '@reprise/runner'
import { openPlaces } from '../blob-places.ts'
import { createContext, openStore } from '../context.ts'
import { EXIT_INTERRUPTED, EXIT_NO, EXIT_UNKNOWN, EXIT_YES } from '../exit.ts'
import { count, paint, safe, short, shortPath } from '../print/format.ts'
import { gatherProgress } from '../print/gather-progress.ts'
import { openSignedWork } from '../signed-work.ts'
import { repeatInParts } from './repeat-segments.ts'
import { criterion, printVerdict, verifyFile } from './verify.ts'

interface RepeatOptions {
  readonly output?: string
  readonly inputs: string
  readonly blobs?: readonly string[]
  readonly continue?: boolean
  readonly attach: AttachLevel
  readonly segments?: SegmentChoice
  readonly jobs: number
  readonly json?: boolean
}

export async function action(options: object, [path = '']: readonly string[]): Promise<number> {
  const {
    output,
    inputs,
    blobs = [],
    attach,
    segments,
    jobs,
    json = false,
    continue: goesOn = false,
  } = options as RepeatOptions
  const context = createContext()
  const evidence = await verifyFile(path)
  if (evidence.evidence !== 'verified' && !json) printVerdict(path, evidence)
  await using original = await loadRecord(path)
  const store = await openStore(context)
  const places = await openPlaces(context, blobs)
  if (segments !== undefined)
    return await repeatInParts({
      original,
      choice: segments,
      jobs,
      store,
      inputs,
      places,
      context,
      json,
      evidence: evidence.evidence,
    })
  const gathering = gatherProgress()
  await using work = openSignedWork(context)
  const { signer, progress, onTrouble } = work
  const result = await repeat({
    original,
    store,
    home: context.home,
    signer,
    attach,
    inputsFolder: resolve(inputs),
    places,
    onGather: gathering.show,
    continue: goesOn,
    recordPath: output === undefined ? freeRecordPath(path) : resolve(output),
    signal: context.signal,
    onProgress(shown) {
      gathering.clear()
      progress.show(shown)
    },
    onTrouble,
  }).finally(() => {
    gathering.clear()
    progress.clear()
  })
  if (json) process.stdout.write(`${JSON.stringify(answer(result, evidence.evidence))}\n`)
  else printResult(path, result)
  return exitCode(result, context.signal)
}

function freeRecordPath(original: string): string {
  const stem = basename(original).replace(/\.reprise$/, '')
  for (let n = 1; ; n++) {
    const path = resolve(`${stem}.repeat${n === 1 ? '' : `-${n}`}.reprise`)
    if (!existsSync(path)) return path
  }
}

function exitCode({ repetition, criteria, firstDivergence, run }: RepeatResult, signal: AbortSignal): number {
  if (repetition === 'reproduced') return EXIT_YES
  if (run === undefined) return EXIT_NO
  if (signal.aborted) return EXIT_INTERRUPTED
  const isUnknown = firstDivergence === undefined && criteria.every(({ met }) => met !== false)
  return isUnknown ? EXIT_UNKNOWN : EXIT_NO
}

function answer(result: RepeatResult, evidence: string): object {
  return {
    schema: 'reprise/repeat-result/v1',
    repetition: result.repetition,
    evidence,
    criteria: result.criteria,
    segments: { total: 0, repeated: 0 },
    start: result.start,
    checkpoints: result.run?.checkpoints ?? 0,
    checkpointsEqual: result.checkpointsEqual,
    cumulative: result.run?.cumulative ?? null,
    record: result.run?.recordPath ?? null,
    firstDivergence: result.firstDivergence ?? null,
  }
}

/** Nothing was run: the program does not come to where the record says that it began. */
function printStart(path: string, start: RepeatResult['start']): void {
  const { stdout } = process
  stdout.write(`${paint('red', 'diverged', stdout)}   ${safe(path)}   its warm start\n`)
  if (start.kind === 'cold') return
  const { original, repetition } = start.snapshotRoot
  const came = repetition === null ? 'never becomes warm' : `comes to the state ${short(repetition)}`
  stdout.write(`  it says that it began at the state ${short(original)}; its program ${came}\n`)
}

function printResult(path: string, result: RepeatResult): void {
  const { stdout } = process
  const line = (text: string): void => void stdout.write(`${text}\n`)
  const { repetition, firstDivergence, criteria, run, start } = result
  if (run === undefined) return printStart(path, start)
  line(
    `${paint(repetition === 'reproduced' ? 'green' : 'red', repetition, stdout)}   ${safe(path)}   ${short(run.cumulative)}`,
  )
  if (firstDivergence === undefined) {
    line(`  ${count(run.checkpoints, 'checkpoint')}, each with the same state as the original's`)
  } else {
    const { seq, differs, position } = firstDivergence
    line(
      `  checkpoint ${seq} is the first that differs, in ${differs.join(', ')} (position ${position.original ?? 'none'} then, ${position.repetition ?? 'none'} now)`,
    )
  }
  for (const { criterion: item, met, detail } of criteria) {
    const word = met === null ? 'criterion not decided' : met ? 'criterion met' : 'criterion not met'
    line(`  ${word}: ${criterion(item)}${'checkpoints' in item ? '' : ` (${safe(detail)})`}`)
  }
  line(`  the repetition's own record: ${safe(shortPath(run.recordPath))}`)
  if (repetition === 'diverged') line(`  next: reprise diff ${safe(path)} ${safe(shortPath(run.recordPath))}`)
}
