/** Numbers in texts, and when two of them count as equal. Rules: spec/computation.md §3.3. */

export interface Tolerance {
  readonly abs: number
  readonly rel: number
}

/** Longer words are text, so that reading one number costs little. */
export const NUMERAL_CHARS_MAX = 400

const NUMERAL = /^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)$/i
const NAN = /^[+-]?nan$/i
const INFINITY = /^[+-]?inf(?:inity)?$/i
const DIGITS_ONLY = /^[+-]?\d+$/

/** How far apart two numbers are. `allowed` is missing for numbers that only a tolerance of infinity would join. */
export interface Comparison {
  readonly equal: boolean
  readonly difference?: number | bigint
  readonly allowed?: number
}

/** Compares the original's number with the repetition's, both as they are written (spec/computation.md §3.3.5). */
export function compareNumbers(a: string, b: string, { abs, rel }: Tolerance): Comparison {
  if (a === b) return { equal: true, difference: 0 }
  if (a.length > NUMERAL_CHARS_MAX + 1 || b.length > NUMERAL_CHARS_MAX + 1) return { equal: false }
  if (NAN.test(a) || NAN.test(b)) return { equal: NAN.test(a) && NAN.test(b) }
  if (INFINITY.test(a) || INFINITY.test(b)) {
    return { equal: INFINITY.test(a) && INFINITY.test(b) && a.startsWith('-') === b.startsWith('-') }
  }
  const value = Number(a)
  const allowed = abs + rel * Math.abs(value)
  if (DIGITS_ONLY.test(a) && DIGITS_ONLY.test(b)) {
    // Number() would join neighbours beyond 2^53; an order between bigint and number is exact.
    const gap = integer(a) - integer(b)
    const difference = gap < 0n ? -gap : gap
    return { equal: difference === 0n || (Number.isFinite(allowed) && difference <= allowed), difference, allowed }
  }
  const difference = Math.abs(value - Number(b))
  if (!Number.isFinite(difference)) return { equal: false }
  return { equal: difference === 0 || (Number.isFinite(allowed) && difference <= allowed), difference, allowed }
}

function integer(text: string): bigint {
  const digits = BigInt(text.replace(/^[+-]/, ''))
  return text.startsWith('-') ? -digits : digits
}

/** `0.1234 and 0.1250 differ by 1.6e-3, allowed 1e-9`. */
export function describeComparison(a: string, b: string, { difference, allowed }: Comparison): string {
  if (difference === undefined || allowed === undefined) return `${a} and ${b}`
  let [gap, bound] = [shortNumber(Number(difference)), shortNumber(allowed)]
  if (gap === bound) [gap, bound] = [String(difference), String(allowed)]
  return `${a} and ${b} differ by ${gap}, allowed ${bound}`
}

/** Two digits are enough to see an order of magnitude. */
export function shortNumber(value: number): string {
  const rounded = Number(value.toPrecision(2))
  if (rounded === 0 || (rounded >= 0.1 && rounded < 1e6)) return String(rounded)
  return rounded.toExponential().replace('e+', 'e')
}

/**
 * Walks along the numbers of one line. After each `next()`, `text` is what stands before the number (or
 * before the end of the line) and `number` the number as written, undefined at the end of the line.
 */
export class NumberCursor {
  readonly #line: string
  #at = 0
  text = ''
  number: string | undefined = undefined
  /** Where `text` begins in the line. */
  textStart = 0

  constructor(line: string) {
    this.#line = line
  }

  next(): void {
    const line = this.#line
    if (this.number !== undefined) this.#at = skipBlanks(line, this.#at)
    this.textStart = this.#at
    for (let at = this.#at; at < line.length;) {
      if (!isWord(line.charCodeAt(at))) {
        at++
        continue
      }
      const wordEnd = endOfWord(line, at)
      const end = withoutDots(line, at, wordEnd)
      if (end - at <= NUMERAL_CHARS_MAX && NUMERAL.test(line.slice(at, end))) {
        const start = isSign(line.charCodeAt(at - 1)) && !isWord(line.charCodeAt(at - 2)) ? at - 1 : at
        this.number = line.slice(start, end)
        this.text = line.slice(this.textStart, backOverBlanks(line, this.textStart, start))
        this.#at = wordEnd
        return
      }
      at = wordEnd
    }
    this.number = undefined
    this.text = line.slice(this.textStart)
    this.#at = line.length
  }
}

const DOT = 0x2e

const isDigit = (unit: number): boolean => unit >= 0x30 && unit <= 0x39
const isSign = (unit: number): boolean => unit === 0x2b || unit === 0x2d
const isBlank = (unit: number): boolean => unit === 0x20 || unit === 0x09
const isExponentMark = (unit: number): boolean => (unit | 0x20) === 0x65

/** Outside the line charCodeAt gives NaN, which is no character of any kind. */
function isWord(unit: number): boolean {
  const lower = unit | 0x20
  return isDigit(unit) || (lower >= 0x61 && lower <= 0x7a) || unit === DOT || unit === 0x5f
}

function endOfWord(line: string, start: number): number {
  for (let at = start + 1; ; at++) {
    const unit = line.charCodeAt(at)
    if (isWord(unit)) continue
    const mantissaEnd = line.charCodeAt(at - 2)
    const inExponent =
      isSign(unit) &&
      at - 2 >= start &&
      isExponentMark(line.charCodeAt(at - 1)) &&
      (isDigit(mantissaEnd) || mantissaEnd === DOT) &&
      isDigit(line.charCodeAt(at + 1))
    if (!inExponent) return at
  }
}

function withoutDots(line: string, start: number, end: number): number {
  let last = end
  while (last > start && line.charCodeAt(last - 1) === DOT) last--
  return last
}

function skipBlanks(line: string, start: number): number {
  let at = start
  while (isBlank(line.charCodeAt(at))) at++
  return at
}

function backOverBlanks(line: string, start: number, end: number): number {
  let last = end
  while (last > start && isBlank(line.charCodeAt(last - 1))) last--
  return last
}
