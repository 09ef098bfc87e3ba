/**
 * The part of DER that is checked and made by hand: the shape of every element, before a library sees it. The library
 * reads BER, recursively; what passes here is DER of bounded depth and count.
 *
 * Source: ITU-T X.690 (02/2021) §8, §10, §11.
 */
import { compare, concat } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'

export const DER_DEPTH_MAX = 24
export const DER_ELEMENTS_MAX = 2048

export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OBJECT_IDENTIFIER: 0x06,
  ENUMERATED: 0x0a,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const

export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  /** Tag, length and content. */
  readonly raw: Uint8Array
}

/**
 * `strict`: DER. `endorsement`: what certificates of real chips need besides: members of a SET in any order, padded
 * integers, any value but 0 as true.
 */
export type DerProfile = 'strict' | 'endorsement'

export function derError(message: string): EvidenceError {
  return new EvidenceError('STRUCTURE', { message: `DER: ${message}` })
}

/** Reads one element at the beginning of the bytes; others may follow. */
export function readElement(bytes: Uint8Array): Element {
  if (bytes.length < 2) throw derError(`an element of ${bytes.length} bytes`)
  const tag = bytes[0]
  if ((tag & 0x1f) === 0x1f) throw derError('a tag of more than one byte')
  const { lengthBytes, headerBytes } = readLength(bytes)
  if (lengthBytes > bytes.length - headerBytes)
    throw derError(`an element of ${lengthBytes} bytes where ${bytes.length - headerBytes} are left`)
  const end = headerBytes + lengthBytes
  return { tag, content: bytes.subarray(headerBytes, end), raw: bytes.subarray(0, end) }
}

function readLength(bytes: Uint8Array): { readonly lengthBytes: number; readonly headerBytes: number } {
  const first = bytes[1]
  if (first < 0x80) return { lengthBytes: first, headerBytes: 2 }
  const count = first & 0x7f
  if (count === 0) throw derError('an indefinite length')
  if (count > 3 || bytes.length < 2 + count) throw derError('a length that is too long')
  let lengthBytes = 0
  for (let i = 0; i < count; i++) lengthBytes = (lengthBytes << 8) | bytes[2 + i]
  if (lengthBytes < 0x80 || lengthBytes < 1 << (8 * (count - 1))) throw derError('a length that is not the shortest')
  return { lengthBytes, headerBytes: 2 + count }
}

/** The elements that the bytes are made of. */
export function elements(bytes: Uint8Array): Element[] {
  const list: Element[] = []
  for (let at = 0; at < bytes.length;) {
    const element = readElement(bytes.subarray(at))
    list.push(element)
    at += element.raw.length
    if (list.length > DER_ELEMENTS_MAX) throw tooMany()
  }
  return list
}

/**
 * @param bytes - Exactly one element, with nothing after it.
 * @throws {@link EvidenceError} `STRUCTURE` for what the profile does not allow, `LIMIT` beyond {@link DER_DEPTH_MAX} and {@link DER_ELEMENTS_MAX}.
 */
export function checkDer(bytes: Uint8Array, profile: DerProfile): void {
  const left = { elements: DER_ELEMENTS_MAX }
  const element = readElement(bytes)
  if (element.raw.length !== bytes.length)
    throw derError(`${bytes.length - element.raw.length} bytes after the end of the element`)
  checkElement(element, { profile, depth: DER_DEPTH_MAX, left })
}

interface Walk {
  readonly profile: DerProfile
  readonly depth: number
  readonly left: { elements: number }
}

function checkElement(element: Element, walk: Walk): void {
  const { tag, content } = element
  if (--walk.left.elements < 0) throw tooMany()
  const isUniversal = tag < 0x40
  const isConstructed = (tag & 0x20) !== 0
  if (isUniversal && isConstructed !== ((tag & 0x1f) === 0x10 || (tag & 0x1f) === 0x11))
    throw derError(`tag 0x${tag.toString(16)}`)
  if (!isConstructed) return checkPrimitive(element, walk.profile)
  if (walk.depth === 0) throw new EvidenceError('LIMIT', { message: `DER: more than ${DER_DEPTH_MAX} levels` })
  const members = elements(content)
  for (const member of members) checkElement(member, { ...walk, depth: walk.depth - 1 })
  if (tag === TAG.SET && walk.profile === 'strict') checkOrder(members)
}

function checkPrimitive({ tag, content }: Element, profile: DerProfile): void {
  if (tag === TAG.INTEGER || tag === TAG.ENUMERATED) {
    if (content.length === 0) throw derError('an integer of no bytes')
    if (profile === 'strict' && isPadded(content)) throw derError('an integer that is not the shortest')
  }
  if (tag === TAG.BOOLEAN) {
    if (content.length !== 1) throw derError(`a BOOLEAN of ${content.length} bytes`)
    if (profile === 'strict' && content[0] !== 0 && content[0] !== 0xff) throw derError('a BOOLEAN that is neither')
  }
  if (tag === TAG.BIT_STRING && !isBitString(content, profile)) throw derError('a BIT STRING with wrong unused bits')
}

function isPadded(integer: Uint8Array): boolean {
  const [first, second = -1] = integer
  return (first === 0 && second >= 0 && second < 0x80) || (first === 0xff && second >= 0x80)
}

function isBitString(content: Uint8Array, profile: DerProfile): boolean {
  const unused = content[0] ?? 8
  if (unused > 7 || (unused > 0 && content.length === 1)) return false
  return profile !== 'strict' || (content[content.length - 1] & ((1 << unused) - 1)) === 0 || content.length === 1
}

function checkOrder(members: readonly Element[]): void {
  for (let i = 1; i < members.length; i++)
    if (compare(members[i - 1].raw, members[i].raw) > 0) throw derError('members of a SET that do not ascend')
}

function tooMany(): EvidenceError {
  return new EvidenceError('LIMIT', { message: `DER: more than ${DER_ELEMENTS_MAX} elements` })
}

/** The members of a SEQUENCE that is all there is. */
export function sequence(bytes: Uint8Array): Element[] {
  const element = readElement(bytes)
  if (element.tag !== TAG.SEQUENCE || element.raw.length !== bytes.length) throw derError('not exactly one SEQUENCE')
  return elements(element.content)
}

/** Magnitude of a positive INTEGER, without leading zeros. */
export function positive({ tag, content }: Element): Uint8Array {
  if (tag !== TAG.INTEGER || content.length === 0 || content[0] >= 0x80) throw derError('not a positive INTEGER')
  const from = content.findIndex((byte) => byte !== 0)
  if (from < 0) throw derError('an INTEGER that is 0')
  return content.subarray(from)
}

export function encode(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(...parts)
  const { length } = content
  if (length >= 1 << 24) throw new RangeError(`${length} bytes in one element`)
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : undefined
  const long = length < 0x10000 ? [0x82, length >> 8, length] : [0x83, length >> 16, length >> 8, length]
  return concat(new Uint8Array([tag, ...(header ?? long)]), content)
}

/** INTEGER of a big-endian magnitude. */
export function encodePositive(magnitude: Uint8Array): Uint8Array {
  const from = magnitude.findIndex((byte) => byte !== 0)
  const shortest = from < 0 ? new Uint8Array(1) : magnitude.subarray(from)
  return encode(TAG.INTEGER, shortest[0] >= 0x80 ? concat(new Uint8Array(1), shortest) : shortest)
}
