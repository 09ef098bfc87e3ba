/** The words that the decoders of this folder are written in. Each takes a value and its path, and throws or answers. */
import { compare, utf8 } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'

export type Decode<T> = (value: unknown, path: string) => T

export function wrong(path: string, what: string): EvidenceError {
  return new EvidenceError('STRUCTURE', { message: `${path} ${what}`, data: { path } })
}

export function tooLarge(path: string, what: string): EvidenceError {
  return new EvidenceError('LIMIT', { message: `${path} ${what}`, data: { path } })
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An object with exactly these fields. */
export function fields<const Names extends readonly string[]>(
  value: unknown,
  path: string,
  names: Names,
): Readonly<Record<Names[number], unknown>> {
  if (!isObject(value)) throw wrong(path, 'is not an object')
  const unknownName = Object.keys(value).find((name) => !names.includes(name))
  if (unknownName !== undefined) throw wrong(`${path}.${unknownName.slice(0, 64)}`, 'is not a field that is known here')
  const missing = names.find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) throw wrong(`${path}.${missing}`, 'is missing')
  return value
}

export function list<T>(value: unknown, path: string, lengthMax: number, item: Decode<T>): readonly T[] {
  if (!Array.isArray(value)) throw wrong(path, 'is not a list')
  if (value.length > lengthMax) throw tooLarge(path, `has ${value.length} items; at most ${lengthMax} are read`)
  return value.map((each, i) => item(each, `${path}[${i}]`))
}

export function nullable<T>(value: unknown, path: string, decode: Decode<T>): T | null {
  return value === null ? null : decode(value, path)
}

export function exactly<const T extends string | number | boolean>(value: unknown, path: string, expected: T): T {
  if (value !== expected) throw wrong(path, `is not ${JSON.stringify(expected)}`)
  return expected
}

export function oneOf<const T extends readonly string[]>(value: unknown, path: string, words: T): T[number] {
  if (typeof value !== 'string' || !words.includes(value)) throw wrong(path, `is none of ${words.join(', ')}`)
  return value
}

/** The `kind` that says which fields an object has. */
export function kindOf<const T extends readonly string[]>(value: unknown, path: string, kinds: T): T[number] {
  if (!isObject(value)) throw wrong(path, 'is not an object')
  return oneOf(value['kind'], `${path}.kind`, kinds)
}

export function bool(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw wrong(path, 'is neither true nor false')
  return value
}

export function text(value: unknown, path: string, lengthBytesMax: number): string {
  if (typeof value !== 'string' || !value.isWellFormed()) throw wrong(path, 'is not a well-formed string')
  // A UTF-16 code unit takes one to three bytes, so that most strings need no encoding to be short enough.
  const isShort = 3 * value.length <= lengthBytesMax
  if (!isShort && (value.length > lengthBytesMax || utf8(value).length > lengthBytesMax))
    throw tooLarge(path, `has more than ${lengthBytesMax} bytes`)
  return value
}

/** A string that is not empty. */
export function label(value: unknown, path: string, lengthBytesMax: number): string {
  if (value === '') throw wrong(path, 'is empty')
  return text(value, path, lengthBytesMax)
}

/** What a C program can be given: no zero byte. */
export function cString(value: unknown, path: string, lengthBytesMax: number): string {
  const decoded = text(value, path, lengthBytesMax)
  if (decoded.includes('\0')) throw wrong(path, 'has a zero byte')
  return decoded
}

export function integer(value: unknown, path: string, range: { readonly min: number; readonly max: number }): number {
  if (!Number.isSafeInteger(value)) throw wrong(path, 'is not an integer')
  const number = value as number
  if (Object.is(number, -0) || number < range.min || number > range.max)
    throw wrong(path, `is not between ${range.min} and ${range.max}`)
  return number
}

const U64_END = 1n << 64n

/** An unsigned 64-bit number as a decimal string without leading zeros. */
export function decimal(value: unknown, path: string): string {
  if (typeof value !== 'string' || !/^(0|[1-9][0-9]{0,19})$/.test(value) || BigInt(value) >= U64_END)
    throw wrong(path, 'is not the decimal string of an unsigned 64-bit number')
  return value
}

export function digest(value: unknown, path: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value))
    throw wrong(path, 'is not a digest of 64 lower-case hex digits')
  return value
}

/** A path inside a mount, or of a result (spec/computation.md §2.2). */
export function relativePath(value: unknown, path: string, lengthBytesMax: number): string {
  const decoded = cString(value, path, lengthBytesMax)
  if (decoded.split('/').some(isSpecialName)) throw wrong(path, 'has an empty, "." or ".." part')
  return decoded
}

/** A folder of the guest (spec/computation.md §2.1). */
export function absolutePath(value: unknown, path: string, lengthBytesMax: number): string {
  const decoded = cString(value, path, lengthBytesMax)
  const [first, ...names] = decoded.split('/')
  if (decoded !== '/' && (first !== '' || names.length === 0 || names.some(isSpecialName)))
    throw wrong(path, 'is not an absolute path without empty, "." or ".." parts')
  return decoded
}

function isSpecialName(name: string): boolean {
  return name === '' || name === '.' || name === '..'
}

/**
 * Paths ascend by their bytes, and none is a folder of another one.
 *
 * @param at - The path of each, for errors.
 */
export function sortedFilePaths(paths: readonly string[], at: (index: number) => string): void {
  // All paths under a folder stand together, but "a.b" stands between "a" and "a/b": the stack
  // holds those before this one that it begins with.
  const prefixes: string[] = []
  let before: Uint8Array | undefined
  for (const [i, path] of paths.entries()) {
    const bytes = utf8(path)
    if (before !== undefined && compare(before, bytes) >= 0)
      throw wrong(at(i), 'does not ascend by the bytes of the path')
    before = bytes
    while (prefixes.length > 0 && !path.startsWith(prefixes[prefixes.length - 1])) prefixes.pop()
    const folder = prefixes.find((prefix) => path[prefix.length] === '/')
    if (folder !== undefined) throw wrong(at(i), `lies in ${JSON.stringify(folder)}, which is a file`)
    prefixes.push(path)
  }
}

/** Bytes as lower-case hex, at least one. */
export function hexBytes(value: unknown, path: string): string {
  if (typeof value !== 'string' || !/^([0-9a-f]{2})+$/.test(value)) throw wrong(path, 'is not lower-case hex')
  return value
}
