/** The seeded random bytes. Format: spec/wasi-host.md §7. */
import { ByteWriter, utf8, type Sha256 } from '@reprise/core'

const BLOCK_BYTES = 32
const TAG = utf8('reprise/random/v1\0')

export class RandomBytes {
  readonly #seed: bigint
  readonly #sha256: Sha256
  #block: Uint8Array = new Uint8Array(0)
  #blockIndex = -1
  /** How many bytes were drawn. */
  offset = 0

  constructor(seed: bigint, sha256: Sha256) {
    this.#seed = seed
    this.#sha256 = sha256
  }

  fill(target: Uint8Array): void {
    for (let at = 0; at < target.length;) {
      const skip = this.offset % BLOCK_BYTES
      const part = this.#blockAt(Math.floor(this.offset / BLOCK_BYTES)).subarray(skip, skip + target.length - at)
      target.set(part, at)
      at += part.length
      this.offset += part.length
    }
  }

  #blockAt(index: number): Uint8Array {
    if (index !== this.#blockIndex) {
      this.#block = this.#sha256(new ByteWriter().raw(TAG).u64(this.#seed).u64(BigInt(index)).done())
      this.#blockIndex = index
    }
    return this.#block
  }
}
