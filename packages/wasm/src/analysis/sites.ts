/**
 * The sites of a function, where it can be left and continued later, and what lies on the operand stack at each.
 *
 * A site is a poll or a call that may end at a poll; they are numbered in the order of the code
 * (spec/wasm-machine.md, "Sites"). The stack is followed with the type of every operand and with the instruction that
 * left it there: behind that instruction a copy goes to a local, so that the operand can be reached at the site.
 */

import type { Body } from '../module/body.ts'
import { Cursor } from '../module/cursor.ts'
import type { FunctionType, WasmModule } from '../module/module.ts'
import { diverges, FLOAT, floatRules, OP, pops, pushes, STRUCTURE, structure, VALUE_TYPES, valueType, type ValueType } from '../module/opcodes.ts' // prettier-ignore
import { resultTypes, TYPE, TYPE_NAMES } from '../module/result-types.ts'
import { countedLoop } from './counted-loop.ts'

export const SITE = {
  /** The poll at the entry of a function that is cut, before its first instruction. */
  entry: 0,
  /** The poll at every turn of a loop. */
  turn: 1,
  /** The poll before a counted loop, which charges all its turns. */
  bulk: 2,
  call: 3,
} as const

/** Added to the small number of a float type: the bits of a NaN are not fixed by the semantics. */
export const FREE = 8

/** An exception that a catch around a site has caught and that a `rethrow` in it may throw again. */
export interface Caught {
  /** The `catch` or `catch_all`. */
  readonly part: number
  /** Nesting level of its `try`; 1: outermost. */
  readonly level: number
}
const NOTHING_CAUGHT: readonly Caught[] = []

export class Sites {
  count = 0
  /** By instruction: its (first) site plus 1; 0: none. A counted loop has its bulk site, then its turn site. */
  readonly at = new IntList()
  /** By site. */
  readonly kind = new IntList()
  readonly instruction = new IntList()
  /** By site: whether the code before it lets control come here; the others need no code. */
  readonly reachable = new IntList()
  readonly #operandsAt = new IntList()
  readonly #operandCount = new IntList()
  /** Types of the operands of all sites, with {@link FREE}. */
  readonly #operandTypes = new IntList()
  /** By site, where there are any, outermost first. */
  readonly #caught = new Map<number, readonly Caught[]>()

  /** By instruction: 1 when copies of what it leaves go to locals. */
  copies = new Uint8Array(0)
  /** By instruction that has copies: the height at which what it leaves begins. */
  readonly copyHeight = new IntList()
  /** By the same: type of what it leaves, where that is one value. */
  readonly copyType = new IntList()
  /** By construct: operands below it, without its own parameters. */
  readonly baseOf = new IntList()
  /** Height × 8 + type of every copy. */
  readonly copied = new Set<number>()

  #localTypes = new Uint8Array(0)
  /** By height. */
  readonly #types = new IntList()
  readonly #producers = new IntList()
  readonly #orders = new IntList()
  #height = 0
  /** Operands that have their copy already; the others stand above them. */
  #marked = 0
  readonly #openers = new IntList()
  /** By nesting level: where the current part of the construct began. */
  readonly #parts = new IntList()
  #depth = 0

  /**
   * Numbers the sites of the function in `body`.
   *
   * @param isSite - Whether the call at an instruction may end at a poll.
   * @param isLookout - Whether it may, if not that, end at a host call that the guest is to be looked at in. Such sites have
   *   the numbers after all others, so that these stay what they are.
   */
  number(
    body: Body,
    isCut: boolean,
    isSite: (instruction: number) => boolean,
    isLookout: (instruction: number) => boolean = () => false,
  ): void {
    const { opcode, count, loopOf } = body
    this.count = 0
    this.at.ensure(count)
    if (isCut) this.#add(SITE.entry, -1)
    for (let n = 0; n < count; n++) {
      const op = opcode[n]
      this.at.values[n] = 0
      if (op === OP.loop) {
        this.at.values[n] = this.count + 1
        if (countedLoop(body, loopOf[n]) !== undefined) this.#add(SITE.bulk, n)
        this.#add(SITE.turn, n)
      } else if ((op === OP.call || op === OP.callIndirect) && isSite(n)) {
        this.at.values[n] = this.count + 1
        this.#add(SITE.call, n)
      }
    }
    for (let n = 0; n < count; n++) {
      const isCall = opcode[n] === OP.call || opcode[n] === OP.callIndirect
      if (!isCall || this.at.values[n] > 0 || !isLookout(n)) continue
      this.at.values[n] = this.count + 1
      this.#add(SITE.call, n)
    }
  }

