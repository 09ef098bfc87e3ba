/**
 * Branch hints: tells the engine which inserted branches are rarely taken, so that it keeps the cold calls behind
 * them from costing registers in the loops around. Speed only; an engine may ignore them.
 *
 * Source: WebAssembly branch hinting, custom section `metadata.code.branch_hint`: per function the offsets of its
 * hinted branches from the start of the local declarations, each with 0 (rarely taken) or 1 (often).
 */

import type { ByteSink } from '../module/sink.ts'

const encoder = new TextEncoder()

export class BranchHints {
  readonly #functions: number[] = []
  readonly #counts: number[] = []
  /** Offset × 2 + hint. */
  readonly #hints: number[] = []
  #bodyStart = 0

  /** From here on `add` means this function, by its final index, whose local declarations begin at `bodyStart`. */
  open(functionIndex: number, bodyStart: number): void {
    if (this.#counts.at(-1) === 0) {
      this.#functions.pop()
      this.#counts.pop()
    }
    this.#functions.push(functionIndex)
    this.#counts.push(0)
    this.#bodyStart = bodyStart
  }

  /** The branch instruction that is about to be written at `place`. */
  add(place: number, taken: 'rarely' | 'often'): void {
    this.#counts[this.#counts.length - 1]++
    this.#hints.push(2 * (place - this.#bodyStart) + (taken === 'often' ? 1 : 0))
  }

  /** The content of the custom section. */
  write(sink: ByteSink): void {
    sink.vector(encoder.encode('metadata.code.branch_hint')).unsigned(this.#functions.length)
    let next = 0
    for (const [i, functionIndex] of this.#functions.entries()) {
      sink.unsigned(functionIndex).unsigned(this.#counts[i])
      for (let k = 0; k < this.#counts[i]; k++, next++) {
        sink
          .unsigned(Math.floor(this.#hints[next] / 2))
          .u8(1)
          .u8(this.#hints[next] % 2)
      }
    }
  }
}
