/** C at the checkpoints that a later attempt may sign once more. */
import { DIGEST_BYTES } from '../merkle/index.ts'
import type { Attempt } from '../record/index.ts'

/** 32 bytes for every checkpoint after the earliest snapshot that an attempt went on from. */
export class KeptCumulatives {
  readonly #firstSeq: number
  #bytes = new Uint8Array(64 * DIGEST_BYTES)
  #count = 0

  constructor(attempts: readonly Attempt[]) {
    this.#firstSeq = attempts
      .slice(1)
      .reduce((least, { firstSeq }) => Math.min(least, firstSeq), Number.POSITIVE_INFINITY)
  }

  /** To be called for every checkpoint in order. */
  keep(seq: number, cumulative: Uint8Array): void {
    if (seq < this.#firstSeq) return
    const at = this.#count++ * DIGEST_BYTES
    if (at === this.#bytes.length) {
      const larger = new Uint8Array(2 * at)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes.set(cumulative, at)
  }

  /** Undefined for a checkpoint that no later attempt computes. */
  at(seq: number): Uint8Array | undefined {
    const index = seq - this.#firstSeq
    return index >= 0 && index < this.#count
      ? this.#bytes.slice(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES)
      : undefined
  }
}
