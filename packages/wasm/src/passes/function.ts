/**
 * Writes one function of the rewritten module: copies byte ranges and inserts fuel, depth and canonical NaNs.
 *
 * Sites and costs are those of spec/wasm-machine.md §5 and §6; whether the counter is kept in a local is this
 * writer's choice and must not show in any position.
 */

import type { CallGraph } from '../analysis/call-graph.ts'
import { countedLoop } from '../analysis/counted-loop.ts'
import { Operands } from '../analysis/operands.ts'
import { forEachLabel } from '../analysis/liveness.ts'
import { blockParamTypes, blockResultTypes, SITE } from '../analysis/sites.ts'
import type { Body } from '../module/body.ts'
import type { FunctionType, WasmModule } from '../module/module.ts'
import { FLOAT, floatRules, OP, SINK, sinks, VALUE_TYPES, type ValueType } from '../module/opcodes.ts'
import { TYPE_NAMES } from '../module/result-types.ts'
import type { ByteSink } from '../module/sink.ts'
import { Capture } from './capture.ts'
import { EMPTY_BLOCK_TYPE, FuelCode } from './fuel.ts'
import { BranchHints } from './hints.ts'
import { movedFunction, type Layout } from './layout.ts'
import { Path } from './path.ts'
import { writeCanonicalScalar, writeCanonicalVector, writeNext, writeTrips } from './snippets.ts'

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

/** How the code of a continuation reaches what is not in its module. */
export interface Outside {
  /** Its own function index. */
  readonly self: number
  /** Functions that give the next value of the frames. */
  readonly nextI32: number
  readonly nextI64: number
  /** Table with the continuations; the index of the next one comes as an i32. */
  readonly table: number
}

export interface ExpectedValue {
  readonly type: ValueType
  readonly free: boolean
}

/** What a continuation expects. */
export interface SiteFacts {
  /** Of its frame. Of free ones every NaN counts as the canonical one. */
  readonly values: readonly ExpectedValue[]
  /** The call that was left, as an instruction of the body; `undefined` at a poll. */
  readonly callAt: number | undefined
  /** Stack slots of the activation. */
  readonly slots: number
}

export type TypeIndex = (params: readonly ValueType[], results: readonly ValueType[]) => number

export type SegmentFunction = (opcode: number, segment: number) => number | undefined

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
const NONE = -1

export class FunctionWriter {
  readonly statistics: Statistics = { ...NO_STATISTICS }
  readonly #sink: ByteSink
  readonly #module: WasmModule
  readonly #layout: Layout
  readonly #graph: CallGraph
  readonly #options: FunctionOptions
  readonly #typeIndex: TypeIndex
  readonly #body: Body
  readonly #segmentFunction: SegmentFunction
  readonly #target: (functionIndex: number) => number
  readonly #operands = new Operands()
  readonly #capture: Capture | undefined
  readonly #fuel: FuelCode
  /** Of all functions written so far. */
  readonly hints = new BranchHints()

