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

/** @returns The plain chunk; undefined when key, place or bytes are not those that were encrypted. */
export function decryptChunk(key: Secret, place: ChunkPlace, encrypted: Uint8Array): Uint8Array | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonceOf(place)).setAAD(additionalData(place))
  decipher.setAuthTag(encrypted.subarray(-TAG_BYTES))
  const plain = decipher.update(encrypted.subarray(0, -TAG_BYTES))
  try {
    decipher.final()
    // No Buffer: slices of those are no copies.
    return new Uint8Array(plain.buffer, plain.byteOffset, plain.length)
  } catch {
    plain.fill(0)
    return undefined
  }
}
