/**
 * Writes the function that continues an activation behind a site: along the way to the site the rest of each construct,
 * with loops as they are behind their rest (docs/decisions/0005-continuations.md).
 */

import { blockParamTypes, blockResultTypes, SITE } from '../analysis/sites.ts'
import type { FunctionType } from '../module/module.ts'
import { OP, type ValueType, VALUE_TYPES } from '../module/opcodes.ts'
import { TYPE, TYPE_NAMES } from '../module/result-types.ts'
import type { Capture } from './capture.ts'
import { writeNextException, writeThrowAnew } from './exceptions.ts'
import { FunctionWriter } from './function.ts'
import type { StagePlace } from './shared-handlers.ts'
import { type Level, levelsAround } from './path.ts'
import { type NextValue, writeNext } from './snippets.ts'

/** How the code of a continuation reaches what is not in its module. */
export interface Outside extends NextValue {
  /** Its own function index. */
  readonly self: number
  /** Table with the continuations; the index of the next one comes as an i32. */
  readonly table: number
}

export interface ExpectedValue {
  readonly type: ValueType
  readonly free: boolean
  /** Where a handler leaves it; references are handed to the host. */
  readonly place: StagePlace | undefined
  /** Of an exception that was caught around the site: the tags that it may have. */
  readonly tags?: readonly number[]
}

/** What a continuation expects. */
export interface SiteFacts {
  /** Of its frame. Of free ones every NaN counts as the canonical one. */
  readonly values: readonly ExpectedValue[]
  /** The order in which its code takes them. */
  readonly order: readonly number[]
  /** Before them it takes how many slots are free. */
  readonly takesSlots: boolean
  /** The call that was left, as an instruction of the body; `undefined` at a poll. */
  readonly callAt: number | undefined
  /** Stack slots of the activation. */
  readonly slots: number
}

interface Place {
  readonly capture: Capture
  readonly site: number
  readonly outside: Outside
  readonly localCount: number
}

export class ContinuationWriter extends FunctionWriter {
  /** What the code takes, in order. */
  readonly #order: number[] = []
  #levels: readonly Level[] = []

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
    if (this.handles) this.sink.u8(OP.call).unsigned(outside.nextI32).u8(OP.localSet).unsigned(this.slotsLocal)
    const locals = capture.liveLocals(site)
    this.#order.length = 0
    for (const [i, { type, local }] of locals.entries()) {
      this.#take(i, type, outside)
      this.sink.u8(OP.localSet).unsigned(local)
    }
    const isCall = sites.kind.values[site] === SITE.call
    if (!isCall && this.fuel.cached) this.fuel.load()
    this.#levels = levelsAround(this.body, sites, site)
    if (sites.kind.values[site] === SITE.turn) this.uncounted = sites.instruction.values[site]
    const place = { capture, site, outside, localCount: locals.length }
    this.writeWrapped(functionIndex, () => this.#writeLevel(place, 0))
    this.sink.closeSize(size)
    const caught = sites.caughtAround(site).map((each) => [...capture.tagsOf(each)])
    const places = capture.places(site)
    return {
      values: [
        ...capture.values(site).map(({ type, free }, i) => ({ type: TYPE_NAMES[type], free, place: places[i] })),
        ...caught.map((tags) => ({ type: 'exnref' as const, free: false, place: undefined, tags })),
      ],
      order: this.#order,
      takesSlots: this.handles,
      callAt: isCall ? sites.instruction.values[site] : undefined,
      slots: this.cut ? this.slots : 0,
    }
  }