  // State of the function that is being written.
  /** The guest's bytes are copied up to here. */
  #copied = 0
  #cyclic = false
  /** All exits lead through a block of our own. */
  #wrapped = false
  #canonical = false
  /** Whether the function has sites that can be captured. */
  #hasSites = false
  #nesting = 0
  /** The way to the site that a continuation begins at. */
  #path: Path | undefined
  /** The loop whose iterations the continuation does not count again. */
  #uncounted = NONE
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
    readonly typeIndex: TypeIndex
    /** In a continuation's module: index of a function of the guest. */
    readonly target?: (functionIndex: number) => number
    /** The function that stands for memory.init or data.drop of a data segment; `undefined`: nothing does. */
    readonly segmentFunction: SegmentFunction
  }) {
    this.#sink = parts.sink
    this.#module = parts.module
    this.#layout = parts.layout
    this.#graph = parts.graph
    this.#options = parts.options
    this.#body = parts.body
    this.#typeIndex = parts.typeIndex
    this.#segmentFunction = parts.segmentFunction
    this.#target = parts.target ?? ((index) => movedFunction(parts.module, parts.layout, index))
    this.#fuel = new FuelCode(parts.sink, parts.layout, this.hints)
    const { floats, fuel } = parts.options
    if (fuel && parts.layout.frame !== undefined) {
      this.#capture = new Capture(parts.module, parts.body, parts.graph, parts.layout, floats)
    }
  }

  /** Appends size, locals and code of a defined function. */
  write(functionIndex: number): void {
    const body = this.#body
    this.#prepare(functionIndex)
    this.statistics.functions++
    if (this.#fuel.cached) this.statistics.cachedFunctions++
    if (this.#cyclic) this.statistics.cyclicFunctions++
    const size = this.#sink.openSize()
    this.hints.open(this.#target(functionIndex), size)
    this.#writeLocals([])
    this.#copied = body.at[0]
    if (this.#cyclic) this.#writeEntry()
    else if (this.#fuel.cached) this.#fuel.load()
    this.#writeWrapped(functionIndex, () => this.#writeRest(0, body.count - 1))
    this.#sink.closeSize(size)
  }

  /**
   * Appends size, locals and code of the function () → results that continues an activation behind a site.
   *
   * @returns What is at the site; `undefined`, and nothing is written, when the function has no such site.
   */
  writeContinuation(functionIndex: number, site: number, outside: Outside): SiteFacts | undefined {
    this.#prepare(functionIndex)
    const capture = this.#capture
    if (capture === undefined || !this.#hasSites || capture.sites.reachable.values[site] !== 1) return undefined
    const { sites } = capture
    const size = this.#sink.openSize()
    this.hints.open(outside.self, size)
    this.#writeLocals(this.#module.types[this.#module.functions[functionIndex]].params)
    for (const value of capture.liveLocals(site)) {
      writeNext(this.#sink, value.type, outside)
      this.#sink.u8(OP.localSet).unsigned(value.local)
    }
    const isCall = sites.kind.values[site] === SITE.call
    if (!isCall && this.#fuel.cached) this.#fuel.load()
    const path = new Path(this.#body, sites, site)
    this.#path = path
    if (sites.kind.values[site] === SITE.turn) this.#uncounted = sites.instruction.values[site]
    this.#writeWrapped(functionIndex, () => this.#writeLevel(path, capture, site, outside))
    this.#sink.closeSize(size)
    return {
      values: capture.values(site).map(({ type, free }) => ({ type: TYPE_NAMES[type], free })),
      callAt: isCall ? sites.instruction.values[site] : undefined,
      slots: this.#cyclic ? this.#slots() : 0,
    }
  }

  /** Globals that the handlers leave values in. */
  get stageSize(): number {
    return this.#capture?.stageSize ?? 0
  }

  /** Decodes and analyses a function, and reserves the locals that its code needs. */
  #prepare(functionIndex: number): void {
    const body = this.#body
    const { fuel, floats } = this.#options
    body.decode(this.#module, functionIndex)
    this.#cyclic = fuel && this.#graph.cyclic[functionIndex] === 1
    this.#canonical = floats === 'canonical' && this.#hasFloats()
    this.#hasSites = this.#capture?.number(functionIndex) === true
    if (this.#cyclic || this.#canonical || this.#hasSites) {
      this.#operands.follow(body, this.#module, functionIndex, floats === 'canonical')
    }
    this.#added.length = 0
    this.#scratch.clear()
    const cached = fuel && body.loops > 0 && this.#keepsCounter()
    this.#fuel.open(cached ? this.#addLocal(VALUE_TYPES.i32) : undefined)
    this.#reserveScratch()
    if (this.#hasSites) this.#capture?.analyse(this.#operands, (type) => this.#addLocal(type))
    this.#wrapped = this.#cyclic || cached
    this.#nesting = 0
    this.#path = undefined
    this.#uncounted = NONE
  }

  /** Every exit leaves through a block, so that what follows it runs once and for all of them. */
  #writeWrapped(functionIndex: number, write: () => void): void {
    const { results } = this.#module.types[this.#module.functions[functionIndex]]
    if (this.#wrapped) this.#sink.u8(OP.block).signed(this.#blockType(results))
    write()
    if (this.#wrapped) {
      this.#sink.u8(OP.end)
      if (this.#cyclic) this.#fuel.giveBack(this.#slots())
      if (this.#fuel.cached) this.#fuel.store()
    }
    this.#sink.u8(OP.end)
  }

  /** From an instruction to the end of its part of a construct, which is not written. */
  #writeRest(first: number, close: number): void {
    this.#copied = this.#body.at[first]
    this.#writeRange(first, close)
    this.#flush(this.#body.at[close])
  }

  /** What is left of the construct at the path's depth: first of the constructs in it, then behind them. */
  #writeLevel(path: Path, capture: Capture, site: number, outside: Outside): void {
    const body = this.#body
    const sink = this.#sink
    const depth = path.depth
    const base = (level: number): number => capture.sites.baseOf.values[path.levels[level].opener]
    const operands = capture.operands(site)
    const top = depth < path.levels.length ? base(depth) : operands.length
    for (const { type, local } of operands.slice(depth === 0 ? 0 : base(depth - 1), top)) {
      writeNext(sink, type, outside)
      sink.u8(OP.localTee).unsigned(local)
    }
    const close = depth === 0 ? body.count - 1 : path.levels[depth - 1].close
    if (depth === path.levels.length) return this.#writeRest(this.#writeResumption(capture, site, outside), close)

    const { opener, isLoop, end } = path.levels[depth]
    sink.u8(OP.block).signed(this.#blockType(blockResultTypes(body, opener, this.#module)))
    if (isLoop) sink.u8(OP.block).signed(this.#blockType(blockParamTypes(body, opener, this.#module)))
    this.#nesting++
    path.depth++
    this.#writeLevel(path, capture, site, outside)
    this.#nesting--
    if (isLoop) {
      sink.u8(OP.br).unsigned(1).u8(OP.end)
      this.#writeRest(opener, end + 1)
    }
    sink.u8(OP.end)
    path.depth--
    if (capture.hasCopies(end)) capture.writeCopies(sink, end)
    this.#writeRest(end + 1, close)
  }

  /** Stands for the poll or the call that was left; returns the instruction that follows. */
  #writeResumption(capture: Capture, site: number, outside: Outside): number {
    const { sites } = capture
    const n = sites.instruction.values[site]
    const kind = sites.kind.values[site]
    if (kind === SITE.entry) return 0
    if (kind === SITE.turn) return n + 1
    if (kind === SITE.bulk) {
      const end = this.#body.mate[n]
      this.#copied = this.#body.at[n]
      this.#nesting++
      this.#writeRange(n + 1, end)
      this.#nesting--
      this.#flush(this.#body.at[end + 1])
      if (capture.hasCopies(end)) capture.writeCopies(this.#sink, end)
      return end + 1
    }
    const { results } = this.#calleeType(n)
    this.#guarded(site, this.#blockType(results), () => {
      this.#sink.u8(OP.call).unsigned(outside.nextI32)
      this.#sink.u8(OP.callIndirect).unsigned(this.#typeIndex([], results)).unsigned(outside.table)
    })
    if (this.#fuel.cached) this.#fuel.load()
    if (capture.hasCopies(n)) capture.writeCopies(this.#sink, n)
    return n + 1
  }

  #calleeType(n: number): FunctionType {
    const { opcode, immediate } = this.#body
    return this.#module.types[opcode[n] === OP.call ? this.#module.functions[immediate[n]] : immediate[n]]
  }

  #siteAt(n: number): number | undefined {
    return this.#hasSites ? this.#capture?.siteAt(n) : undefined
  }

  #turnAt(n: number): number | undefined {
    return this.#hasSites ? this.#capture?.turnAt(n) : undefined
  }

  #guarded(site: number | undefined, blockType: number, write: () => void): void {
    if (site === undefined || this.#capture === undefined) return write()
    this.#capture.writeTry(this.#sink, blockType)
    write()
    this.#capture.writeHandler(this.#sink, site)
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
    if (this.#cyclic || this.#hasSites || (this.#options.fuel && body.loops > 0)) need.add(VALUE_TYPES.i32)
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

  /** @param first - Types of locals that stand before the guest's own. */
  #writeLocals(first: readonly ValueType[]): void {
    const { bytes, localGroups, groupsStart, groupsEnd } = this.#body
    this.#sink.unsigned(first.length + localGroups + this.#added.length)
    for (const type of first) this.#sink.u8(1).u8(VALUE_TYPES[type])
    this.#sink.copy(bytes, groupsStart, groupsEnd)
    for (const type of this.#added) this.#sink.u8(1).u8(type)
  }

  /** Of a block without parameters. */
  #blockType(results: readonly ValueType[]): number {
    if (results.length === 0) return EMPTY_BLOCK_TYPE - 0x80
    return results.length === 1 ? VALUE_TYPES[results[0]] - 0x80 : this.#typeIndex([], results)
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
        case OP.memoryInit:
        case OP.dataDrop:
          this.#writeSegment(n)
          break
        case OP.return:
          if (!this.#wrapped) break
          this.#flush(at[n])
          this.#sink.u8(OP.br).unsigned(this.#nesting + (this.#path?.shift(0) ?? 0))
          this.#copied = at[n + 1]
          break
        case OP.br:
        case OP.brIf:
        case OP.brTable:
          if (this.#path !== undefined) this.#writeBranch(n, this.#path)
          break
      }
      if (this.#hasSites && op !== OP.loop) this.#writeCopies(n)
    }
  }

  #writeSegment(n: number): void {
    const { opcode, immediate, at } = this.#body
    const callee = this.#segmentFunction(opcode[n], immediate[n])
    if (callee === undefined) return
    this.#flush(at[n])
    this.#sink.u8(OP.call).unsigned(callee)
    this.#copied = at[n + 1]
  }

  #writeCopies(n: number): void {
    if (this.#capture?.hasCopies(n) !== true) return
    this.#flush(this.#body.at[n + 1])
    this.#capture.writeCopies(this.#sink, n)
  }

  /** In a continuation, where loops that have begun take one more label. */
  #writeBranch(n: number, path: Path): void {
    const { opcode, at, immediate } = this.#body
    const moved = (label: number): number => label + path.shift(this.#nesting - label)
    this.#flush(at[n])
    this.#sink.u8(opcode[n])
    if (opcode[n] === OP.brTable) {
      this.#sink.unsigned(immediate[n])
      forEachLabel(this.#body, n, (label) => this.#sink.unsigned(moved(label)))
    } else {
      this.#sink.unsigned(moved(immediate[n]))
    }
    this.#copied = at[n + 1]
  }

  #writeCall(n: number): void {
    const { opcode, at, immediate } = this.#body
    const saves = this.#fuel.cached && this.#mayPoll(n)
    const site = this.#siteAt(n)
    const direct = opcode[n] === OP.call
    if (!saves && !direct && site === undefined) return
    this.#flush(at[n])
    if (saves) this.#fuel.store()
    const entry = direct || site === undefined ? undefined : this.#scratchLocal(VALUE_TYPES.i32)
    if (entry !== undefined) this.#sink.u8(OP.localSet).unsigned(entry)
    this.#guarded(site, direct ? this.#module.functions[immediate[n]] : immediate[n], () => {
      if (entry !== undefined) this.#sink.u8(OP.localGet).unsigned(entry)
      if (direct) {
        this.#sink.u8(OP.call).unsigned(this.#target(immediate[n]))
        this.#copied = at[n + 1]
      }
      this.#flush(at[n + 1])
    })
    if (saves) this.#fuel.load()
  }

  /** Returns the last instruction that was dealt with. */
  #writeLoop(n: number): number {
    if (!this.#options.fuel) return n
    const { at, mate, loopOf, loopWeight } = this.#body
    const loop = loopOf[n]
    const cost = Math.min(SITE_COST_MAX, loopWeight[loop])
    const counted = n === this.#uncounted ? undefined : countedLoop(this.#body, loop)
    this.statistics.loops++
    if (counted === undefined) {
      this.#flush(at[n + 1])
      this.#writeCopies(n)
      this.#writePoll(this.#turnAt(n), () => this.#sink.u8(OP.i32Const).signed(cost))
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
    this.#writePoll(this.#siteAt(n), () => this.#writeTripCost(trips, cost))
    this.#writeRange(n + 1, end)
    this.#flush(at[end + 1])
    this.#sink.u8(OP.else)
    this.#copied = at[n]
    this.#flush(at[n + 1])
    this.#writePoll(this.#turnAt(n), () => this.#sink.u8(OP.i32Const).signed(cost))
    this.#writeRange(n + 1, end)
    this.#flush(at[end + 1])
    this.#sink.u8(OP.end)
    this.#nesting--
    this.#writeCopies(end)
    return end
  }

  /** Charges what `pushCost` leaves; a poll, which is the site. */
  #writePoll(site: number | undefined, pushCost: () => void): void {
    const guard = (write: () => void): void => this.#guarded(site, EMPTY_BLOCK_TYPE - 0x80, write)
    this.#fuel.writePoll(this.#scratchLocal(VALUE_TYPES.i32), pushCost, guard)
  }

  #writeEntry(): void {
    const scratch = this.#scratchLocal(VALUE_TYPES.i32)
    const cost = Math.min(SITE_COST_MAX, this.#body.entryWeight)
    const slots = { slotsLocal: this.#slotsLocal, slots: this.#slots() }
    // The entry of a function that can call itself is its first site.
    const site = this.#hasSites ? 0 : undefined
    const guard = (write: () => void): void => this.#guarded(site, EMPTY_BLOCK_TYPE - 0x80, write)
    this.#fuel.writeEntry({ scratch, cost, ...slots }, guard)
  }

  #writeTripCost(trips: number, cost: number): void {
    this.#sink.u8(OP.localGet).unsigned(trips)
    if (cost !== 1) this.#sink.u8(OP.i32Const).signed(cost).u8(OP.i32Mul)
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
