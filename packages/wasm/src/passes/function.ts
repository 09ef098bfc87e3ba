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
import type { WasmModule } from '../module/module.ts'
import { FLOAT, floatRules, OP, SINK, VALUE_TYPES, type ValueType } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'
import { Capture } from './capture.ts'
import { FloatCode } from './floats.ts'
import { EMPTY_BLOCK_TYPE, FuelCode, keepsCounter } from './fuel.ts'
import { BranchHints } from './hints.ts'
import { movedFunction, type Layout } from './layout.ts'
import type { FunctionOptions, FunctionParts, SegmentFunction, Statistics, TypeIndex } from './parts.ts'
import type { Path } from './path.ts'
import { writeTrips } from './snippets.ts'

/** No site costs more: an interpreter's big loop runs through little of its body each time. */
export const SITE_COST_MAX = 128
/** Slots of every activation on a call-graph cycle, besides its operands, locals and parameters. */
export const ACTIVATION_SLOTS = 16

const NONE = -1

export class FunctionWriter {
  readonly statistics: Statistics = {
    functions: 0,
    cyclicFunctions: 0,
    loops: 0,
    countedLoops: 0,
    cachedFunctions: 0,
  }
  protected readonly sink: ByteSink
  protected readonly module: WasmModule
  readonly #layout: Layout
  readonly #graph: CallGraph
  readonly #options: FunctionOptions
  protected readonly typeIndex: TypeIndex
  protected readonly body: Body
  readonly #segmentFunction: SegmentFunction
  readonly #target: (functionIndex: number) => number
  readonly #operands = new Operands()
  protected readonly capture: Capture | undefined
  protected readonly fuel: FuelCode
  readonly #floats: FloatCode
  /** Of all functions written so far. */
  readonly hints = new BranchHints()

  // State of the function that is being written.
  /** The guest's bytes are copied up to here. */
  protected copied = 0
  protected cyclic = false
  /** All exits lead through a block of our own. */
  #wrapped = false
  /** Whether the function has sites that can be captured. */
  protected hasSites = false
  protected nesting = 0
  /** The way to the site that a continuation begins at. */
  protected path: Path | undefined
  /** The loop whose iterations the continuation does not count again. */
  protected uncounted = NONE
  /** Types of the locals that were added, in order. */
  readonly #added: number[] = []
  readonly #scratch = new Map<number, number>()
  #slotsLocal = NONE

  constructor(parts: FunctionParts) {
    this.sink = parts.sink
    this.module = parts.module
    this.#layout = parts.layout
    this.#graph = parts.graph
    this.#options = parts.options
    this.body = parts.body
    this.typeIndex = parts.typeIndex
    this.#segmentFunction = parts.segmentFunction
    this.#target = parts.target ?? ((index) => movedFunction(parts.module, parts.layout, index))
    this.fuel = new FuelCode(parts.sink, parts.layout, this.hints)
    const { sink, module, body } = parts
    this.#floats = new FloatCode({ sink, module, body, operands: this.#operands, hints: this.hints })
    if (parts.options.fuel && parts.layout.frame !== undefined) this.capture = new Capture(parts)
  }

