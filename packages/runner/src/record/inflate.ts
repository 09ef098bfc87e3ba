/** Node's zlib, as the reader of containers wants it for small entries. */
import { inflateRawSync } from 'node:zlib'
import type { Inflate } from '@reprise/core'

const CHUNK_BYTES_MIN = 1 << 10
const CHUNK_BYTES_MAX = 1 << 16

/** A last block with fixed codes and nothing in it, RFC 1951 §3.2.3. */
const NOTHING = [3, 0]

export const inflateWhole: Inflate = (compressed, lengthBytesMax) => {
  // Of three lists that a record has, one is often empty: that is read without setting anything up.
  if (compressed.length === NOTHING.length && compressed.every((byte, i) => byte === NOTHING[i]))
    return new Uint8Array()
  // Node takes no limit of 0; a stream of no bytes is then found by its length.
  const maxOutputLength = Math.max(1, lengthBytesMax)
  // One more than what is expected: a full chunk would be followed by another one, to see whether there is more.
  const chunkSize = Math.min(CHUNK_BYTES_MAX, Math.max(CHUNK_BYTES_MIN, lengthBytesMax + 1))
  try {
    const { buffer, engine } = inflateRawSync(compressed, { maxOutputLength, chunkSize, info: true }) as unknown as {
      readonly buffer: Uint8Array
      readonly engine: { readonly bytesWritten: number }
    }
    return engine.bytesWritten === compressed.length ? buffer : undefined
  } catch {
    return undefined
  }
}
