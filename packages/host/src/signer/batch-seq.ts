/**
 * The counter of batches of a host. It never gives a number twice: numbers are reserved on disk in
 * blocks before any of them is used, and a crash forfeits the rest of its block.
 */

import { HostError } from '../error.ts'
import { readIfThere, writeAtomically } from '../files.ts'

/** At ten batches a second, one write to disk in 100 s. */
const BLOCK = 1024n

export class BatchSeq {
  readonly #path: string
  #next: bigint
  #reserved: bigint

  private constructor(path: string, from: bigint) {
    this.#path = path
    this.#next = from
    this.#reserved = from
  }

  /** Writes the counter's file unless it is there. */
  static async create(path: string): Promise<void> {
    if ((await readIfThere(path)) === undefined) await writeAtomically(path, '0\n')
  }

  /** @throws {@link HostError} `IDENTITY_DAMAGED` when the file is missing or not a number. */
  static async open(path: string): Promise<BatchSeq> {
    const content = await readIfThere(path)
    const text = content === undefined ? '' : Buffer.from(content).toString('latin1')
    if (!/^(0|[1-9]\d{0,18})\n$/.test(text)) {
      throw new HostError('IDENTITY_DAMAGED', {
        message: `${path} ${content === undefined ? 'is missing' : 'is not a number'}: batch numbers could repeat.`,
        hint: 'Give this host a new identity: reprise host init --new',
      })
    }
    return new BatchSeq(path, BigInt(text))
  }

  /** Must not be called again before the number is there. */
  async next(): Promise<bigint> {
    if (this.#next === this.#reserved) {
      await writeAtomically(this.#path, `${this.#reserved + BLOCK}\n`)
      this.#reserved += BLOCK
    }
    return this.#next++
  }
}
