/** Hashed tuples: a tag, a zero byte, then the fields. Format: spec/measurement.md §1.1. */
import type { Sha256 } from '../crypto.ts'
import { utf8, utf8Into } from './bytes.ts'

/** Bytes as they are, a bigint in eight bytes, a number (a kind) in one. */
export type Field = Uint8Array | bigint | number

/** A string or byte field: an 8-byte length, then the bytes. */
export function sized(bytes: Uint8Array): readonly [bigint, Uint8Array] {
  return [BigInt(bytes.length), bytes]
}

/** The bytes of a tuple, for hashes that go on with something else. */
export function tuple(tag: string, ...fields: readonly Field[]): Uint8Array {
  const head = tagBytes(tag)
  const bytes = new Uint8Array(lengthOf(head, fields))
  write(new DataView(bytes.buffer), bytes, head, fields)
  return bytes
}

/** One buffer for all tuples up to a page and its tag: records and checkpoints are made of thousands of small ones. */
const kept = new Uint8Array(1 << 13)
const keptView = new DataView(kept.buffer)

/** @param sha256 - Must not keep its input, which is overwritten by the next tuple. */
export function tupleDigest(sha256: Sha256, tag: string, ...fields: readonly Field[]): Uint8Array {
  const head = tagBytes(tag)
  const lengthBytes = lengthOf(head, fields)
  if (lengthBytes > kept.length) return sha256(tuple(tag, ...fields))
  write(keptView, kept, head, fields)
  return sha256(kept.subarray(0, lengthBytes))
}

/** {@link tupleDigest} of one text, in UTF-8. */
export function textDigest(sha256: Sha256, tag: string, text: string): Uint8Array {
  const head = tagBytes(tag)
  // A UTF-16 code unit takes one to three bytes.
  if (head.length + 3 * text.length > kept.length) return tupleDigest(sha256, tag, utf8(text))
  kept.set(head)
  return sha256(kept.subarray(0, head.length + utf8Into(text, kept.subarray(head.length))))
}

/** There are as many as the formats name. */
const tags = new Map<string, Uint8Array>()

function tagBytes(tag: string): Uint8Array {
  let bytes = tags.get(tag)
  if (bytes === undefined) tags.set(tag, (bytes = utf8(`${tag}\0`)))
  return bytes
}

function lengthOf(head: Uint8Array, fields: readonly Field[]): number {
  let lengthBytes = head.length
  for (const field of fields)
    lengthBytes += typeof field === 'bigint' ? 8 : typeof field === 'number' ? 1 : field.length
  return lengthBytes
}

/** @param view - Of `bytes`: made once for those that are kept. */
function write(view: DataView, bytes: Uint8Array, head: Uint8Array, fields: readonly Field[]): void {
  bytes.set(head)
  let at = head.length
  for (const field of fields) {
    if (typeof field === 'bigint') {
      view.setBigUint64(at, field)
      at += 8
    } else if (typeof field === 'number') bytes[at++] = field
    else {
      bytes.set(field, at)
      at += field.length
    }
  }
}
