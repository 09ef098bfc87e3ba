/**
 * What lets a function be left at a site: a handler around the poll or call that hands the live values to the host when
 * the capture signal comes through, and copies of the operands that no handler could reach.
 *
 * A value is kept alive only where it is live anyway, or nearly (shared-handlers.ts). Exceptions that nobody throws cost
 * nothing. Which values a frame has, and in which order, is spec/wasm-machine.md, "Frames".
 */

import type { CallGraph } from '../analysis/call-graph.ts'
import { Liveness } from '../analysis/liveness.ts'
import type { Operands } from '../analysis/operands.ts'
import { type Caught, FREE, producedTypes, SITE, Sites } from '../analysis/sites.ts'
import type { Body } from '../module/body.ts'
import { CLAUSE } from '../module/clauses.ts'
import type { WasmModule } from '../module/module.ts'
import { OP, VALUE_TYPES } from '../module/opcodes.ts'
import { TYPE, typeCode } from '../module/result-types.ts'
import type { ByteSink } from '../module/sink.ts'
import { writeGiveCaught } from './exceptions.ts'
import type { Layout, Uses } from './layout.ts'
import type { FunctionParts } from './parts.ts'
import { isStaged, shareHandlers, type SharedHandler, type SiteValue, stagePlaces, type StagePlace } from './shared-handlers.ts' // prettier-ignore
import { writeLane, writeZero } from './snippets.ts'

/** Binary codes of the types of the machine's blocks; the outer one leaves what the call leaves. */
export interface GuardTypes {
  /** What the poll or call takes and leaves. */
  readonly whole: number
  /** Takes the same, leaves nothing. */
  readonly taking: number
}

export class Capture {
  readonly sites = new Sites()
  readonly #liveness = new Liveness()
  readonly #module: WasmModule
  readonly #body: Body
  readonly #graph: CallGraph
  readonly #floats: 'canonical' | 'host'
  readonly #layout: Layout
  readonly #exceptions: Uses['exceptions']
  readonly #lookout: boolean
  /** Globals that the handlers written so far leave values in. */
  stageSize = 0
  /** Height × 8 + type → local. */
  readonly #copyLocals = new Map<number, number>()
  /** Of the function; the blocks that lead to them stand around all of its code, the first one outermost. */
  shared: readonly SharedHandler[] = []
  /** By site: number of the handler that it shares. */
  readonly #sharedBy = new Map<number, number>()
  #functionIndex = 0

  constructor(parts: FunctionParts) {
    this.#module = parts.module
    this.#body = parts.body
    this.#graph = parts.graph
    this.#layout = parts.layout
    this.#exceptions = parts.exceptions
    this.#floats = parts.options.floats
    this.#lookout = parts.options.lookout
  }

