/**
 * Canonical JSON, RFC 8785 (JCS): the one text of a value. Strict where `JSON.stringify` is
 * forgiving: what JSON cannot say is an error here, never dropped.
 */
import { EvidenceError } from '../error.ts'

const DEPTH_MAX = 64

/**
 * @returns The canonical text; encode it as UTF-8 to hash it.
 * @throws {@link EvidenceError} `CANON_VALUE` for undefined, functions, symbols, bigints, NaN,
 *   infinities, lone surrogates, values of classes, holes, cycles and nesting deeper than 64.
 */
export function canonical(value: unknown): string {
  return encode(value, '$', 0)
}

function encode(value: unknown, path: string, depth: number): string {
  switch (typeof value) {
    case 'boolean':
      return value ? 'true' : 'false'
    case 'number':
      if (!Number.isFinite(value)) throw refused(path, String(value))
      // ECMAScript's own number text is what RFC 8785 §3.2.2.3 asks for; only -0 differs.
      return Object.is(value, -0) ? '0' : String(value)
    case 'string':
      return encodeString(value, path)
    case 'object':
      return value === null ? 'null' : encodeObject(value, path, depth)
    default:
      throw refused(path, typeof value)
  }
}

function encodeString(text: string, path: string): string {
  if (!text.isWellFormed()) throw refused(path, 'a lone surrogate')
  return JSON.stringify(text)
}

function encodeObject(value: object, path: string, depth: number): string {
  if (depth >= DEPTH_MAX) throw refused(path, `nesting deeper than ${DEPTH_MAX}`)
  if (Array.isArray(value)) {
    const parts: string[] = []
    for (let i = 0; i < value.length; i++) parts.push(encode(value[i], `${path}[${i}]`, depth + 1))
    return `[${parts.join(',')}]`
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw refused(path, 'an instance of a class')
  const members = value as Readonly<Record<string, unknown>>
  // The default sort compares UTF-16 code units, which is the order of RFC 8785 §3.2.3.
  const parts = Object.keys(members)
    .sort()
    .map((name) => `${encodeString(name, path)}:${encode(members[name], `${path}.${name}`, depth + 1)}`)
  return `{${parts.join(',')}}`
}

function refused(path: string, what: string): EvidenceError {
  return new EvidenceError('CANON_VALUE', {
    message: `canonical JSON cannot carry ${what} at ${path}`,
    hint: 'write integers beyond 2^53 as decimal strings and bytes as hex',
    data: { path },
  })
}
