/**
 * Writes the function that continues an activation behind a site: along the way to the site the rest of each construct,
 * with loops as they are behind their rest (docs/decisions/0005-continuations.md).
 */

import { blockParamTypes, blockResultTypes, SITE } from '../analysis/sites.ts'
import type { FunctionType } from '../module/module.ts'
import { OP, type ValueType } from '../module/opcodes.ts'
import { TYPE_NAMES } from '../module/result-types.ts'
import type { Capture } from './capture.ts'
import { FunctionWriter } from './function.ts'
import { Path } from './path.ts'
import { writeNext } from './snippets.ts'

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

export class ContinuationWriter extends FunctionWriter {
  /**
   * Appends size, locals and code of the function () → results that continues an activation behind a site.
   *
   * @returns What is at the site; `undefined`, and nothing is written, when the function has no such site.
   */
  writeContinuation(functionIndex: number, site: number, outside: Outside): SiteFacts | undefined {
    this.prepare(functionIndex)
    const capture = this.capture
    if (capture === undefined || !this.hasSites || capture.sites.reachable.values[site] !== 1) return undefined
    const { sites } = capture
    const size = this.sink.openSize()
    this.hints.open(outside.self, size)
    this.writeLocals(this.module.types[this.module.functions[functionIndex]].params)
    for (const value of capture.liveLocals(site)) {
      writeNext(this.sink, value.type, outside)
      this.sink.u8(OP.localSet).unsigned(value.local)
    }
    const isCall = sites.kind.values[site] === SITE.call
    if (!isCall && this.fuel.cached) this.fuel.load()
    const path = new Path(this.body, sites, site)
    this.path = path
    if (sites.kind.values[site] === SITE.turn) this.uncounted = sites.instruction.values[site]
    this.writeWrapped(functionIndex, () => this.#writeLevel(path, capture, site, outside))
    this.sink.closeSize(size)
    return {
      values: capture.values(site).map(({ type, free }) => ({ type: TYPE_NAMES[type], free })),
      callAt: isCall ? sites.instruction.values[site] : undefined,
      slots: this.cyclic ? this.slots() : 0,
    }
  }

  /** What is left of the construct at the path's depth: first of the constructs in it, then behind them. */
  #writeLevel(path: Path, capture: Capture, site: number, outside: Outside): void {
    const body = this.body
    const sink = this.sink
    const depth = path.depth
    const base = (level: number): number => capture.sites.baseOf.values[path.levels[level].opener]
    const operands = capture.operands(site)
    const top = depth < path.levels.length ? base(depth) : operands.length
    for (const { type, local } of operands.slice(depth === 0 ? 0 : base(depth - 1), top)) {
      writeNext(sink, type, outside)
      sink.u8(OP.localTee).unsigned(local)
    }
    const close = depth === 0 ? body.count - 1 : path.levels[depth - 1].close
    if (depth === path.levels.length) return this.writeRest(this.#writeResumption(capture, site, outside), close)

    const { opener, isLoop, end } = path.levels[depth]
    sink.u8(OP.block).signed(this.blockType(blockResultTypes(body, opener, this.module)))
    if (isLoop) sink.u8(OP.block).signed(this.blockType(blockParamTypes(body, opener, this.module)))
    this.nesting++
    path.depth++
    this.#writeLevel(path, capture, site, outside)
    this.nesting--
    if (isLoop) {
      sink.u8(OP.br).unsigned(1).u8(OP.end)
      this.writeRest(opener, end + 1)
    }
    sink.u8(OP.end)
    path.depth--
    if (capture.hasCopies(end)) capture.writeCopies(sink, end)
    this.writeRest(end + 1, close)
  }

  /** Stands for the poll or the call that was left; returns the instruction that follows. */
  #writeResumption(capture: Capture, site: number, outside: Outside): number {
    const { sites } = capture
    const n = sites.instruction.values[site]
    const kind = sites.kind.values[site]
    if (kind === SITE.entry) return 0
    if (kind === SITE.turn) return n + 1
    if (kind === SITE.bulk) {
      const end = this.body.mate[n]
      this.copied = this.body.at[n]
      this.nesting++
      this.writeRange(n + 1, end)
      this.nesting--
      this.flush(this.body.at[end + 1])
      if (capture.hasCopies(end)) capture.writeCopies(this.sink, end)
      return end + 1
    }
    const { results } = this.#calleeType(n)
    this.guarded(site, this.blockType(results), () => {
      this.sink.u8(OP.call).unsigned(outside.nextI32)
      this.sink.u8(OP.callIndirect).unsigned(this.typeIndex([], results)).unsigned(outside.table)
    })
    if (this.fuel.cached) this.fuel.load()
    if (capture.hasCopies(n)) capture.writeCopies(this.sink, n)
    return n + 1
  }

  #calleeType(n: number): FunctionType {
    const { opcode, immediate } = this.body
    return this.module.types[opcode[n] === OP.call ? this.module.functions[immediate[n]] : immediate[n]]
  }
}
