/** The hashes of `node:crypto` in the form that `core` takes them. */

import { createHash, hash as digest } from 'node:crypto'
import type { HashAlgorithm } from '@reprise/core'

export function hash(algorithm: HashAlgorithm, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(data).digest())
}

/** One call without an object in between: a batch makes a dozen of them. */
export function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(digest('sha256', data, 'buffer'))
}
