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
  // What was read stands in this form already, and the engine then writes it in half the time. Errors need the path.
  return isInForm(value, 0) ? JSON.stringify(value) : encode(value, [])
}

/** Whether `JSON.stringify` writes what {@link encode} does: nothing is to be refused, and all names stand in their order. */
function isInForm(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value)
    case 'string':
      return value.isWellFormed()
    case 'object':
      return value === null || (depth < DEPTH_MAX && isContentInForm(value, depth + 1))
    default:
      return false
  }
}

function isContentInForm(value: object, depth: number): boolean {
  if (Array.isArray(value)) {
    // By index, for a hole is no value either.
    for (let i = 0; i < value.length; i++) if (!isInForm(value[i], depth)) return false
    return true
  }
  if (!isPlain(value)) return false
  const members = value as Readonly<Record<string, unknown>>
  let before = ''
  for (const name of Object.keys(members)) {
    if (name < before || !name.isWellFormed() || !isInForm(members[name], depth)) return false
    before = name
  }
  return true
}

/** Of no class. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Where the value is that is being encoded. Put into words only for an error: every line of a record comes this way. */
type Trail = (string | number)[]

function encode(value: unknown, trail: Trail): string {
  switch (typeof value) {
    case 'boolean':
      return value ? 'true' : 'false'
    case 'number':
      if (!Number.isFinite(value)) throw refused(trail, String(value))
      // ECMAScript's own number text is what RFC 8785 §3.2.2.3 asks for; only -0 differs.
      return Object.is(value, -0) ? '0' : String(value)
    case 'string':
      return encodeString(value, trail)
    case 'object':
      if (value === null) return 'null'
      if (trail.length >= DEPTH_MAX) throw refused(trail, `nesting deeper than ${DEPTH_MAX}`)
      return Array.isArray(value) ? encodeArray(value, trail) : encodeMembers(value, trail)
    default:
      throw refused(trail, typeof value)
  }
}

/** Printable ASCII but the quotation mark and the backslash: almost every string, and it stands as it is. */
const PLAIN = /^[ !#-[\]-~]*$/

function encodeString(text: string, trail: Trail): string {
  if (PLAIN.test(text)) return `"${text}"`
  if (!text.isWellFormed()) throw refused(trail, 'a lone surrogate')
  return JSON.stringify(text)
}

function encodeArray(items: readonly unknown[], trail: Trail): string {
  let text = ''
  // By index, for a hole is no value either.
  for (let i = 0; i < items.length; i++) {
    trail.push(i)
    text += (i === 0 ? '' : ',') + encode(items[i], trail)
    trail.pop()
  }
  return `[${text}]`
}

function encodeMembers(value: object, trail: Trail): string {
  if (!isPlain(value)) throw refused(trail, 'an instance of a class')
  const members = value as Readonly<Record<string, unknown>>
  let text = ''
  for (const name of sortedNames(members)) {
    const key = encodeString(name, trail)
    trail.push(name)
    text += `${text === '' ? '' : ','}${key}:${encode(members[name], trail)}`
    trail.pop()
  }
  return `{${text}}`
}

/** What was read comes in this order already. */
function sortedNames(members: object): readonly string[] {
  const names = Object.keys(members)
  // Both compare UTF-16 code units, which is the order of RFC 8785 §3.2.3.
  for (let i = 1; i < names.length; i++) if (names[i - 1] > names[i]) return names.sort()
  return names
}

function refused(trail: Trail, what: string): EvidenceError {
  const path = trail.reduce<string>((text, step) => text + (typeof step === 'number' ? `[${step}]` : `.${step}`), '$')
  return new EvidenceError('CANON_VALUE', {
    message: `canonical JSON cannot carry ${what} at ${path}`,
    hint: 'write integers beyond 2^53 as decimal strings and bytes as hex',
    data: { path },
  })
}
