/** Changes to bytes and to JSON, as they break parsers. */
import { canonical, EvidenceError, utf8 } from '@reprise/core'
import { pick, type Random } from './random.ts'

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]

/** One to four changes; the result may be equal when they cancel each other. */
export function mutateBytes(random: Random, bytes: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  let changed = Buffer.from(bytes)
  for (let i = 1 + random(2) * random(4); i > 0; i--) changed = change(random, changed, others)
  return new Uint8Array(changed)
}

function change(random: Random, bytes: Buffer<ArrayBuffer>, others: readonly Uint8Array[]): Buffer<ArrayBuffer> {
  const at = random(bytes.length + 1)
  const lengthBytes = 1 + random(1 << random(8))
  const end = Math.min(bytes.length, at + lengthBytes)
  switch (random(9)) {
    case 0:
      return at < bytes.length ? withBytes(bytes, at, [bytes[at] ^ (1 << random(8))]) : bytes
    case 1:
      return withBytes(bytes, at, [random(256)])
    case 2:
      return withBytes(bytes, at, number(random))
    case 3: // Left out.
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    case 4: // Twice.
      return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
    case 5: // Something new in between.
      return Buffer.concat([bytes.subarray(0, at), Buffer.from(number(random)), bytes.subarray(at)])
    case 6:
      return bytes.subarray(0, at)
    case 7: {
      // A part of it, elsewhere.
      const from = random(bytes.length + 1)
      return withBytes(bytes, at, bytes.subarray(from, from + lengthBytes))
    }
    default: {
      // The end of another one.
      const other = pick(random, others)
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random(other.length + 1))])
    }
  }
}

/** The bytes written over what stands at `at`, as far as there is room. */
function withBytes(bytes: Buffer<ArrayBuffer>, at: number, over: ArrayLike<number>): Buffer<ArrayBuffer> {
  const copy = Buffer.from(bytes)
  for (let i = 0; i < over.length && at + i < copy.length; i++) copy[at + i] = over[i]
  return copy
}

/** A number in 1, 2, 4 or 8 bytes of either order. */
function number(random: Random): Uint8Array {
  const value = pick(random, INTERESTING) + random(3) - 1
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  const lengthBytes = 1 << random(4)
  const part = bytes.subarray(8 - lengthBytes)
  return random(2) === 0 ? part : part.reverse()
}

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/**
 * One to three changes somewhere in a value.
 *
 * @param donor - What values may be taken from.
 */
export function mutateJson(random: Random, value: unknown, donor: unknown): unknown {
  const root = structuredClone({ value }) as { [name: string]: Json }
  for (let i = 1 + random(2) * random(3); i > 0; i--) {
    const [itself, ...inside] = places(root)
    const { parent, key } = inside.length === 0 ? itself : pick(random, inside)
    if (Array.isArray(parent)) changeItem(random, parent, Number(key), donor)
    else changeMember(random, parent, key, donor)
  }
  return root['value']
}

interface Place {
  readonly parent: Json[] | { [name: string]: Json }
  readonly key: string
}

/** Each place of a value; those that lie deep are as likely as others. */
function places(root: Json[] | { [name: string]: Json }): Place[] {
  return Object.keys(root).flatMap((key) => {
    const value = (root as { [name: string]: Json })[key]
    const here = { parent: root, key }
    return typeof value === 'object' && value !== null ? [here, ...places(value)] : [here]
  })
}

function changeItem(random: Random, items: Json[], index: number, donor: unknown): void {
  switch (random(4)) {
    case 0:
      items.splice(index, 1)
      return
    case 1:
      items.splice(index, 0, structuredClone(items[index]))
      return
    case 2: {
      const other = random(items.length)
      ;[items[index], items[other]] = [items[other], items[index]]
      return
    }
    default:
      items[index] = changedValue(random, items[index], donor)
  }
}

function changeMember(random: Random, members: { [name: string]: Json }, name: string, donor: unknown): void {
  const sort = random(12)
  if (sort === 0 && name !== 'value') delete members[name]
  else if (sort === 1) members[`${name}x`] = members[name]
  else members[name] = changedValue(random, members[name], donor)
}

function changedValue(random: Random, value: Json, donor: unknown): Json {
  if (random(6) === 0) {
    const place = pick(random, places({ donor: donor as Json }))
    return structuredClone((place.parent as { [name: string]: Json })[place.key])
  }
  if (random(8) === 0) return pick<Json>(random, [null, 0, -1, '', [], {}, true, 2 ** 53, 1e21, '0', '\u0000'])
  switch (typeof value) {
    case 'number':
      return pick(random, [value + 1, value - 1, value * 2, 0, 0.5 + value, random(1 << 30)])
    case 'string':
      return changedText(random, value)
    case 'boolean':
      return !value
    default:
      return value === null ? pick<Json>(random, [0, '', {}, 'a'.repeat(64)]) : value
  }
}

const DIGITS = Array.from('0123456789abcdef')
const LETTERS = Array.from('0123456789abcdefABxyz/.-:\\"\n\u00e9\u{1f600}')

/** Text, digits of a number or of a digest: one letter other, more or less. */
function changedText(random: Random, text: string): string {
  const letters = Array.from(text)
  const letter = pick(random, LETTERS)
  const at = random(letters.length + 1)
  const isHex = /^[0-9a-f]+$/.test(text)
  if (isHex && random(4) !== 0) letters[at % letters.length] = pick(random, DIGITS)
  else letters.splice(at, random(2), ...(random(3) === 0 ? [] : [letter]))
  return letters.join('')
}

/** Canonical JSON: its bytes changed anywhere, or a value that is canonical again. */
export function mutateCanonical(random: Random, text: string, donors: readonly string[]): Uint8Array {
  if (random(3) === 0) return mutateBytes(random, utf8(text), donors.map(utf8))
  try {
    return utf8(canonical(mutateJson(random, JSON.parse(text), JSON.parse(pick(random, donors)))))
  } catch (error) {
    // A value that JSON cannot carry: nothing was made.
    if (error instanceof EvidenceError) return utf8(text)
    throw error
  }
}
