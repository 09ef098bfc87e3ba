/**
 * Writes one function of the rewritten module: copies byte ranges and inserts fuel, depth and canonical NaNs.
 *
 * Sites and costs are those of spec/wasm-machine.md §5 and §6; whether the counter is kept in a local is this
 * writer's choice and must not show in any position.
 */

import type { CallGraph } from '../analysis/call-graph.ts'
import { countedLoop } from '../analysis/counted-loop.ts'
import { Operands } from '../analysis/operands.ts'
import type { Body } from '../module/body.ts'
import type { FunctionType, WasmModule } from '../module/module.ts'
import { FLOAT, floatRules, OP, SINK, sinks, VALUE_TYPES } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'
import { BranchHints } from './hints.ts'
import { movedFunction, type Layout } from './layout.ts'
import { writeCanonicalScalar, writeCanonicalVector, writeTrips } from './snippets.ts'

/** No site costs more: an interpreter's big loop runs through little of its body each time. */
export const SITE_COST_MAX = 128
/** Slots of every activation on a call-graph cycle, besides its operands, locals and parameters. */
export const ACTIVATION_SLOTS = 16

/** How functions with loops hold the fuel counter. `measured` is what ships; the others exist for tests. */
export type CounterPlace = 'measured' | 'global' | 'local'

export interface FunctionOptions {
  readonly floats: 'canonical' | 'host'
  readonly fuel: boolean
  readonly counter: CounterPlace
}

export interface Statistics {
  functions: number
  cyclicFunctions: number
  loops: number
  countedLoops: number
  cachedFunctions: number
  canonicalised: number
}

const NO_STATISTICS: Readonly<Statistics> = {
  functions: 0,
  cyclicFunctions: 0,
  loops: 0,
  countedLoops: 0,
  cachedFunctions: 0,
  canonicalised: 0,
}
const EMPTY_BLOCK_TYPE = 0x40
const NONE = -1

export class FunctionWriter {
  readonly statistics: Statistics = { ...NO_STATISTICS }
  readonly #sink: ByteSink
  readonly #module: WasmModule
  readonly #layout: Layout
  readonly #graph: CallGraph
  readonly #options: FunctionOptions
  readonly #resultTypes: (type: FunctionType) => number
  readonly #body: Body
  readonly #operands = new Operands()
  /** Of all functions written so far. */
  readonly hints = new BranchHints()

  // State of the function that is being written.
  /** The guest's bytes are copied up to here. */
  #copied = 0
  #cyclic = false
  /** All exits lead through a block of our own. */
  #wrapped = false
  #canonical = false
  /** Local that holds the counter; NONE: the global does. */
  #counter = NONE
  #nesting = 0
  /** Types of the locals that were added, in order. */
  readonly #added: number[] = []
  readonly #scratch = new Map<number, number>()
  #slotsLocal = NONE

  constructor(parts: {
    readonly sink: ByteSink
    readonly module: WasmModule
    readonly layout: Layout
    readonly graph: CallGraph
    readonly options: FunctionOptions
    readonly body: Body
    /** Index of the type () → results, for functions with several results. */
    readonly resultTypes: (type: FunctionType) => number
  }) {
    this.#sink = parts.sink
    this.#module = parts.module
    this.#layout = parts.layout
    this.#graph = parts.graph
    this.#options = parts.options
    this.#body = parts.body
    this.#resultTypes = parts.resultTypes
  }

