/** Where the outputs of two runs differ, in words and numbers that a person can look up. */

import { fromUtf8, hex, type OutcomeOutput } from '@reprise/core'
import { columnOf } from './text.ts'

/** Of larger outputs only the digests are compared. */
export const OUTPUT_BYTES_MAX = 256 * 1024 * 1024

/** How far a line is followed to each side of a difference, in bytes. */
const LINE_REACH_BYTES = 4096
const BINARY_SHOWN_BYTES = 8
const VALUE_CHARS_MAX = 60

/** The outputs of one run. */
export interface OutputSet {
  readonly outputs: readonly OutcomeOutput[]
  /** The bytes of an output, undefined when they are not at hand. */
  readonly read: (path: string) => Promise<Uint8Array | undefined>
}

/** The first byte that differs, and the values around it. */
export interface OutputPlace {
  /** In bytes from 0. */
  readonly offset: number
  /** From 1, of texts only; the column counts characters, by run a. */
  readonly line?: number
  readonly column?: number
  /** The value in each run: a cell or word of a text, else hex; empty when the run's output ends here. */
  readonly a: string
  readonly b: string
  /** Where that value stands: a column's name, the line in run a, or the equal bytes before. */
  readonly context: string
}

export type OutputDifference =
  | { readonly path: string; readonly kind: 'equal' | 'only in a' | 'only in b' }
  | { readonly path: string; readonly kind: 'differs'; readonly at: OutputPlace }
  | { readonly path: string; readonly kind: 'differs'; readonly at: null; readonly why: string }

/** One entry a path of either run, sorted by path. Reads only what differs, one output at a time. */
export async function diffOutputs(a: OutputSet, b: OutputSet): Promise<readonly OutputDifference[]> {
  const left = new Map(a.outputs.map((output) => [output.path, output]))
  const right = new Map(b.outputs.map((output) => [output.path, output]))
  const differences: OutputDifference[] = []
  for (const path of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const [mine, other] = [left.get(path), right.get(path)]
    if (mine === undefined || other === undefined) {
      differences.push({ path, kind: mine === undefined ? 'only in b' : 'only in a' })
    } else if (mine.sha256 === other.sha256) {
      differences.push({ path, kind: 'equal' })
    } else {
      // One after the other, because two outputs of the largest size are enough to hold.
      differences.push({ path, kind: 'differs', ...(await locate({ a, b, mine, other })) })
    }
  }
  return differences
}

async function locate(sides: {
  readonly a: OutputSet
  readonly b: OutputSet
  readonly mine: OutcomeOutput
  readonly other: OutcomeOutput
}): Promise<{ readonly at: OutputPlace } | { readonly at: null; readonly why: string }> {
  const { a, b, mine, other } = sides
  const longer = Math.max(mine.length, other.length)
  if (longer > OUTPUT_BYTES_MAX) return { at: null, why: `${longer} bytes; at most ${OUTPUT_BYTES_MAX} are compared` }
  const [bytes, otherBytes] = [await a.read(mine.path), await b.read(other.path)]
  if (bytes === undefined || otherBytes === undefined) return { at: null, why: 'the bytes are not at hand' }
  const at = diffBytes(bytes, otherBytes, mine.path)
  return at === undefined ? { at: null, why: 'the digests differ, the bytes do not' } : { at }
}

/** The first difference of two files, undefined when they are equal. `path` tells a table by its ending. */
export function diffBytes(a: Uint8Array, b: Uint8Array, path: string): OutputPlace | undefined {
  const shared = Math.min(a.length, b.length)
  let offset = 0
  while (offset < shared && a[offset] === b[offset]) offset++
  if (offset === shared && a.length === b.length) return undefined
  return placeInText(a, b, { offset, path }) ?? placeInBinary(a, b, offset)
}

function placeInBinary(a: Uint8Array, b: Uint8Array, offset: number): OutputPlace {
  const shown = (bytes: Uint8Array): string => spacedHex(bytes.subarray(offset, offset + BINARY_SHOWN_BYTES))
  const before = a.subarray(Math.max(0, offset - BINARY_SHOWN_BYTES), offset)
  const context = before.length === 0 ? 'at the start' : `after ${spacedHex(before)}`
  return { offset, a: shown(a), b: shown(b), context }
}

const spacedHex = (bytes: Uint8Array): string => hex(bytes).replaceAll(/..(?!$)/g, '$& ')

interface Place {
  readonly offset: number
  readonly path: string
}