  /** Leaves the value of the frame with this number. */
  #take(i: number, type: number, outside: Outside): void {
    this.#order.push(i)
    if (type === TYPE.exnref) writeNextException(this.sink, this.module, outside, this.scratchLocal(VALUE_TYPES.i32))
    else writeNext(this.sink, type, outside)
  }

  /** What is left of the construct at this depth of the way: first of the constructs in it, then behind them. */
  #writeLevel(place: Place, depth: number): void {
    const { capture, site, outside, localCount } = place
    const { body, sink } = this
    const levels = this.#levels
    const base = (level: number): number => capture.sites.baseOf.values[levels[level].opener]
    const operands = capture.operands(site)
    const bottom = depth === 0 ? 0 : base(depth - 1)
    const top = depth < levels.length ? base(depth) : operands.length
    for (const [i, { type, local }] of operands.slice(bottom, top).entries()) {
      this.#take(localCount + bottom + i, type, outside)
      sink.u8(OP.localTee).unsigned(local)
    }
    const close = depth === 0 ? body.count - 1 : levels[depth - 1].close
    if (depth === levels.length) return this.writeRest(this.#writeResumption(capture, site, outside), close)

    const { end } = levels[depth]
    this.#writeConstruct(place, depth)
    if (capture.hasCopies(end)) capture.writeCopies(sink, end)
    this.writeRest(end + 1, close)
  }

  /** A construct on the way to the site, with its own end. */
  #writeConstruct(place: Place, depth: number): void {
    const { body, sink, labels } = this
    const { opener, part, close, end } = this.#levels[depth]
    const whole = this.blockType(blockResultTypes(body, opener, this.module))
    const op = body.opcode[opener]
    if (op === OP.tryTable) {
      this.handlers.openTryTable(opener, [])
      this.#writeLevel(place, depth + 1)
      return this.handlers.closeTryTable(opener)
    }
    const caught = this.#caughtAt(place, part)
    if (op === OP.loop) sink.u8(OP.block).signed(whole)
    if (caught === undefined) sink.u8(op === OP.try && part === opener ? OP.try : OP.block)
    else sink.u8(OP.try)
    sink.signed(op === OP.loop ? this.blockType(blockParamTypes(body, opener, this.module)) : whole)
    labels.open(op === OP.loop ? 1 : 0)
    if (caught !== undefined) this.#writeCatch(place, part, caught)
    this.#writeLevel(place, depth + 1)
    if (op === OP.try && part === opener) {
      // What the rest of the `try` throws is caught as ever.
      this.copied = body.at[close]
      this.writeRange(close, end)
      this.flush(body.at[end])
    }
    labels.close()
    if (op === OP.loop) {
      sink.u8(OP.br).unsigned(1).u8(OP.end)
      labels.surroundNext()
      this.writeRest(opener, end + 1)
    }
    if (body.opcode[end] === OP.delegate && part === opener) {
      sink.u8(OP.delegate).unsigned(labels.moved(body.immediate[end]))
    } else sink.u8(OP.end)
  }

  /** Number of the exception that the `catch` at `part` has caught among those of the frame, if it is one of them. */
  #caughtAt({ capture, site }: Place, part: number): number | undefined {
    const at = capture.sites.caughtAround(site).findIndex((each) => each.part === part)
    return at < 0 ? undefined : at
  }

  /** Behind a `try`: throws the frame's exception and catches it, so that a `rethrow` finds it. */
  #writeCatch({ capture, site, outside, localCount }: Place, part: number, caught: number): void {
    const { sink, body, module } = this
    this.#order.push(localCount + capture.sites.operandCount(site) + caught)
    writeThrowAnew(sink, module, outside, () => sink.u8(OP.call).unsigned(outside.nextI32))
    const op = body.opcode[part]
    sink.u8(op)
    if (op === OP.catchAll) return
    const tag = body.immediate[part]
    sink.unsigned(tag)
    // What it carries is among the operands of the frame, as far as it is still needed.
    for (let i = 0; i < module.tags[tag].params.length; i++) sink.u8(OP.drop)
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
      this.labels.open()
      this.writeRange(n + 1, end)
      this.labels.close()
      this.flush(this.body.at[end + 1])
      if (capture.hasCopies(end)) capture.writeCopies(this.sink, end)
      return end + 1
    }
    const { results } = this.#calleeType(n)
    this.guarded(site, { params: [], results }, () => {
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
