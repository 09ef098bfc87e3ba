/** One chunk: AES-256-GCM under the key of its image, bound to its place. Format: spec/release.md §11.3. */

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { ByteWriter } from '@reprise/core'
import type { Secret } from '../secret.ts'
import { tagged } from '../words.ts'

export const TAG_BYTES = 16

/** Where a chunk stands. */
export interface ChunkPlace {
  readonly version: number
  readonly index: number
  readonly total: number
}

/** Never used twice: a key encrypts one image, and each index once. */
function nonceOf({ index }: ChunkPlace): Uint8Array {
  return new ByteWriter().u32(0).u64(BigInt(index)).done()
}

function additionalData({ version, index, total }: ChunkPlace): Uint8Array {
  return tagged('reprise/image-chunk/v1').u64(BigInt(version)).u64(BigInt(index)).u64(BigInt(total)).done()
}

/** @returns Ciphertext and tag, in two parts. */
export function encryptChunk(key: Secret, place: ChunkPlace, plain: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonceOf(place)).setAAD(additionalData(place))
  const body = cipher.update(plain)
  cipher.final()
  return [body, cipher.getAuthTag()]
}

/** @returns The plain chunk in memory of its own; undefined when key, place or bytes are not those that were encrypted. */
export function decryptChunk(
  key: Secret,
  place: ChunkPlace,
  encrypted: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonceOf(place)).setAAD(additionalData(place))
  decipher.setAuthTag(encrypted.subarray(-TAG_BYTES))
  const plain = decipher.update(encrypted.subarray(0, -TAG_BYTES))
  try {
    decipher.final()
    // No Buffer: slices of those are no copies.
    return new Uint8Array(plain.buffer, plain.byteOffset, plain.length)
  } catch {
    discard(plain)
    return undefined
  }
}

/**
 * Wipes a plain chunk and gives its memory back at once. Left to the garbage collector, dead chunks lie about until there are
 * many megabytes of them: the next ones come to fresh pages, which cost as much as their decryption.
 */
export function discard(plain: Uint8Array<ArrayBuffer>): void {
  plain.fill(0)
  // Node has a buffer for each answer of a cipher. If it ever cut them from a pool, others would have the rest of it.
  if (plain.length === plain.buffer.byteLength) plain.buffer.transfer(0)
}
