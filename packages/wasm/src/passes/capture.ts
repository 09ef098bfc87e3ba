/**
 * What lets a function be left at a site: a handler around the poll or call that hands the live values to the host when
 * the capture signal comes through, and copies of the operands that no handler could reach.
 *
 * One handler per site, so that a value is kept alive only where it is live anyway. Exceptions that nobody throws cost
 * nothing. Which values a frame has, and in which order, is spec/wasm-machine.md, "Frames".
 */

import type { CallGraph } from '../analysis/call-graph.ts'
import { Liveness } from '../analysis/liveness.ts'
import type { Operands } from '../analysis/operands.ts'
import { FREE, producedTypes, SITE, Sites } from '../analysis/sites.ts'
import type { Body } from '../module/body.ts'
import type { WasmModule } from '../module/module.ts'
import { OP } from '../module/opcodes.ts'
import { TYPE, typeCode } from '../module/result-types.ts'
import type { ByteSink } from '../module/sink.ts'
import type { Layout } from './layout.ts'
import type { FunctionParts } from './parts.ts'

const TRY = 0x06
const CATCH_ALL = 0x19

/** A value of a frame: where it is kept and how its bits count. */
export interface SiteValue {
  readonly local: number
  /** Small number of its type. */
  readonly type: number
  /** A float whose NaNs count as the canonical one. */
  readonly free: boolean
}

export class Capture {
  readonly sites = new Sites()
  readonly #liveness = new Liveness()
  readonly #module: WasmModule
  readonly #body: Body
  readonly #graph: CallGraph
  readonly #floats: 'canonical' | 'host'
  readonly #layout: Layout
  readonly #lookout: boolean
  /** Globals that the handlers written so far leave values in. */
  stageSize = 0
  /** Height × 8 + type → local. */
  readonly #copyLocals = new Map<number, number>()
  #functionIndex = 0

  constructor({ module, body, graph, layout, options }: FunctionParts) {
    this.#module = module
    this.#body = body
    this.#graph = graph
    this.#layout = layout
    this.#floats = options.floats
    this.#lookout = options.lookout
  }

  /** Numbers the sites of the function in the body; false when there are none. */
  number(functionIndex: number): boolean {
    this.#functionIndex = functionIndex
    const { cyclic, polls, typePolls, reaches, typeReaches } = this.#graph
    this.sites.number(
      this.#body,
      cyclic[functionIndex] === 1,
      (n) => this.#leadsTo(n, polls, typePolls),
      (n) => this.#lookout && this.#leadsTo(n, reaches, typeReaches),
    )
    return this.sites.count > 0
  }

