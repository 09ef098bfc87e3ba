/** The locals that a function gets besides its own: they are declared before the code that uses them is written. */

import type { Body } from '../module/body.ts'
import { type ValueType, VALUE_TYPES } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'

export class Locals {
  readonly #body: Body
  /** Binary codes of the types of those that were added, in order. */
  readonly #added: number[] = []
  readonly #scratch = new Map<number, number>()

  constructor(body: Body) {
    this.#body = body
  }

  reset(): void {
    this.#added.length = 0
    this.#scratch.clear()
  }

  /** @param type - The binary code of its type. */
  add(type: number): number {
    this.#added.push(type)
    return this.#body.locals + this.#added.length - 1
  }

  /** One local of each type, for values that no other code is in between of. */
  reserveScratch(types: Iterable<number>): void {
    for (const type of types) this.#scratch.set(type, this.add(type))
  }

  scratch(type: number): number {
    const local = this.#scratch.get(type)
    if (local === undefined) throw new Error('broken invariant: a scratch local was reserved')
    return local
  }

  /** @param first - Types of locals that stand before the guest's own. */
  write(sink: ByteSink, first: readonly ValueType[]): void {
    const { bytes, localGroups, groupsStart, groupsEnd } = this.#body
    sink.unsigned(first.length + localGroups + this.#added.length)
    for (const type of first) sink.u8(1).u8(VALUE_TYPES[type])
    sink.copy(bytes, groupsStart, groupsEnd)
    for (const type of this.#added) sink.u8(1).u8(type)
  }
}
