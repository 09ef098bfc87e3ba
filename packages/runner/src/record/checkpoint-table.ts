/** Checkpoints by number, in some 50 bytes each: a record may have millions, and a comparison reaches for any of them. */
import { fromHex, hex, type Checkpoint, type CheckpointKind } from '@reprise/core'

/** As much of a list of checkpoints as a comparison needs; an array is one. */
export interface CheckpointList extends Iterable<Checkpoint> {
  readonly length: number
  at(seq: number): Checkpoint | undefined
}

const DIGEST_BYTES = 32
/** Rows of one block: growing copies nothing. */
const BLOCK_ROWS = 4096

interface Block {
  readonly states: Uint8Array
  readonly positions: BigUint64Array
  readonly kinds: Uint8Array
  /** Which of the outputs roots; they change seldom. */
  readonly outputs: Uint32Array
}

export class CheckpointTable implements CheckpointList {
  readonly #blocks: Block[] = []
  readonly #outputs: string[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  /** Takes the next checkpoint; its place is its number. */
  push({ kind, outputs, position, state }: Checkpoint): void {
    const row = this.#length % BLOCK_ROWS
    if (row === 0) this.#blocks.push(emptyBlock())
    const block = this.#blocks[this.#blocks.length - 1]
    if (this.#outputs.at(-1) !== outputs) this.#outputs.push(outputs)
    block.states.set(fromHex(state), row * DIGEST_BYTES)
    block.positions[row] = BigInt(position)
    block.kinds[row] = kind
    block.outputs[row] = this.#outputs.length - 1
    this.#length += 1
  }

  at(seq: number): Checkpoint | undefined {
    const place = seq < 0 ? this.#length + seq : seq
    const block = place < this.#length ? this.#blocks[Math.floor(place / BLOCK_ROWS)] : undefined
    if (block === undefined) return undefined
    const row = place % BLOCK_ROWS
    return {
      kind: block.kinds[row] as CheckpointKind,
      outputs: this.#outputs[block.outputs[row]],
      position: block.positions[row].toString(),
      seq: place,
      state: hex(block.states.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES)),
    }
  }

  *[Symbol.iterator](): Generator<Checkpoint> {
    for (let seq = 0; seq < this.#length; seq++) yield this.at(seq) as Checkpoint
  }
}

function emptyBlock(): Block {
  return {
    states: new Uint8Array(BLOCK_ROWS * DIGEST_BYTES),
    positions: new BigUint64Array(BLOCK_ROWS),
    kinds: new Uint8Array(BLOCK_ROWS),
    outputs: new Uint32Array(BLOCK_ROWS),
  }
}