  #add(kind: number, instruction: number): void {
    const site = this.count++
    this.kind.set(site, kind)
    this.instruction.set(site, instruction)
    this.reachable.set(site, kind === SITE.entry ? 1 : 0)
    this.#operandCount.set(site, 0)
    this.#operandsAt.set(site, 0)
  }

  operandCount(site: number): number {
    return this.#operandCount.values[site]
  }

  /** Type of the operand at a height, with {@link FREE}. */
  operandType(site: number, height: number): number {
    return this.#operandTypes.values[this.#operandsAt.values[site] + height]
  }

  /** Exceptions that a frame at this site holds besides its values, outermost first. */
  caughtAround(site: number): readonly Caught[] {
    return this.#caught.get(site) ?? NOTHING_CAUGHT
  }

  localType(local: number): number {
    return this.#localTypes[local]
  }

  /** Follows the stack; `freeLocal` says which locals may hold a NaN that the engine chose. */
  follow(body: Body, module: WasmModule, functionIndex: number, freeLocal: (local: number) => boolean): void {
    this.#readLocals(body, module, functionIndex, freeLocal)
    if (this.copies.length < body.count) this.copies = new Uint8Array(2 * body.count)
    this.copies.fill(0, 0, body.count)
    this.copyHeight.ensure(body.count)
    this.copyType.ensure(body.count)
    this.baseOf.ensure(body.count)
    this.copied.clear()
    this.#caught.clear()
    this.#operandTypes.length = 0
    this.#height = this.#marked = this.#depth = 0
    this.#open(-1)
    const { opcode, immediate, count } = body
    for (let n = 0; n < count; n++) {
      const op = opcode[n]
      switch (op) {
        case OP.localGet:
        case OP.localTee:
          if (op === OP.localTee) this.#pop(1)
          this.#push(this.#localTypes[immediate[n]], n, 0)
          break
        case OP.globalGet:
          this.#push(TYPE[module.globals[immediate[n]].type], n, 0)
          break
        case OP.refNull:
          this.#push(immediate[n] === VALUE_TYPES.exnref ? TYPE.exnref : TYPE.funcref, n, 0)
          break
        case OP.call:
          this.#call(n, module.types[module.functions[immediate[n]]], body, module)
          break
        case OP.callIndirect:
          this.#pop(1)
          this.#call(n, module.types[immediate[n]], body, module)
          break
        default:
          if (structure[op] !== STRUCTURE.none) this.#control(body, module, n)
          else if (diverges[op] === 1) n = this.#skipDead(body, module, n)
          else this.#simple(op, n)
      }
    }
  }

  #readLocals(body: Body, module: WasmModule, functionIndex: number, freeLocal: (local: number) => boolean): void {
    if (this.#localTypes.length < body.locals) this.#localTypes = new Uint8Array(2 * body.locals)
    const types = this.#localTypes
    let local = 0
    for (const type of module.types[module.functions[functionIndex]].params) types[local++] = TYPE[type]
    const cursor = new Cursor(body.bytes, body.groupsStart, body.groupsEnd)
    for (let group = 0; group < body.localGroups; group++) {
      const size = cursor.u32()
      const type = valueType(cursor.u8())
      if (type !== undefined) types.fill(TYPE[type], local, local + size)
      local += size
    }
    for (local = 0; local < body.locals; local++) {
      if ((types[local] === TYPE.f32 || types[local] === TYPE.f64) && freeLocal(local)) types[local] |= FREE
    }
  }

  #simple(op: number, n: number): void {
    const taken = pops[op]
    const types = this.#types.values
    let type = resultTypes[op]
    const rule = floatRules[op]
    if (rule === FLOAT.arithmetic) type |= FREE
    else if (rule === FLOAT.firstOperand) type |= types[this.#height - taken] & FREE
    else if (rule === FLOAT.select) type = types[this.#height - 3] | (types[this.#height - 2] & FREE)
    this.#pop(taken)
    if (pushes[op] === 1) this.#push(type, n, 0)
  }

  #call(n: number, type: FunctionType, body: Body, module: WasmModule): void {
    this.#pop(type.params.length)
    const site = this.at.values[n] - 1
    if (site >= 0) this.#note(site, body, module)
    this.#pushAll(type.results, n)
  }

  #open(opener: number): void {
    this.#parts.set(this.#depth, opener)
    this.#openers.set(this.#depth++, opener)
  }

  #control(body: Body, module: WasmModule, n: number): void {
    const op = body.opcode[n]
    if (structure[op] === STRUCTURE.closes) return this.#end(body, module, n)
    if (structure[op] === STRUCTURE.continues) return this.#nextPart(body, module, n)
    if (op === OP.if) this.#pop(1)
    const params = body.blockParams(n, module)
    this.baseOf.values[n] = this.#height - params
    this.#open(n)
    const types = this.#types.values
    for (let height = this.#height - params; height < this.#height; height++) types[height] = freed(types[height])
    if (op !== OP.loop) return
    // What a turn finds comes from any branch, so the loop itself counts as what left it there.
    for (let order = 0; order < params; order++) {
      const height = this.#height - params + order
      this.#producers.values[height] = n
      this.#orders.values[height] = order
    }
    this.#marked = Math.min(this.#marked, this.#height - params)
    const site = this.at.values[n] - 1
    if (site < 0) return
    this.#note(site, body, module)
    if (this.kind.values[site] === SITE.bulk) this.#note(site + 1, body, module)
  }

  /** An `else` finds the parameters of its block, a `catch` what was thrown. */
  #nextPart(body: Body, module: WasmModule, n: number): void {
    this.#parts.values[this.#depth - 1] = n
    this.#pop(this.#height - this.baseOf.values[this.#openers.values[this.#depth - 1]])
    this.#pushAll(producedTypes(body, n, module) ?? [], n)
  }

  #end(body: Body, module: WasmModule, n: number): void {
    const opener = this.#openers.values[--this.#depth]
    if (opener < 0) return
    this.#pop(this.#height - this.baseOf.values[opener])
    this.#pushAll(blockResultTypes(body, opener, module), n)
  }

  #skipDead(body: Body, module: WasmModule, n: number): number {
    let nested = 0
    for (let at = n + 1; ; at++) {
      const kind = structure[body.opcode[at]]
      if (kind === STRUCTURE.opens) nested++
      else if (kind !== STRUCTURE.none) {
        if (nested === 0) {
          if (kind === STRUCTURE.closes) this.#end(body, module, at)
          else this.#nextPart(body, module, at)
          return at
        }
        if (kind === STRUCTURE.closes) nested--
      }
    }
  }

  /** Operands that come out of calls and blocks are free: any branch may have brought them. */
  #pushAll(types: readonly ValueType[], n: number): void {
    for (let order = 0; order < types.length; order++) this.#push(freed(TYPE[types[order]]), n, order)
  }

  #push(type: number, producer: number, order: number): void {
    const height = this.#height++
    this.#types.set(height, type)
    this.#producers.set(height, producer)
    this.#orders.set(height, order)
  }

  #pop(operands: number): void {
    this.#height -= operands
    if (this.#height < this.#marked) this.#marked = Math.max(0, this.#height)
  }

  #note(site: number, body: Body, module: WasmModule): void {
    const height = this.#height
    this.reachable.values[site] = 1
    this.#operandCount.values[site] = height
    this.#operandsAt.values[site] = this.#operandTypes.length
    for (let h = 0; h < height; h++) this.#operandTypes.push(this.#types.values[h])
    for (; this.#marked < height; this.#marked++) this.#mark(this.#marked, body, module)
    if (body.tries > 0) this.#noteCaught(site, body)
  }

  #noteCaught(site: number, body: Body): void {
    const caught: Caught[] = []
    for (let level = 1; level < this.#depth; level++) {
      const part = this.#parts.values[level]
      const op = body.opcode[part]
      if ((op === OP.catch || op === OP.catchAll) && body.rethrown[part] === 1) caught.push({ part, level })
    }
    if (caught.length > 0) this.#caught.set(site, caught)
  }

  #mark(height: number, body: Body, module: WasmModule): void {
    const n = this.#producers.values[height]
    const type = this.#types.values[height] & ~FREE
    if (this.copies[n] === 1) return
    this.copies[n] = 1
    const first = height - this.#orders.values[height]
    this.copyHeight.values[n] = first
    this.copyType.values[n] = type
    const types = producedTypes(body, n, module)
    if (types === undefined) this.copied.add(8 * first + type)
    else for (const [order, each] of types.entries()) this.copied.add(8 * (first + order) + TYPE[each])
  }
}

