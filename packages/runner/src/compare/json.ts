/**
 * JSON as flat tapes, which stay small for large documents, and the comparison of two of them.
 *
 * Source: RFC 8259. Rules: spec/computation.md §3.4.
 */

import { compareNumbers, describeComparison, type Tolerance } from './numbers.ts'
import { placeOf, quote } from './text.ts'

export const JSON_DEPTH_MAX = 256

/** Entry: where its text starts and ends, and the entry after it and all that it holds. */
const ENTRY = 3
const [START, END, NEXT] = [0, 1, 2]

const WORDS = ['true', 'false', 'null']

/** A document; names of members are entries too, each before its value. */
export interface JsonTape {
  readonly text: string
  readonly entries: Int32Array
}

/** Where and why a text is not JSON. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError'
}

/** @throws {@link JsonSyntaxError} unless the text is one JSON text, nested at most {@link JSON_DEPTH_MAX} deep. */
export function parseJsonTape(text: string): JsonTape {
  return new TapeParser(text).parse()
}

class TapeParser {
  readonly #text: string
  #entries = new Int32Array(3 * 1024)
  #count = 0
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): JsonTape {
    this.#blanks()
    this.#value(0)
    this.#blanks()
    if (this.#at < this.#text.length) this.#fail('something follows the value')
    return { text: this.#text, entries: this.#entries.subarray(0, this.#count) }
  }

  #fail(what: string): never {
    throw new JsonSyntaxError(`${placeOf(this.#text, this.#at)}: ${what}`)
  }

  #open(): number {
    if (this.#count + ENTRY > this.#entries.length) {
      const larger = new Int32Array(2 * this.#entries.length)
      larger.set(this.#entries)
      this.#entries = larger
    }
    const entry = this.#count
    this.#count += ENTRY
    this.#entries[entry + START] = this.#at
    return entry
  }

  #close(entry: number): void {
    this.#entries[entry + END] = this.#at
    this.#entries[entry + NEXT] = this.#count
  }

  #value(depth: number): void {
    const entry = this.#open()
    const first = this.#text[this.#at]
    if (first === '{' || first === '[') {
      if (depth === JSON_DEPTH_MAX) this.#fail(`nested deeper than ${JSON_DEPTH_MAX}`)
      this.#container(first === '{', depth)
    } else if (first === '"') this.#string()
    else if (first === '-' || isDigit(first)) this.#number()
    else this.#word()
    this.#close(entry)
  }

  #container(isObject: boolean, depth: number): void {
    const closer = isObject ? '}' : ']'
    this.#at++
    this.#blanks()
    if (this.#takes(closer)) return
    for (;;) {
      if (isObject) this.#name()
      this.#value(depth + 1)
      this.#blanks()
      if (this.#takes(closer)) return
      if (!this.#takes(',')) this.#fail(`neither , nor ${closer} follows a value`)
      this.#blanks()
    }
  }

  #name(): void {
    const entry = this.#open()
    if (this.#text[this.#at] !== '"') this.#fail('no name in quotation marks')
    this.#string()
    this.#close(entry)
    this.#blanks()
    if (!this.#takes(':')) this.#fail('no : follows a name')
    this.#blanks()
  }

  #string(): void {
    for (;;) {
      this.#at++
      const unit = this.#text.charCodeAt(this.#at)
      if (unit === 0x22) break
      if (unit === 0x5c) this.#escape()
      else if (!(unit >= 0x20)) this.#fail('a string with a control character or without an end')
    }
    this.#at++
  }

  #escape(): void {
    const escape = /^\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(this.#text.slice(this.#at, this.#at + 6))
    if (escape === null) this.#fail('an unknown escape in a string')
    this.#at += escape[0].length - 1
  }

  #number(): void {
    this.#takes('-')
    if (!this.#takes('0')) this.#digits()
    if (this.#takes('.')) this.#digits()
    if (this.#takes('e') || this.#takes('E')) {
      if (!this.#takes('-')) this.#takes('+')
      this.#digits()
    }
  }

  #digits(): void {
    if (!isDigit(this.#text[this.#at])) this.#fail('a number without a digit')
    while (isDigit(this.#text[this.#at])) this.#at++
  }

  #word(): void {
    const word = WORDS.find((word) => this.#text.startsWith(word, this.#at))
    if (word === undefined) this.#fail('no value')
    this.#at += word.length
  }

  #blanks(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? '?')) this.#at++
  }

  #takes(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }
}

const isDigit = (character: string | undefined): boolean =>
  character !== undefined && character >= '0' && character <= '9'

/** The first difference in words, undefined when every value is met. */
export function compareJson(original: JsonTape, repetition: JsonTape, tolerance: Tolerance): string | undefined {
  return compareEntries({ a: original, b: repetition, tolerance }, { at: 0, bt: 0, path: '$' })
}

interface Pair {
  readonly a: JsonTape
  readonly b: JsonTape
  readonly tolerance: Tolerance
}

interface Place {
  readonly at: number
  readonly bt: number
  readonly path: string
}

const textOf = ({ text, entries }: JsonTape, entry: number): string =>
  text.slice(entries[entry + START], entries[entry + END])

function compareEntries(pair: Pair, place: Place): string | undefined {
  const { a, b } = pair
  const { at, bt, path } = place
  const kind = kindOf(a, at)
  const otherKind = kindOf(b, bt)
  if (kind !== otherKind) {
    return `${describePlace(pair, place)}: ${quote(textOf(a, at))} and ${quote(textOf(b, bt))}`
  }
  if (kind === 'object') return compareObjects(pair, place)
  if (kind === 'list') return compareLists(pair, place)
  const [written, other] = [textOf(a, at), textOf(b, bt)]
  if (kind === 'number') {
    const comparison = compareNumbers(written, other, pair.tolerance)
    return comparison.equal
      ? undefined
      : `${describePlace(pair, { at, bt, path })}: ${describeComparison(written, other, comparison)}`
  }
  const equal = written === other || (kind === 'string' && JSON.parse(written) === JSON.parse(other))
  return equal ? undefined : `${describePlace(pair, place)}: ${quote(written)} and ${quote(other)}`
}

function kindOf({ text, entries }: JsonTape, entry: number): 'object' | 'list' | 'string' | 'number' | 'word' {
  const first = text[entries[entry + START]]
  if (first === '{') return 'object'
  if (first === '[') return 'list'
  if (first === '"') return 'string'
  return first === '-' || isDigit(first) ? 'number' : 'word'
}

function compareLists(pair: Pair, place: Place): string | undefined {
  const { a, b } = pair
  let [at, bt] = [place.at + ENTRY, place.bt + ENTRY]
  const [end, otherEnd] = [a.entries[place.at + NEXT], b.entries[place.bt + NEXT]]
  for (let index = 0; at < end || bt < otherEnd; index++) {
    if (at >= end || bt >= otherEnd) {
      const longer = bt >= otherEnd ? 'original' : 'repetition'
      return `${describePlace(pair, place)}: the list of the ${longer} goes on after ${index} values`
    }
    const difference = compareEntries(pair, { at, bt, path: `${place.path}[${index}]` })
    if (difference !== undefined) return difference
    at = a.entries[at + NEXT]
    bt = b.entries[bt + NEXT]
  }
  return undefined
}

function compareObjects(pair: Pair, place: Place): string | undefined {
  const members = membersOf(pair.a, place.at)
  const others = membersOf(pair.b, place.bt)
  if (typeof members === 'string') return `the original has the name ${quote(members)} twice in ${place.path}`
  if (typeof others === 'string') return `the repetition has the name ${quote(others)} twice in ${place.path}`
  for (const [name, at] of members) {
    const bt = others.get(name)
    if (bt === undefined) return `${describePlace(pair, place)}: the repetition has no member ${quote(name)}`
    const path = /^[A-Za-z_]\w{0,40}$/.test(name) ? `${place.path}.${name}` : `${place.path}[${quote(name)}]`
    const difference = compareEntries(pair, { at, bt, path })
    if (difference !== undefined) return difference
  }
  for (const name of others.keys()) {
    if (!members.has(name)) return `${describePlace(pair, place)}: the original has no member ${quote(name)}`
  }
  return undefined
}

/** Values by name, or the name that is there twice. */
function membersOf(tape: JsonTape, object: number): Map<string, number> | string {
  const members = new Map<string, number>()
  const end = tape.entries[object + NEXT]
  for (let at = object + ENTRY; at < end;) {
    const name = JSON.parse(textOf(tape, at)) as string
    if (members.has(name)) return name
    members.set(name, at + ENTRY)
    at = tape.entries[at + ENTRY + NEXT]
  }
  return members
}

/** `$.mean (line 3, column 11)`, by the original's lines. */
function describePlace({ a }: Pair, { at, path }: Place): string {
  return `${path} (${placeOf(a.text, a.entries[at + START])})`
}