  #leadsTo(n: number, functions: Uint8Array, types: Uint8Array): boolean {
    const { opcode, immediate } = this.#body
    return (opcode[n] === OP.call ? functions : types)[immediate[n]] === 1
  }

  /** @param addLocal - Gives the index of a new local of the type with this binary code. */
  analyse(operands: Operands, addLocal: (typeCode: number) => number): void {
    const canonical = this.#floats === 'canonical'
    const free = (local: number): boolean => canonical && operands.isFree(local)
    this.sites.follow(this.#body, this.#module, this.#functionIndex, free)
    this.#liveness.follow(this.#body, this.sites.at.values, this.sites.count + 1)
    this.#copyLocals.clear()
    for (const key of this.sites.copied) this.#copyLocals.set(key, addLocal(typeCode(key % 8)))
  }

  /** The (first) site of an instruction, where it has one that control can reach. */
  siteAt(n: number): number | undefined {
    const site = this.sites.at.values[n] - 1
    return site >= 0 && this.sites.reachable.values[site] === 1 ? site : undefined
  }

  /** The site at every turn of the loop at `n`. */
  turnAt(n: number): number | undefined {
    const site = this.siteAt(n)
    return site !== undefined && this.sites.kind.values[site] === SITE.bulk ? site + 1 : site
  }

  /** What a frame at this site holds: the live locals by index, then the operands from the bottom of the stack. */
  values(site: number): SiteValue[] {
    return [...this.liveLocals(site), ...this.operands(site)]
  }

  liveLocals(site: number): SiteValue[] {
    const { sites } = this
    const entry = sites.kind.values[site] === SITE.entry
    const set = entry ? 0 : sites.at.values[sites.instruction.values[site]]
    // At the entry all other locals are zero, as they are in a new activation.
    const end = entry ? this.#body.params : this.#body.locals
    const values: SiteValue[] = []
    for (let word = 0; word < this.#liveness.words; word++) {
      let bits = this.#liveness.word(set, word)
      while (bits !== 0) {
        const local = 32 * word + 31 - Math.clz32(bits & -bits)
        bits &= bits - 1
        if (local < end) values.push(this.#value(local, sites.localType(local)))
      }
    }
    return values
  }

  operands(site: number): SiteValue[] {
    return Array.from({ length: this.sites.operandCount(site) }, (_, height) => {
      const type = this.sites.operandType(site, height)
      return this.#value(this.#copyLocal(height, type & ~FREE), type)
    })
  }

  #value(local: number, type: number): SiteValue {
    return { local, type: type & ~FREE, free: this.#floats === 'canonical' && (type & FREE) !== 0 }
  }

  #copyLocal(height: number, type: number): number {
    const local = this.#copyLocals.get(8 * height + type)
    if (local === undefined) throw new Error('broken invariant: an operand at a site has its copy')
    return local
  }

  hasCopies(n: number): boolean {
    return this.sites.copies[n] === 1
  }

  /** Behind an instruction: copies what it has left on the stack. */
  writeCopies(sink: ByteSink, n: number): void {
    const types = producedTypes(this.#body, n, this.#module, this.sites)
    const first = this.sites.copyHeight.values[n]
    if (types === undefined || types.length === 1) {
      const type = types === undefined ? this.sites.copyType.values[n] : TYPE[types[0]]
      sink.u8(OP.localTee).unsigned(this.#copyLocal(first, type))
      return
    }
    const locals = types.map((type, order) => this.#copyLocal(first + order, TYPE[type]))
    for (const local of locals.toReversed()) sink.u8(OP.localSet).unsigned(local)
    for (const local of locals) sink.u8(OP.localGet).unsigned(local)
  }

  /** Before the poll or call, which has its operands on the stack. */
  writeTry(sink: ByteSink, blockType: number): void {
    sink.u8(TRY).signed(blockType)
  }

  /** Behind the poll or call: leaves the values in the stage and calls the host, which throws again. */
  writeHandler(sink: ByteSink, site: number): void {
    const { frame, stageGlobal } = this.#layout
    if (frame === undefined) throw new Error('broken invariant: a module with handlers has the import')
    sink.u8(CATCH_ALL)
    const next = { i32: stageGlobal, i64: stageGlobal + 1 }
    const leave = (kind: 'i32' | 'i64'): void => {
      sink.u8(OP.globalSet).unsigned(next[kind])
      next[kind] += 2
    }
    for (const { local, type } of this.values(site)) {
      sink.u8(OP.localGet).unsigned(local)
      if (type === TYPE.i32) leave('i32')
      else if (type === TYPE.i64) leave('i64')
      else if (type === TYPE.f32) {
        sink.u8(OP.i32ReinterpretF32)
        leave('i32')
      } else if (type === TYPE.f64) {
        sink.u8(OP.i64ReinterpretF64)
        leave('i64')
      } else {
        writeLane(sink, 0)
        leave('i64')
        writeLane(sink.u8(OP.localGet).unsigned(local), 1)
        leave('i64')
      }
    }
    this.stageSize = Math.max(this.stageSize, next.i32 - stageGlobal, next.i64 - stageGlobal - 1)
    sink.u8(OP.i32Const).signed(this.#functionIndex).u8(OP.i32Const).signed(site)
    sink.u8(OP.call).unsigned(frame).u8(OP.unreachable).u8(OP.end)
  }
}

function writeLane(sink: ByteSink, lane: number): void {
  sink
    .u8(0xfd)
    .unsigned(OP.i64x2ExtractLane - 0x200)
    .u8(lane)
}