/** Undefined when one of the two does not look like text around the difference. */
function placeInText(a: Uint8Array, b: Uint8Array, { offset, path }: Place): OutputPlace | undefined {
  const [line, otherLine] = [lineAround(a, offset), lineAround(b, offset)]
  if (line === undefined || otherLine === undefined) return undefined
  const place = {
    offset,
    line: lineNumber(a, offset),
    column: columnOf(line.text, line.index),
  }
  const separator = line.whole && otherLine.whole ? separatorOf(path) : undefined
  if (separator !== undefined) {
    const cells = cellsOf(line.text, separator)
    const otherCells = cellsOf(otherLine.text, separator)
    const index = cells.findIndex((cell, at) => cell !== otherCells[at])
    if (index >= 0 && cells.length === otherCells.length) {
      const name = place.line > 1 ? cellsOf(firstLine(a), separator)[index] : undefined
      const context = `cell ${index + 1}${name === undefined || name === '' ? '' : ` (${name})`} of ${cells.length}`
      return { ...place, a: clip(cells[index]), b: clip(otherCells[index]), context }
    }
  }
  const context = clip(line.text)
  for (const show of [valueAt, restOf]) {
    const values = { a: show(line), b: show(otherLine) }
    if (values.a !== values.b) return { ...place, ...values, context }
  }
  // Only the line ends differ.
  return { ...placeInBinary(a, b, offset), ...place, context }
}

interface LineAround {
  readonly text: string
  /** Of the difference, in UTF-16 code units. */
  readonly index: number
  /** False when the line is longer than is followed. */
  readonly whole: boolean
}

function lineAround(bytes: Uint8Array, offset: number): LineAround | undefined {
  const low = Math.max(0, offset - LINE_REACH_BYTES)
  const high = Math.min(bytes.length, offset + LINE_REACH_BYTES)
  let start = offset
  while (start > low && bytes[start - 1] !== 0x0a) start--
  let end = offset
  while (end < high && bytes[end] !== 0x0a) end++
  const whole = (start === 0 || bytes[start - 1] === 0x0a) && (end === bytes.length || bytes[end] === 0x0a)
  // A line that was cut may be cut inside a character.
  if (start === low) while (start < offset && isContinuation(bytes[start])) start++
  let split = offset
  while (split > start && isContinuation(bytes[split])) split--
  if (end === high && !whole) while (end > split && isContinuation(bytes[end])) end--
  try {
    const before = fromUtf8(bytes.subarray(start, split))
    const text = (before + fromUtf8(bytes.subarray(split, end))).replace(/\r$/, '')
    // Control characters other than tab, form feed, carriage return and escape (colours) are not for reading.
    if (/[\u0000-\u0008\u000b\u000e-\u001a\u001c-\u001f]/.test(text)) return undefined
    return { text, index: before.length, whole }
  } catch {
    return undefined
  }
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80

function lineNumber(bytes: Uint8Array, offset: number): number {
  let line = 1
  for (let feed = bytes.indexOf(0x0a); feed >= 0 && feed < offset; feed = bytes.indexOf(0x0a, feed + 1)) line++
  return line
}

function firstLine(bytes: Uint8Array): string {
  return lineAround(bytes, 0)?.text ?? ''
}

function separatorOf(path: string): ',' | '\t' | undefined {
  if (/\.csv$/i.test(path)) return ','
  return /\.(tsv|tab)$/i.test(path) ? '\t' : undefined
}

/** The cells of one line (RFC 4180); a quoted cell that goes over line ends is seen as it stands. */
function cellsOf(line: string, separator: string): readonly string[] {
  const cells: string[] = []
  let cell = ''
  let quoted = false
  for (const character of line) {
    if (character === '"') quoted = !quoted
    if (character === separator && !quoted) {
      cells.push(unquoted(cell))
      cell = ''
    } else cell += character
  }
  return [...cells, unquoted(cell)]
}

const unquoted = (cell: string): string => (/^".*"$/.test(cell) ? cell.slice(1, -1).replaceAll('""', '"') : cell)

/** The word or number that a difference lies in. */
function valueAt({ text, index }: LineAround): string {
  const isBreak = (at: number): boolean => /[\s,;:=()[\]{}"'|]/.test(text[at])
  let start = index
  while (start > 0 && !isBreak(start - 1)) start--
  let end = index
  while (end < text.length && !isBreak(end)) end++
  return clip(end > start ? text.slice(start, end) : text.slice(start, start + 1))
}

const restOf = ({ text, index }: LineAround): string => clip(text.slice(index))

function clip(text: string): string {
  return text.length > VALUE_CHARS_MAX ? `${text.slice(0, VALUE_CHARS_MAX).toWellFormed()}…` : text
}