/** What a call or the parts of a construct leave; `undefined` for the other instructions: one value. */
export function producedTypes(body: Body, n: number, module: WasmModule): readonly ValueType[] | undefined {
  switch (body.opcode[n]) {
    case OP.call:
      return module.types[module.functions[body.immediate[n]]].results
    case OP.callIndirect:
      return module.types[body.immediate[n]].results
    case OP.loop:
      return blockParamTypes(body, n, module)
    case OP.else:
      return blockParamTypes(body, body.openerOf[n], module)
    case OP.catch:
      return module.tags[body.immediate[n]].params
    case OP.catchAll:
      return []
    case OP.end:
    case OP.delegate:
      return blockResultTypes(body, body.openerOf[n], module)
    default:
      return undefined
  }
}

export function blockParamTypes(body: Body, opener: number, module: WasmModule): readonly ValueType[] {
  const type = body.immediate[opener]
  return type < 0 ? [] : module.types[type].params
}

/** Of the construct that an instruction opens. */
export function blockResultTypes(body: Body, opener: number, module: WasmModule): readonly ValueType[] {
  const type = body.immediate[opener]
  if (type >= 0) return module.types[type].results
  const single = valueType(body.bytes[body.at[opener] + 1])
  return single === undefined ? [] : SINGLE[TYPE[single]]
}

const SINGLE = TYPE_NAMES.map((type) => [type])

/** The type of an operand whose NaN bits nobody knows. */
function freed(type: number): number {
  return type === TYPE.f32 || type === TYPE.f64 ? type | FREE : type
}

/** A growing array of integers that is reused from function to function. */
class IntList {
  values = new Int32Array(64)
  length = 0

  ensure(length: number): void {
    if (length <= this.values.length) return
    const larger = new Int32Array(2 * length)
    larger.set(this.values)
    this.values = larger
  }

  set(index: number, value: number): void {
    if (index >= this.values.length) this.ensure(index + 1)
    this.values[index] = value
  }

  push(value: number): void {
    this.set(this.length++, value)
  }
}
