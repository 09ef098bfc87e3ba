import { forEachLabel } from '../analysis/liveness.ts'
import type { Body } from '../module/body.ts'
import { OP } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'

/**
 * How far branches reach: where the machine's own blocks stand between a guest's branch and its target, the label grows by
 * their number.
 */
export class Labels {
  /** Constructs of the guest around the code that is being written. */
  nesting = 0
  /** By nesting level: blocks of the machine around its code, but inside of the function. */
  readonly #around: number[] = [0]
  #pending = 0

  /** @param around - Blocks of the machine around all code of the function. */
  reset(around: number): void {
    this.nesting = this.#pending = 0
    this.#around[0] = around
  }

  /** @param extra - Blocks of the machine right around the construct that begins here. */
  open(extra = 0): void {
    this.#around[this.nesting + 1] = this.#around[this.nesting] + extra + this.#pending
    this.#pending = 0
    this.nesting++
  }

  close(): void {
    this.nesting--
  }

  /** The next construct has one more block of the machine around it. */
  surroundNext(): void {
    this.#pending = 1
  }

  get shifted(): boolean {
    return this.#around[this.nesting] !== 0
  }

  /** What a label of the guest is in the code that is being written. */
  moved(label: number): number {
    const level = this.nesting - label
    return label + this.#around[this.nesting] - (level === 0 ? 0 : this.#around[level])
  }

  /** A branch, `rethrow` or `delegate` of the guest. */
  write(sink: ByteSink, body: Body, n: number): void {
    const { opcode, immediate } = body
    sink.u8(opcode[n])
    if (opcode[n] === OP.brTable) {
      sink.unsigned(immediate[n])
      forEachLabel(body, n, (label) => sink.unsigned(this.moved(label)))
    } else {
      sink.unsigned(this.moved(immediate[n]))
    }
  }
}
