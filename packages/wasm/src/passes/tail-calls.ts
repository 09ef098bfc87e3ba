/** Which activation may stand where a function was called: the function's own, or that of one it has left to by tail calls. */

import type { Body } from '../module/body.ts'
import type { WasmModule } from '../module/module.ts'
import { OP } from '../module/opcodes.ts'

export class TailCalls {
  readonly #module: WasmModule
  /** By function: what its tail calls name. */
  readonly #targets = new Map<number, { readonly functions: Set<number>; readonly types: Set<string> }>()

  constructor(module: WasmModule) {
    this.#module = module
  }

  /** Whether there is one at all. */
  get any(): boolean {
    return this.#targets.size > 0
  }

  /** Notes those of the function in the body. */
  add(functionIndex: number, body: Body): void {
    for (let n = 0; n < body.count; n++) {
      const op = body.opcode[n]
      if (op !== OP.returnCall && op !== OP.returnCallIndirect) continue
      const known = this.#targets.get(functionIndex) ?? { functions: new Set<number>(), types: new Set<string>() }
      this.#targets.set(functionIndex, known)
      const index = body.immediate[n]
      if (op === OP.returnCall) known.functions.add(index)
      else known.types.add(this.#module.types[index].key)
    }
  }

  /** Whether a call of `called` can have become an activation of `found`. */
  lead(called: { readonly function: number } | { readonly type: string }, found: number): boolean {
    if ('type' in called) {
      if (this.#mayBe(found, called.type)) return true
      if (this.#targets.size === 0) return false
    }
    const { addressTaken } = this.#module
    const reached = new Set('function' in called ? [called.function] : this.#ofType(called.type, addressTaken))
    for (const each of reached) {
      if (each === found) return true
      const targets = this.#targets.get(each)
      for (const next of targets?.functions ?? []) reached.add(next)
      for (const type of targets?.types ?? []) for (const next of this.#ofType(type, addressTaken)) reached.add(next)
    }
    return false
  }

  #ofType(type: string, functions: Iterable<number>): number[] {
    return [...functions].filter((index) => this.#mayBe(index, type))
  }

  /** Whether an indirect call of this type may call it. */
  #mayBe(index: number, type: string): boolean {
    const { addressTaken, types, functions } = this.#module
    return addressTaken.has(index) && types[functions[index]].key === type
  }
}
