/** Where the code of a function has to make NaNs canonical, and how (spec/wasm-machine.md §7). */

import type { Operands } from '../analysis/operands.ts'
import type { Body } from '../module/body.ts'
import type { WasmModule } from '../module/module.ts'
import { FLOAT, floatRules, OP, SINK, sinks, VALUE_TYPES } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'
import type { BranchHints } from './hints.ts'
import { writeCanonicalScalar, writeCanonicalVector } from './snippets.ts'

export class FloatCode {
  /** Instructions that got code. */
  count = 0
  /** Whether the function in the body has such places. */
  needed = false
  readonly #sink: ByteSink
  readonly #module: WasmModule
  readonly #body: Body
  readonly #operands: Operands
  readonly #hints: BranchHints

  constructor(parts: { sink: ByteSink; module: WasmModule; body: Body; operands: Operands; hints: BranchHints }) {
    this.#sink = parts.sink
    this.#module = parts.module
    this.#body = parts.body
    this.#operands = parts.operands
    this.#hints = parts.hints
  }

  open(canonical: boolean): void {
    this.needed = canonical && this.#hasFloats()
  }

  #hasFloats(): boolean {
    const { opcode, count, immediate } = this.#body
    for (let n = 0; n < count; n++) {
      const op = opcode[n]
      if (sinks[op] !== SINK.none || floatRules[op] >= FLOAT.vector32) return true
      if (op === OP.globalSet && this.#globalSink(immediate[n]) !== SINK.none) return true
    }
    return false
  }

  #globalSink(index: number): number {
    const type = this.#module.globals[index].type
    return type === 'f32' ? SINK.f32 : type === 'f64' ? SINK.f64 : SINK.none
  }

  /** Adds the types of the scratch locals that the code of this function takes. */
  addScratchTypes(need: Set<number>): void {
    const { opcode, count } = this.#body
    for (let n = 0; n < count; n++) {
      const sink = this.sinkAt(n)
      if (sink === SINK.f32) need.add(VALUE_TYPES.f32)
      if (sink === SINK.f64) need.add(VALUE_TYPES.f64)
      if (floatRules[opcode[n]] >= FLOAT.vector32) need.add(VALUE_TYPES.v128)
    }
  }

  /** Whether the topmost operand, a float whose NaN bits are the engine's choice, is about to be shown, and its type. */
  sinkAt(n: number): number {
    if (this.#operands.needsCanonical[n] !== 1) return SINK.none
    const op = this.#body.opcode[n]
    return op === OP.globalSet ? this.#globalSink(this.#body.immediate[n]) : sinks[op]
  }

  /** Before such an instruction. */
  writeScalar(n: number, scratch: (type: number) => number): void {
    this.count++
    const isF32 = this.sinkAt(n) === SINK.f32
    writeCanonicalScalar(this.#sink, this.#hints, isF32, scratch(isF32 ? VALUE_TYPES.f32 : VALUE_TYPES.f64))
  }

  /** Behind vector arithmetic. */
  writeVector(rule: number, scratch: (type: number) => number): void {
    this.count++
    writeCanonicalVector(this.#sink, rule === FLOAT.vector32, scratch(VALUE_TYPES.v128))
  }
}
