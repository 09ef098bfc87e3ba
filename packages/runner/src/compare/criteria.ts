/**
 * The sealed success criteria, applied to a repetition. Rules: spec/computation.md §3.
 *
 * Each kind of comparison is one entry of {@link comparators}.
 */

import type { Compare, Criterion, OutcomeOutput } from '@reprise/core'
import { compareJson, type JsonTape, JsonSyntaxError, parseJsonTape } from './json.ts'
import { compareNumbers, describeComparison, NumberCursor, shortNumber } from './numbers.ts'
import { columnOf, decodeText, firstDifference, linesOf, quote, TEXT_BYTES_MAX } from './text.ts'

export type Side = 'original' | 'repetition'

export interface Judgement {
  /** Null: could not find out; `detail` says why. */
  readonly met: boolean | null
  /** One line for humans; of a difference the first one, with its place and both values. */
  readonly detail: string
}

export interface CriterionResult extends Judgement {
  readonly criterion: Criterion
}

export interface CriteriaRequest {
  readonly criteria: readonly Criterion[]
  readonly checkpointsEqual: boolean | 'not compared'
  /** What each run has by its outcome; digests settle equal outputs without their bytes. */
  readonly outputs: Readonly<Record<Side, readonly OutcomeOutput[]>>
  /** The bytes of an output, undefined when they are not at hand. Asked for only where digests differ. */
  readonly output: (side: Side, path: string) => Promise<Uint8Array | undefined>
}

/** Judges every criterion, in the order of the computation. A criterion that is not met is an answer, not an error. */
export async function applyCriteria(request: CriteriaRequest): Promise<readonly CriterionResult[]> {
  const results: CriterionResult[] = []
  for (const criterion of request.criteria) {
    const judgement =
      'checkpoints' in criterion
        ? judgeCheckpoints(request.checkpointsEqual)
        : // One after the other, because two outputs of the largest size are enough to hold.
          await judgeOutput(request, criterion)
    results.push({ criterion, ...judgement })
  }
  return results
}

function judgeCheckpoints(equal: boolean | 'not compared'): Judgement {
  if (equal === 'not compared') return { met: null, detail: 'the checkpoints were not compared' }
  return { met: equal, detail: equal ? 'every checkpoint is equal' : 'the checkpoints differ' }
}

async function judgeOutput(
  { outputs, output }: CriteriaRequest,
  { output: path, compare }: { readonly output: string; readonly compare: Compare },
): Promise<Judgement> {
  const original = outputs.original.find((entry) => entry.path === path)
  const repetition = outputs.repetition.find((entry) => entry.path === path)
  if (original === undefined && repetition === undefined) return { met: false, detail: `neither run has ${path}` }
  if (original === undefined) return { met: false, detail: `the original has no ${path}` }
  if (repetition === undefined) return { met: false, detail: `the repetition has no ${path}` }
  if (original.sha256 === repetition.sha256) return { met: true, detail: `equal, ${original.length} bytes` }

  const comparator = comparators[compare.kind] as Comparator<Compare>
  const longer = Math.max(original.length, repetition.length)
  if (longer > comparator.bytesMax) {
    return (
      comparator.withoutBytes ?? { met: null, detail: `${longer} bytes; at most ${comparator.bytesMax} are compared` }
    )
  }
  const bytes = { original: await output('original', path), repetition: await output('repetition', path) }
  if (bytes.original === undefined || bytes.repetition === undefined) {
    const side = bytes.original === undefined ? 'original' : 'repetition'
    return comparator.withoutBytes ?? { met: null, detail: `the bytes of the ${side} are not at hand` }
  }
  return comparator.judge({ original: bytes.original, repetition: bytes.repetition }, compare)
}

/** A kind of comparison. It sees only outputs whose digests differ. */
interface Comparator<Kind extends Compare> {
  /** Above it, in either run, the bytes are not asked for. */
  readonly bytesMax: number
  /** The answer where digests alone give one. */
  readonly withoutBytes?: Judgement
  readonly judge: (bytes: Readonly<Record<Side, Uint8Array>>, compare: Kind) => Judgement
}

const comparators: { readonly [Kind in Compare['kind']]: Comparator<Extract<Compare, { kind: Kind }>> } = {
  bytes: { bytesMax: TEXT_BYTES_MAX, withoutBytes: { met: false, detail: 'the digests differ' }, judge: judgeBytes },
  text: { bytesMax: TEXT_BYTES_MAX, judge: onTexts(judgeTexts) },
  numbers: { bytesMax: TEXT_BYTES_MAX, judge: onTexts(judgeNumbers) },
  json: { bytesMax: TEXT_BYTES_MAX, judge: onTexts(judgeJson) },
}