  /** Appends size, locals and code of a defined function. */
  write(functionIndex: number): void {
    const body = this.body
    this.prepare(functionIndex)
    this.statistics.functions++
    if (this.fuel.cached) this.statistics.cachedFunctions++
    if (this.cyclic) this.statistics.cyclicFunctions++
    const size = this.sink.openSize()
    this.hints.open(this.#target(functionIndex), size)
    this.writeLocals([])
    this.copied = body.at[0]
    if (this.cyclic) this.#writeEntry()
    else if (this.fuel.cached) this.fuel.load()
    this.writeWrapped(functionIndex, () => this.writeRest(0, body.count - 1))
    this.sink.closeSize(size)
  }

  /** Places where NaNs are made canonical. */
  get canonicalised(): number {
    return this.#floats.count
  }

  /** Globals that the handlers leave values in. */
  get stageSize(): number {
    return this.capture?.stageSize ?? 0
  }

  /** Decodes and analyses a function, and reserves the locals that its code needs. */
  protected prepare(functionIndex: number): void {
    const body = this.body
    const { fuel, floats } = this.#options
    body.decode(this.module, functionIndex)
    this.cyclic = fuel && this.#graph.cyclic[functionIndex] === 1
    this.#floats.open(floats === 'canonical')
    this.hasSites = this.capture?.number(functionIndex) === true
    if (this.cyclic || this.#floats.needed || this.hasSites) {
      this.#operands.follow(body, this.module, functionIndex, floats === 'canonical')
    }
    this.#added.length = 0
    this.#scratch.clear()
    const cached = fuel && body.loops > 0 && keepsCounter(body, this.#options.counter, (n) => this.#mayPoll(n))
    this.fuel.open(cached ? this.#addLocal(VALUE_TYPES.i32) : undefined)
    this.#reserveScratch()
    if (this.hasSites) this.capture?.analyse(this.#operands, (type) => this.#addLocal(type))
    this.#wrapped = this.cyclic || cached
    this.nesting = 0
    this.path = undefined
    this.uncounted = NONE
  }

  /** Every exit leaves through a block, so that what follows it runs once and for all of them. */
  protected writeWrapped(functionIndex: number, write: () => void): void {
    const { results } = this.module.types[this.module.functions[functionIndex]]
    if (this.#wrapped) this.sink.u8(OP.block).signed(this.blockType(results))
    write()
    if (this.#wrapped) {
      this.sink.u8(OP.end)
      if (this.cyclic) this.fuel.giveBack(this.slots())
      if (this.fuel.cached) this.fuel.store()
    }
    this.sink.u8(OP.end)
  }

  /** From an instruction to the end of its part of a construct, which is not written. */
  protected writeRest(first: number, close: number): void {
    this.copied = this.body.at[first]
    this.writeRange(first, close)
    this.flush(this.body.at[close])
  }

  #siteAt(n: number): number | undefined {
    return this.hasSites ? this.capture?.siteAt(n) : undefined
  }

  #turnAt(n: number): number | undefined {
    return this.hasSites ? this.capture?.turnAt(n) : undefined
  }

  protected guarded(site: number | undefined, blockType: number, write: () => void): void {
    if (site === undefined || this.capture === undefined) return write()
    this.capture.writeTry(this.sink, blockType)
    write()
    this.capture.writeHandler(this.sink, site)
  }

  #mayPoll(n: number): boolean {
    const op = this.body.opcode[n]
    if (op === OP.call) return this.#graph.reaches[this.body.immediate[n]] === 1
    return op === OP.callIndirect && this.#graph.typeReaches[this.body.immediate[n]] === 1
  }

  protected slots(): number {
    return ACTIVATION_SLOTS + this.body.locals + this.#operands.maxHeight
  }

  #addLocal(type: number): number {
    this.#added.push(type)
    return this.body.locals + this.#added.length - 1
  }

  /** Locals must be declared before the code that uses them is written. */
  #reserveScratch(): void {
    const need = new Set<number>()
    const body = this.body
    if (this.cyclic || this.hasSites || (this.#options.fuel && body.loops > 0)) need.add(VALUE_TYPES.i32)
    if (this.#floats.needed) this.#floats.addScratchTypes(need)
    for (const type of need) this.#scratch.set(type, this.#addLocal(type))
    if (this.cyclic) this.#slotsLocal = this.#addLocal(VALUE_TYPES.i32)
  }

  #scratchLocal(type: number): number {
    const local = this.#scratch.get(type)
    if (local === undefined) throw new Error('broken invariant: a scratch local was reserved')
    return local
  }

  /** @param first - Types of locals that stand before the guest's own. */
  protected writeLocals(first: readonly ValueType[]): void {
    const { bytes, localGroups, groupsStart, groupsEnd } = this.body
    this.sink.unsigned(first.length + localGroups + this.#added.length)
    for (const type of first) this.sink.u8(1).u8(VALUE_TYPES[type])
    this.sink.copy(bytes, groupsStart, groupsEnd)
    for (const type of this.#added) this.sink.u8(1).u8(type)
  }

  /** Of a block without parameters. */
  protected blockType(results: readonly ValueType[]): number {
    if (results.length === 0) return EMPTY_BLOCK_TYPE - 0x80
    return results.length === 1 ? VALUE_TYPES[results[0]] - 0x80 : this.typeIndex([], results)
  }

  protected flush(until: number): void {
    this.sink.copy(this.body.bytes, this.copied, until)
    this.copied = until
  }

  /** Copies the instructions from `first` up to `last`, with what has to stand between them. */
  protected writeRange(first: number, last: number): void {
    const { opcode, at } = this.body
    for (let n = first; n < last; n++) {
      const op = opcode[n]
      if (this.#floats.needed) this.#writeFloats(n)
      switch (op) {
        case OP.block:
        case OP.if:
          this.nesting++
          break
        case OP.end:
          this.nesting--
          break
        case OP.loop:
          this.nesting++
          n = this.#writeLoop(n)
          break
        case OP.call:
        case OP.callIndirect:
          this.#writeCall(n)
          break
        case OP.memoryGrow:
          this.flush(at[n])
          this.sink.u8(OP.call).unsigned(this.#layout.grow)
          this.copied = at[n + 1]
          break
        case OP.memoryInit:
        case OP.dataDrop:
          this.#writeSegment(n)
          break
        case OP.return:
          if (!this.#wrapped) break
          this.flush(at[n])
          this.sink.u8(OP.br).unsigned(this.nesting + (this.path?.shift(0) ?? 0))
          this.copied = at[n + 1]
          break
        case OP.br:
        case OP.brIf:
        case OP.brTable:
          if (this.path === undefined) break
          this.flush(at[n])
          this.path.writeBranch(this.sink, n, this.nesting)
          this.copied = at[n + 1]
          break
      }
      if (this.hasSites && op !== OP.loop) this.#writeCopies(n)
    }
  }

  #writeFloats(n: number): void {
    const { opcode, at } = this.body
    const scratch = (type: number): number => this.#scratchLocal(type)
    if (this.#floats.sinkAt(n) !== SINK.none) {
      this.flush(at[n])
      this.#floats.writeScalar(n, scratch)
    } else if (floatRules[opcode[n]] >= FLOAT.vector32) {
      this.flush(at[n + 1])
      this.#floats.writeVector(floatRules[opcode[n]], scratch)
    }
  }

  #writeSegment(n: number): void {
    const { opcode, immediate, at } = this.body
    const callee = this.#segmentFunction(opcode[n], immediate[n])
    if (callee === undefined) return
    this.flush(at[n])
    this.sink.u8(OP.call).unsigned(callee)
    this.copied = at[n + 1]
  }

  #writeCopies(n: number): void {
    if (this.capture?.hasCopies(n) !== true) return
    this.flush(this.body.at[n + 1])
    this.capture.writeCopies(this.sink, n)
  }

  #writeCall(n: number): void {
    const { opcode, at, immediate } = this.body
    const saves = this.fuel.cached && this.#mayPoll(n)
    const site = this.#siteAt(n)
    const direct = opcode[n] === OP.call
    if (!saves && !direct && site === undefined) return
    this.flush(at[n])
    if (saves) this.fuel.store()
    const entry = direct || site === undefined ? undefined : this.#scratchLocal(VALUE_TYPES.i32)
    if (entry !== undefined) this.sink.u8(OP.localSet).unsigned(entry)
    this.guarded(site, direct ? this.module.functions[immediate[n]] : immediate[n], () => {
      if (entry !== undefined) this.sink.u8(OP.localGet).unsigned(entry)
      if (direct) {
        this.sink.u8(OP.call).unsigned(this.#target(immediate[n]))
        this.copied = at[n + 1]
      }
      this.flush(at[n + 1])
    })
    if (saves) this.fuel.load()
  }

  /** Returns the last instruction that was dealt with. */
  #writeLoop(n: number): number {
    if (!this.#options.fuel) return n
    const { at, mate, loopOf, loopWeight } = this.body
    const loop = loopOf[n]
    const cost = Math.min(SITE_COST_MAX, loopWeight[loop])
    const counted = n === this.uncounted ? undefined : countedLoop(this.body, loop)
    this.statistics.loops++
    if (counted === undefined) {
      this.flush(at[n + 1])
      this.#writeCopies(n)
      this.#writePoll(this.#turnAt(n), () => this.sink.u8(OP.i32Const).signed(cost))
      return n
    }
    this.statistics.countedLoops++
    const end = mate[n]
    const { bytes } = this.body
    const trips = this.#scratchLocal(VALUE_TYPES.i32)
    this.flush(at[n])
    writeTrips(this.sink, counted, trips)
    this.hints.add(this.sink.length, 'often')
    this.sink.u8(OP.if).copy(bytes, at[n] + 1, at[n + 1])
    this.#writePoll(this.#siteAt(n), () => this.#writeTripCost(trips, cost))
    this.writeRange(n + 1, end)
    this.flush(at[end + 1])
    this.sink.u8(OP.else)
    this.copied = at[n]
    this.flush(at[n + 1])
    this.#writePoll(this.#turnAt(n), () => this.sink.u8(OP.i32Const).signed(cost))
    this.writeRange(n + 1, end)
    this.flush(at[end + 1])
    this.sink.u8(OP.end)
    this.nesting--
    this.#writeCopies(end)
    return end
  }

  /** Charges what `pushCost` leaves; a poll, which is the site. */
  #writePoll(site: number | undefined, pushCost: () => void): void {
    const guard = (write: () => void): void => this.guarded(site, EMPTY_BLOCK_TYPE - 0x80, write)
    this.fuel.writePoll(this.#scratchLocal(VALUE_TYPES.i32), pushCost, guard)
  }

  #writeEntry(): void {
    const scratch = this.#scratchLocal(VALUE_TYPES.i32)
    const cost = Math.min(SITE_COST_MAX, this.body.entryWeight)
    const slots = { slotsLocal: this.#slotsLocal, slots: this.slots() }
    // The entry of a function that can call itself is its first site.
    const site = this.hasSites ? 0 : undefined
    const guard = (write: () => void): void => this.guarded(site, EMPTY_BLOCK_TYPE - 0x80, write)
    this.fuel.writeEntry({ scratch, cost, ...slots }, guard)
  }

  #writeTripCost(trips: number, cost: number): void {
    this.sink.u8(OP.localGet).unsigned(trips)
    if (cost !== 1) this.sink.u8(OP.i32Const).signed(cost).u8(OP.i32Mul)
  }
}
