/**
 * Follows the operand stack through a function: how high it grows, and where a float whose NaN bits the engine
 * chose reaches a place that shows them.
 *
 * Rules: spec/wasm-machine.md §6.1 (height) and §7 (floats). One bit per operand and local: 1 means `free`, the bits
 * of a NaN are not fixed by the semantics. Locals are flow-insensitive: a least fixed point, reached by
 * repeating until no local becomes free.
 */

import type { Body } from '../module/body.ts'
import { malformed } from '../module/cursor.ts'
import type { WasmModule } from '../module/module.ts'
import { diverges, FLOAT, floatRules, OP, pops, pushes, SINK, sinks, STRUCTURE, structure } from '../module/opcodes.ts'

const FIXED = 0
const FREE = 1

export class Operands {
  /** Greatest number of operands at any reachable point. */
  maxHeight = 0
  /** By instruction, when floats were followed: 1 where the topmost operand must be made canonical first. */
  needsCanonical = new Uint8Array(0)

  #stack = new Uint8Array(1024)
  #height = 0
  #locals = new Uint8Array(0)
  #localsChanged = false
  #bases = new Int32Array(256)
  #openers = new Int32Array(256)
  #depth = 0
  #base = 0

  follow(body: Body, module: WasmModule, functionIndex: number, floats: boolean): void {
    if (this.needsCanonical.length < body.count) this.needsCanonical = new Uint8Array(2 * body.count)
    this.needsCanonical.fill(0, 0, body.count)
    if (this.#locals.length < body.locals) this.#locals = new Uint8Array(2 * body.locals)
    this.#locals.fill(FIXED, 0, body.locals)
    this.#locals.fill(FREE, 0, body.params)
    this.maxHeight = 0
    do {
      this.#localsChanged = false
      this.#walk(body, module, functionIndex)
    } while (floats && this.#localsChanged)
  }

  /** Whether a local may hold a NaN whose bits the engine chose; only after floats were followed. */
  isFree(local: number): boolean {
    return this.#locals[local] === FREE
  }

  #walk(body: Body, module: WasmModule, functionIndex: number): void {
    const { opcode, count } = body
    this.#height = this.#base = this.#depth = 0
    this.#open(-1, 0)
    for (let n = 0; n < count; n++) {
      const op = opcode[n]
      if (pops[op] !== 0) this.#need(pops[op], functionIndex, body.at[n])
      if (sinks[op] !== SINK.none) this.needsCanonical[n] = this.#stack[this.#height - 1]
      switch (op) {
        case OP.localGet:
          this.#push(this.#locals[body.immediate[n]])
          break
        case OP.localSet:
          this.#setLocal(body.immediate[n], this.#stack[--this.#height])
          break
        case OP.localTee:
          this.#setLocal(body.immediate[n], this.#stack[this.#height - 1])
          break
        case OP.globalSet:
          this.needsCanonical[n] = this.#stack[--this.#height]
          break
        case OP.call:
          this.#call(module, module.functions[body.immediate[n]], functionIndex, body.at[n])
          break
        case OP.callIndirect:
          this.#height--
          this.#call(module, body.immediate[n], functionIndex, body.at[n])
          break
        default:
          if (structure[op] !== STRUCTURE.none) this.#control(body, module, functionIndex, n)
          else if (diverges[op] === 1) n = this.#skipDead(body, module, n)
          else this.#simple(op)
      }
    }
  }

  #simple(op: number): void {
    const taken = pops[op]
    let bit = FIXED
    const rule = floatRules[op]
    if (rule === FLOAT.arithmetic) bit = FREE
    else if (rule === FLOAT.firstOperand) bit = this.#stack[this.#height - taken]
    else if (rule === FLOAT.select) bit = this.#stack[this.#height - 3] | this.#stack[this.#height - 2]
    this.#height -= taken
    if (pushes[op] === 1) this.#push(bit)
  }

  #call(module: WasmModule, type: number, functionIndex: number, offset: number): void {
    const { params, results } = module.types[type]
    this.#need(params.length, functionIndex, offset)
    this.#height -= params.length
    for (let i = 0; i < results.length; i++) this.#push(FREE)
  }

  #control(body: Body, module: WasmModule, functionIndex: number, n: number): void {
    const op = body.opcode[n]
    if (structure[op] === STRUCTURE.closes) return this.#end(body, module)
    if (structure[op] === STRUCTURE.continues) return this.#nextPart(body, module, n)
    if (op === OP.if) this.#height--
    const params = body.blockParams(n, module)
    this.#need(params, functionIndex, body.at[n])
    this.#open(n, this.#height - params)
    this.#stack.fill(FREE, this.#base, this.#height)
  }

  /** An `else` finds the parameters of its block, a `catch` what was thrown. */
  #nextPart(body: Body, module: WasmModule, n: number): void {
    const op = body.opcode[n]
    if (op === OP.else) this.#setHeight(this.#base + body.blockParams(body.openerOf[n], module))
    else this.#setHeight(this.#base + (op === OP.catch ? module.tags[body.immediate[n]].params.length : 0))
  }

  #end(body: Body, module: WasmModule): void {
    const opener = this.#openers[--this.#depth]
    if (opener < 0) return
    this.#setHeight(this.#base + body.blockResults(opener, module))
    this.#base = this.#bases[this.#depth - 1]
  }

  /** Operands that come out of a block are free: any branch may have brought them. */
  #setHeight(height: number): void {
    this.#height = this.#base
    while (this.#height < height) this.#push(FREE)
  }

  /** From an unconditional branch to the end of its part of the block nothing runs and nothing counts. */
  #skipDead(body: Body, module: WasmModule, n: number): number {
    let nested = 0
    for (let at = n + 1; ; at++) {
      const kind = structure[body.opcode[at]]
      if (kind === STRUCTURE.opens) nested++
      else if (kind !== STRUCTURE.none) {
        if (nested === 0) {
          if (kind === STRUCTURE.closes) this.#end(body, module)
          else this.#nextPart(body, module, at)
          return at
        }
        if (kind === STRUCTURE.closes) nested--
      }
    }
  }

  #open(opener: number, base: number): void {
    if (this.#depth === this.#bases.length) {
      this.#bases = grown(this.#bases)
      this.#openers = grown(this.#openers)
    }
    this.#openers[this.#depth] = opener
    this.#bases[this.#depth++] = base
    this.#base = base
  }

  #push(bit: number): void {
    if (this.#height === this.#stack.length) {
      const larger = new Uint8Array(2 * this.#stack.length)
      larger.set(this.#stack)
      this.#stack = larger
    }
    this.#stack[this.#height++] = bit
    if (this.#height > this.maxHeight) this.maxHeight = this.#height
  }

  #setLocal(local: number, bit: number): void {
    if (bit <= this.#locals[local]) return
    this.#locals[local] = bit
    this.#localsChanged = true
  }

  #need(operands: number, functionIndex: number, offset: number): void {
    if (this.#height - this.#base < operands) throw malformed(`function ${functionIndex} lacks an operand`, offset)
  }
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length)
  larger.set(array)
  return larger
}