  /** Numbers the sites of the function in the body; false when there are none. */
  number(functionIndex: number): boolean {
    this.#functionIndex = functionIndex
    const { cut, polls, typePolls, reaches, typeReaches } = this.#graph
    this.sites.number(
      this.#body,
      cut[functionIndex] === 1,
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
    this.#share()
  }

  #share(): void {
    const needed: [number, SiteValue[]][] = []
    for (let site = 0; site < this.sites.count; site++) {
      if (this.sites.reachable.values[site] !== 1) continue
      const values = this.values(site)
      // What a legacy `catch` has caught can be reached only from inside of it, and references go to the host in order.
      if (this.sites.caughtAround(site).length > 0 || !values.every(({ type }) => isStaged(type))) continue
      needed.push([site, values])
    }
    this.shared = shareHandlers(needed)
    this.#sharedBy.clear()
    for (const [number, { sites }] of this.shared.entries()) for (const site of sites) this.#sharedBy.set(site, number)
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

  /** Where the handler of this site leaves them. */
  places(site: number): (StagePlace | undefined)[] {
    const values = this.values(site)
    const shared = this.#sharedBy.get(site)
    if (shared === undefined) return stagePlaces(values)
    const all = this.shared[shared].values
    const places = new Map(stagePlaces(all).map((place, i) => [all[i].local, place]))
    return values.map(({ local }) => places.get(local))
  }

  /** The tags that an exception may have that was caught there. */
  tagsOf({ part }: Caught): Iterable<number> {
    const { opcode, immediate } = this.#body
    return opcode[part] === OP.catch ? [immediate[part]] : this.#module.tags.keys()
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
    const types = producedTypes(this.#body, n, this.#module)
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
  writeTry(sink: ByteSink, { whole, taking }: GuardTypes): void {
    const { capturedTag } = this.#layout
    if (this.#exceptions !== 'exnref' || capturedTag === undefined) {
      sink.u8(OP.try).signed(whole)
      return
    }
    sink.u8(OP.block).signed(whole).u8(OP.block).signed(taking)
    sink.u8(OP.tryTable).signed(whole).unsigned(1).u8(CLAUSE.catch).unsigned(capturedTag).unsigned(0)
  }

  /**
   * Behind the poll or call: leaves the values in the stage and calls the host, which throws again.
   *
   * @param labelOf - What leads from before the `try` to a construct around the site, by its nesting level; 0: the function.
   */
  writeHandler(sink: ByteSink, site: number, labelOf: (level: number) => number): void {
    const { capturedTag } = this.#layout
    if (this.#exceptions === 'exnref') sink.u8(OP.end).u8(OP.br).unsigned(1).u8(OP.end)
    else if (capturedTag !== undefined) sink.u8(OP.catch).unsigned(capturedTag)
    // Comparing tags would cost a quarter more time in the compiler.
    else sink.u8(OP.catchAll)
    const shared = this.#sharedBy.get(site)
    if (shared !== undefined) {
      this.#writeForgotten(sink, site, this.shared[shared])
      sink
        .u8(OP.i32Const)
        .signed(site)
        .u8(OP.br)
        .unsigned(labelOf(0) - shared)
        .u8(OP.end)
      return
    }
    this.#writeLeaving(sink, this.values(site))
    for (const caught of this.sites.caughtAround(site)) {
      writeGiveCaught(sink, { label: labelOf(caught.level) + 2, tags: this.tagsOf(caught) }, this.#layout)
    }
    sink.u8(OP.i32Const).signed(this.#functionIndex).u8(OP.i32Const).signed(site)
    this.#writeFrame(sink)
    sink.u8(OP.end)
  }

  /** What the handler leaves for other sites is nothing here: else it would be kept alive until the call returns. */
  #writeForgotten(sink: ByteSink, site: number, { values }: SharedHandler): void {
    const needed = new Set(this.values(site).map(({ local }) => local))
    for (const { local, type } of values) {
      if (needed.has(local)) continue
      writeZero(sink, type)
      sink.u8(OP.localSet).unsigned(local)
    }
  }

  /** Opens the blocks around all code of the function; they are left with the number of a site. */
  writeSharedBlocks(sink: ByteSink): void {
    for (let i = 0; i < this.shared.length; i++) sink.u8(OP.block).u8(VALUE_TYPES.i32)
  }

  /** Ends these blocks, behind code that has left the function's results. */
  writeSharedHandlers(sink: ByteSink, scratch: number): void {
    if (this.shared.length > 0) sink.u8(OP.br).unsigned(this.shared.length)
    for (const { values } of this.shared.toReversed()) {
      sink.u8(OP.end).u8(OP.localSet).unsigned(scratch)
      this.#writeLeaving(sink, values)
      sink.u8(OP.i32Const).signed(this.#functionIndex).u8(OP.localGet).unsigned(scratch)
      this.#writeFrame(sink)
    }
  }

  #writeFrame(sink: ByteSink): void {
    const { frame } = this.#layout
    if (frame === undefined) throw new Error('broken invariant: a module with handlers has the import')
    sink.u8(OP.call).unsigned(frame).u8(OP.unreachable)
  }

  #writeLeaving(sink: ByteSink, values: readonly SiteValue[]): void {
    const { stageGlobal, giveImports, giveTags } = this.#layout
    const leave = ({ kind, slot }: StagePlace, more = 0): void => {
      const index = 2 * (slot + more) + (kind === 'i32' ? 0 : 1)
      this.stageSize = Math.max(this.stageSize, index + 1)
      sink.u8(OP.globalSet).unsigned(stageGlobal + index)
    }
    const places = stagePlaces(values)
    for (const [i, { local, type }] of values.entries()) {
      const place = places[i]
      sink.u8(OP.localGet).unsigned(local)
      if (place === undefined) {
        sink.u8(OP.call).unsigned(type === TYPE.funcref ? giveImports + 2 : giveTags + this.#module.tags.length)
      } else if (type === TYPE.v128) {
        writeLane(sink, 0)
        leave(place)
        writeLane(sink.u8(OP.localGet).unsigned(local), 1)
        leave(place, 1)
      } else {
        if (type === TYPE.f32) sink.u8(OP.i32ReinterpretF32)
        else if (type === TYPE.f64) sink.u8(OP.i64ReinterpretF64)
        leave(place)
      }
    }
  }
}