  /** Appends size, locals and code of a defined function. */
  write(functionIndex: number): void {
    const body = this.#body
    const module = this.#module
    body.decode(module, functionIndex)
    this.statistics.functions++
    const fuel = this.#options.fuel
    this.#cyclic = fuel && this.#graph.cyclic[functionIndex] === 1
    this.#canonical = this.#options.floats === 'canonical' && this.#hasFloats()
    if (this.#cyclic || this.#canonical) this.#operands.follow(body, module, functionIndex, this.#canonical)
    this.#added.length = 0
    this.#scratch.clear()
    const cached = fuel && body.loops > 0 && this.#keepsCounter()
    this.#counter = cached ? this.#addLocal(VALUE_TYPES.i32) : NONE
    this.#reserveScratch()

    const size = this.#sink.openSize()
    this.hints.open(movedFunction(module, this.#layout, functionIndex), size)
    this.#writeLocals()
    this.#copied = body.at[0]
    this.#wrapped = this.#cyclic || cached
    if (cached) this.statistics.cachedFunctions++
    if (this.#cyclic) this.statistics.cyclicFunctions++
    if (this.#cyclic) this.#writeEntry()
    else if (cached) this.#load()
    // Every exit leaves through this block, so that what follows it runs once and for all of them.
    if (this.#wrapped) this.#sink.u8(OP.block).signed(this.#resultBlockType(functionIndex))
    this.#nesting = 0
    this.#writeRange(0, body.count - 1)
    this.#flush(body.at[body.count - 1])
    if (this.#wrapped) {
      this.#sink.u8(OP.end)
      if (this.#cyclic) this.#addToGlobal(this.#layout.slotsGlobal, this.#slots())
      if (cached) this.#store()
    }
    this.#sink.u8(OP.end)
    this.#sink.closeSize(size)
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

  /**
   * A local counter costs two accesses of the global per call that may poll, and saves them in every iteration of
   * the other loops.
   */
  #keepsCounter(): boolean {
    if (this.#options.counter !== 'measured') return this.#options.counter === 'local'
    const body = this.#body
    const polls = new Uint8Array(body.loops)
    for (let n = 0; n < body.count; n++) {
      if (!this.#mayPoll(n)) continue
      for (let loop = body.loopOf[n]; loop >= 0 && polls[loop] === 0; loop = body.loopParent[loop]) polls[loop] = 1
    }
    return polls.includes(0)
  }

  #mayPoll(n: number): boolean {
    const op = this.#body.opcode[n]
    if (op === OP.call) return this.#graph.reaches[this.#body.immediate[n]] === 1
    return op === OP.callIndirect && this.#graph.typeReaches[this.#body.immediate[n]] === 1
  }

  #slots(): number {
    return ACTIVATION_SLOTS + this.#body.locals + this.#operands.maxHeight
  }

  #addLocal(type: number): number {
    this.#added.push(type)
    return this.#body.locals + this.#added.length - 1
  }

  /** Locals must be declared before the code that uses them is written. */
  #reserveScratch(): void {
    const need = new Set<number>()
    const body = this.#body
    if (this.#cyclic || (this.#options.fuel && body.loops > 0)) need.add(VALUE_TYPES.i32)
    if (this.#canonical) {
      for (let n = 0; n < body.count; n++) {
        const sink = this.#sinkAt(n)
        if (sink === SINK.f32) need.add(VALUE_TYPES.f32)
        if (sink === SINK.f64) need.add(VALUE_TYPES.f64)
        if (floatRules[body.opcode[n]] >= FLOAT.vector32) need.add(VALUE_TYPES.v128)
      }
    }
    for (const type of need) this.#scratch.set(type, this.#addLocal(type))
    if (this.#cyclic) this.#slotsLocal = this.#addLocal(VALUE_TYPES.i32)
  }

  #sinkAt(n: number): number {
    if (this.#operands.needsCanonical[n] !== 1) return SINK.none
    const op = this.#body.opcode[n]
    return op === OP.globalSet ? this.#globalSink(this.#body.immediate[n]) : sinks[op]
  }

  #scratchLocal(type: number): number {
    const local = this.#scratch.get(type)
    if (local === undefined) throw new Error('broken invariant: a scratch local was reserved')
    return local
  }

  #writeLocals(): void {
    const { bytes, localGroups, groupsStart, groupsEnd } = this.#body
    this.#sink.unsigned(localGroups + this.#added.length).copy(bytes, groupsStart, groupsEnd)
    for (const type of this.#added) this.#sink.u8(1).u8(type)
  }

  #resultBlockType(functionIndex: number): number {
    const type = this.#module.types[this.#module.functions[functionIndex]]
    if (type.results.length === 0) return EMPTY_BLOCK_TYPE - 0x80
    if (type.results.length === 1) return VALUE_TYPES[type.results[0]] - 0x80
    return this.#resultTypes(type)
  }

  #flush(until: number): void {
    this.#sink.copy(this.#body.bytes, this.#copied, until)
    this.#copied = until
  }

  /** Copies the instructions from `first` up to `last`, with what has to stand between them. */
  #writeRange(first: number, last: number): void {
    const { opcode, at } = this.#body
    for (let n = first; n < last; n++) {
      const op = opcode[n]
      if (this.#canonical) {
        if (this.#sinkAt(n) !== SINK.none) this.#writeCanonical(n)
        else if (floatRules[op] >= FLOAT.vector32) {
          this.#flush(at[n + 1])
          this.#writeCanonicalVector(floatRules[op])
        }
      }
      switch (op) {
        case OP.block:
        case OP.if:
          this.#nesting++
          break
        case OP.end:
          this.#nesting--
          break
        case OP.loop:
          this.#nesting++
          n = this.#writeLoop(n)
          break
        case OP.call:
        case OP.callIndirect:
          this.#writeCall(n)
          break
        case OP.memoryGrow:
          this.#flush(at[n])
          this.#sink.u8(OP.call).unsigned(this.#layout.grow)
          this.#copied = at[n + 1]
          break
        case OP.return:
          if (!this.#wrapped) break
          this.#flush(at[n])
          this.#sink.u8(OP.br).unsigned(this.#nesting)
          this.#copied = at[n + 1]
          break
      }
    }
  }

  #writeCall(n: number): void {
    const { opcode, at, immediate } = this.#body
    const saves = this.#counter !== NONE && this.#mayPoll(n)
    const direct = opcode[n] === OP.call
    if (!saves && !direct) return
    this.#flush(at[n])
    if (saves) this.#store()
    if (direct) {
      this.#sink.u8(OP.call).unsigned(movedFunction(this.#module, this.#layout, immediate[n]))
      this.#copied = at[n + 1]
    }
    this.#flush(at[n + 1])
    if (saves) this.#load()
  }

  /** Returns the last instruction that was dealt with. */
  #writeLoop(n: number): number {
    if (!this.#options.fuel) return n
    const { at, mate, loopOf, loopWeight } = this.#body
    const loop = loopOf[n]
    const cost = Math.min(SITE_COST_MAX, loopWeight[loop])
    const counted = countedLoop(this.#body, loop)
    this.statistics.loops++
    if (counted === undefined) {
      this.#flush(at[n + 1])
      this.#writePoll(() => this.#sink.u8(OP.i32Const).signed(cost))
      return n
    }
    this.statistics.countedLoops++
    const end = mate[n]
    const { bytes } = this.#body
    const trips = this.#scratchLocal(VALUE_TYPES.i32)
    this.#flush(at[n])
    writeTrips(this.#sink, counted, trips)
    this.hints.add(this.#sink.length, 'often')
    this.#sink.u8(OP.if).copy(bytes, at[n] + 1, at[n + 1])
    this.#writePoll(() => this.#writeTripCost(trips, cost))
    this.#writeRange(n + 1, end)
    this.#flush(at[end + 1])
    this.#sink.u8(OP.else)
    this.#copied = at[n]
    this.#flush(at[n + 1])
    this.#writePoll(() => this.#sink.u8(OP.i32Const).signed(cost))
    this.#writeRange(n + 1, end)
    this.#flush(at[end + 1])
    this.#sink.u8(OP.end)
    this.#nesting--
    return end
  }

  #writeTripCost(trips: number, cost: number): void {
    this.#sink.u8(OP.localGet).unsigned(trips)
    if (cost !== 1) this.#sink.u8(OP.i32Const).signed(cost).u8(OP.i32Mul)
  }

  /** Charges what `pushCost` leaves and polls when the slice is used up. */
  #writePoll(pushCost: () => void): void {
    const sink = this.#sink
    const cached = this.#counter !== NONE
    const local = cached ? this.#counter : this.#scratchLocal(VALUE_TYPES.i32)
    if (cached) sink.u8(OP.localGet).unsigned(local)
    else sink.u8(OP.globalGet).unsigned(this.#layout.fuelGlobal)
    pushCost()
    sink.u8(OP.i32Sub).u8(OP.localTee).unsigned(local)
    if (!cached) sink.u8(OP.globalSet).unsigned(this.#layout.fuelGlobal).u8(OP.localGet).unsigned(local)
    this.#writeIfNegative()
    if (cached) {
      sink.u8(OP.localGet).unsigned(local).u8(OP.call).unsigned(this.#layout.refill).u8(OP.localSet).unsigned(local)
    } else {
      sink.u8(OP.call).unsigned(this.#layout.poll)
    }
    sink.u8(OP.end)
  }

  /** Charges the entry and takes the slots of this activation; one check serves both. */
  #writeEntry(): void {
    const sink = this.#sink
    const cached = this.#counter !== NONE
    const fuel = cached ? this.#counter : this.#scratchLocal(VALUE_TYPES.i32)
    const cost = Math.min(SITE_COST_MAX, this.#body.entryWeight)
    sink.u8(OP.globalGet).unsigned(this.#layout.fuelGlobal).u8(OP.i32Const).signed(cost).u8(OP.i32Sub)
    sink.u8(OP.localTee).unsigned(fuel).u8(OP.globalSet).unsigned(this.#layout.fuelGlobal)
    sink.u8(OP.globalGet).unsigned(this.#layout.slotsGlobal).u8(OP.i32Const).signed(this.#slots()).u8(OP.i32Sub)
    sink.u8(OP.localTee).unsigned(this.#slotsLocal).u8(OP.globalSet).unsigned(this.#layout.slotsGlobal)
    sink.u8(OP.localGet).unsigned(fuel).u8(OP.localGet).unsigned(this.#slotsLocal).u8(OP.i32Or)
    this.#writeIfNegative()
    sink.u8(OP.call).unsigned(this.#layout.enter)
    if (cached) this.#load()
    sink.u8(OP.end)
  }

  #writeIfNegative(): void {
    this.#sink.u8(OP.i32Const).signed(0).u8(OP.i32LtS)
    this.hints.add(this.#sink.length, 'rarely')
    this.#sink.u8(OP.if).u8(EMPTY_BLOCK_TYPE)
  }

  /** Local counter to global. */
  #store(): void {
    this.#sink.u8(OP.localGet).unsigned(this.#counter).u8(OP.globalSet).unsigned(this.#layout.fuelGlobal)
  }

  /** Global to local counter. */
  #load(): void {
    this.#sink.u8(OP.globalGet).unsigned(this.#layout.fuelGlobal).u8(OP.localSet).unsigned(this.#counter)
  }

  #addToGlobal(global: number, value: number): void {
    this.#sink.u8(OP.globalGet).unsigned(global).u8(OP.i32Const).signed(value).u8(OP.i32Add)
    this.#sink.u8(OP.globalSet).unsigned(global)
  }

  /** Before a sink: the topmost operand, a float, with every NaN made the canonical one. */
  #writeCanonical(n: number): void {
    this.statistics.canonicalised++
    const isF32 = this.#sinkAt(n) === SINK.f32
    const local = this.#scratchLocal(isF32 ? VALUE_TYPES.f32 : VALUE_TYPES.f64)
    this.#flush(this.#body.at[n])
    writeCanonicalScalar(this.#sink, this.hints, isF32, local)
  }

  #writeCanonicalVector(rule: number): void {
    this.statistics.canonicalised++
    writeCanonicalVector(this.#sink, rule === FLOAT.vector32, this.#scratchLocal(VALUE_TYPES.v128))
  }
}
