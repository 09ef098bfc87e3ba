/** Texts as people read them: decoding, lines, places and clipped quotations. Rules: spec/computation.md §3.1, §3.2. */

/** Two texts of this size and what is made of them fit the memory of a small machine. */
export const TEXT_BYTES_MAX = 64 * 1024 * 1024

const QUOTE_CHARS_MAX = 60

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The text of well-formed UTF-8, undefined for any other bytes. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** Lines as spec/computation.md §3.2 counts them: without their ends and the white space before those. */
export function* linesOf(text: string): Generator<string, undefined> {
  for (let at = 0; at < text.length;) {
    const feed = text.indexOf('\n', at)
    const end = feed < 0 ? text.length : feed
    let last = end
    while (last > at && ' \t\r'.includes(text[last - 1])) last--
    yield text.slice(at, last)
    at = end + 1
  }
  return undefined
}

/** Where two strings begin to differ, in UTF-16 code units and never inside a surrogate pair. */
export function firstDifference(a: string, b: string): number {
  const shared = Math.min(a.length, b.length)
  let at = 0
  while (at < shared && a.charCodeAt(at) === b.charCodeAt(at)) at++
  const before = at > 0 ? a.charCodeAt(at - 1) : 0
  return before >= 0xd800 && before <= 0xdbff ? at - 1 : at
}

/** The column of a code unit, in characters from 1. */
export function columnOf(line: string, index: number): number {
  let column = 1
  for (let at = 0; at < index; at++) {
    const unit = line.charCodeAt(at)
    if (unit < 0xdc00 || unit > 0xdfff) column++
  }
  return column
}

/** `line 3, column 7` of a code unit in a whole text. */
export function placeOf(text: string, index: number): string {
  let line = 1
  let start = 0
  for (let feed = text.indexOf('\n'); feed >= 0 && feed < index; feed = text.indexOf('\n', start)) {
    line++
    start = feed + 1
  }
  return `line ${line}, column ${columnOf(text.slice(start, index), index - start)}`
}

/** A quotation for a message, on one line and clipped. */
export function quote(text: string): string {
  const clipped = text.length > QUOTE_CHARS_MAX ? `${text.slice(0, QUOTE_CHARS_MAX).toWellFormed()}…` : text
  return JSON.stringify(clipped)
}