function judgeBytes({ original, repetition }: Readonly<Record<Side, Uint8Array>>): Judgement {
  const shared = Math.min(original.length, repetition.length)
  for (let at = 0; at < shared; at++) {
    if (original[at] !== repetition[at]) return { met: false, detail: `byte ${at} (from 0) is the first that differs` }
  }
  if (original.length === repetition.length) return { met: true, detail: `equal, ${shared} bytes` }
  return { met: false, detail: `${original.length} bytes and ${repetition.length} bytes, equal as far as both go` }
}

type WithTolerance = Extract<Compare, { abs: number }>

type TextJudge<Kind extends Compare> = (original: string, repetition: string, compare: Kind) => Judgement

function onTexts<Kind extends Compare>(judge: TextJudge<Kind>): Comparator<Kind>['judge'] {
  return (bytes, compare) => {
    const original = decodeText(bytes.original)
    if (original === undefined) return { met: false, detail: 'the original is not text (UTF-8)' }
    const repetition = decodeText(bytes.repetition)
    if (repetition === undefined) return { met: false, detail: 'the repetition is not text (UTF-8)' }
    return judge(original, repetition, compare)
  }
}

/** Goes through both texts line by line; `compareLine` answers with what is wrong. */
function judgeLines(
  original: string,
  repetition: string,
  compareLine: (a: string, b: string) => string | undefined,
): { readonly lines: number } | { readonly wrong: string } {
  const [as, bs] = [linesOf(original), linesOf(repetition)]
  for (let line = 1; ; line++) {
    const [a, b] = [as.next(), bs.next()]
    if (a.done === true && b.done === true) return { lines: line - 1 }
    if (a.done === true || b.done === true) {
      return { wrong: `the ${a.done === true ? 'original' : 'repetition'} ends before line ${line}` }
    }
    const wrong = a.value === b.value ? undefined : compareLine(a.value, b.value)
    if (wrong !== undefined) return { wrong: `line ${line}, ${wrong}` }
  }
}

function judgeTexts(original: string, repetition: string): Judgement {
  const judged = judgeLines(original, repetition, (a, b) => describeTexts(a, b, 0))
  if ('wrong' in judged) return { met: false, detail: judged.wrong }
  return { met: true, detail: `equal but for line ends, ${judged.lines} lines` }
}

/** `column 5: "abc" and "abd"`, with a few characters that lead up to the difference. */
function describeTexts(a: string, b: string, offset: number, line = a): string {
  const at = firstDifference(a, b)
  const from = Math.max(0, at - 12)
  return `column ${columnOf(line, offset + at)}: ${quote(a.slice(from).toWellFormed())} and ${quote(b.slice(from).toWellFormed())}`
}

function judgeNumbers(original: string, repetition: string, tolerance: WithTolerance): Judgement {
  let largest = 0
  const judged = judgeLines(original, repetition, (a, b) => {
    const [as, bs] = [new NumberCursor(a), new NumberCursor(b)]
    for (let index = 1; ; index++) {
      as.next()
      bs.next()
      if (as.text !== bs.text) return describeTexts(as.text, bs.text, as.textStart, a)
      if (as.number === undefined && bs.number === undefined) return undefined
      if (as.number === undefined || bs.number === undefined) {
        return `number ${index}: ${as.number ?? 'none'} and ${bs.number ?? 'none'}`
      }
      const comparison = compareNumbers(as.number, bs.number, tolerance)
      if (!comparison.equal) return `number ${index}: ${describeComparison(as.number, bs.number, comparison)}`
      largest = Math.max(largest, Number(comparison.difference ?? 0))
    }
  })
  if ('wrong' in judged) return { met: false, detail: judged.wrong }
  return { met: true, detail: `equal within the tolerance; the largest difference is ${shortNumber(largest)}` }
}

function judgeJson(original: string, repetition: string, tolerance: WithTolerance): Judgement {
  const tapes: JsonTape[] = []
  for (const [side, text] of [
    ['original', original],
    ['repetition', repetition],
  ] as const) {
    try {
      tapes.push(parseJsonTape(text))
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error
      return { met: false, detail: `the ${side} is not JSON: ${error.message}` }
    }
  }
  const difference = compareJson(tapes[0], tapes[1], tolerance)
  return difference === undefined
    ? { met: true, detail: 'equal values within the tolerance' }
    : { met: false, detail: difference }
}
