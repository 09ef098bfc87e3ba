/**
 * Writes one function of the rewritten module: copies byte ranges and inserts fuel, depth and canonical NaNs.
 *
 * Sites and costs are those of spec/wasm-machine.md §5 and §6; whether the counter is kept in a local is this
 * writer's choice and must not show in any position.
 */

import { countedLoop } from '../analysis/counted-loop.ts'

import { blockParamTypes } from '../analysis/sites.ts'

import { FLOAT, floatRules, OP, SINK, VALUE_TYPES } from '../module/opcodes.ts'

import { FunctionBase } from './function-base.ts'

import { writeTrips } from './snippets.ts'
import { tableInstruction } from './table-uses.ts'

/** No site costs more: an interpreter's big loop runs through little of its body each time. */
export const SITE_COST_MAX = 128

const NOTHING = { params: [], results: [] } as const

export class FunctionWriter extends FunctionBase {
  /** Appends size, locals and code of a defined function. */
  write(functionIndex: number): void {
    const body = this.body
    this.prepare(functionIndex)
    this.statistics.functions++
    if (this.fuel.cached) this.statistics.cachedFunctions++
    if (this.cut) this.statistics.cutFunctions++
    const size = this.sink.openSize()
    this.hints.open(this.target(functionIndex), size)
    this.writeLocals([])
    this.writeWrapped(functionIndex, () => {
      this.#writeBeginning()
      this.writeRest(0, body.count - 1)
    })
    this.sink.closeSize(size)
  }

  /** Places where NaNs are made canonical. */
  get canonicalised(): number {
    return this.floats.count
  }

  /** Globals that the handlers leave values in. */
  get stageSize(): number {
    return this.capture?.stageSize ?? 0
  }

  /** Every exit leaves through a block, so that what follows it runs once and for all of them. */
  protected writeWrapped(functionIndex: number, write: () => void): void {
    const { results } = this.module.types[this.module.functions[functionIndex]]
    if (this.wrapped) this.sink.u8(OP.block).signed(this.blockType(results))
    if (this.hasSites) this.capture?.writeSharedBlocks(this.sink)
    write()
    if (this.hasSites) this.capture?.writeSharedHandlers(this.sink, this.scratchLocal(VALUE_TYPES.i32))
    if (this.wrapped) {
      this.sink.u8(OP.end)
      if (this.cut) this.fuel.giveBack(this.slots)
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

  /** Copies the instructions from `first` up to `last`, with what has to stand between them. */
  protected writeRange(first: number, last: number): void {
    const { opcode, at } = this.body
    for (let n = first; n < last; n++) {
      const op = opcode[n]
      if (this.floats.needed) this.#writeFloats(n)
      switch (op) {
        case OP.block:
        case OP.if:
        case OP.try:
          this.labels.open()
          break
        case OP.end:
          this.#writeEnd(n)
          break
        case OP.loop:
          this.labels.open()
          n = this.#writeLoop(n)
          break
        case OP.tryTable:
          this.flush(at[n])
          this.handlers.openTryTable(n, blockParamTypes(this.body, n, this.module))
          this.copied = at[n + 1]
          break
        case OP.catch:
        case OP.catchAll:
          this.flush(at[n + 1])
          this.handlers.writeCatch(op)
          break
        case OP.throw:
        case OP.rethrow:
        case OP.throwRef:
        case OP.delegate:
          this.#writeThrow(n)
          break
        case OP.returnCall:
        case OP.returnCallIndirect:
          this.#writeTailCall(n)
          break
        case OP.refFunc:
          this.flush(at[n])
          this.sink.u8(op).unsigned(this.target(this.body.immediate[n]))
          this.copied = at[n + 1]
          break
        case OP.call:
        case OP.callIndirect:
          this.#writeCall(n)
          break
        case OP.memoryGrow:
          this.flush(at[n])
          this.sink.u8(OP.call).unsigned(this.layout.grow)
          this.copied = at[n + 1]
          break
        case OP.memoryInit:
        case OP.dataDrop:
          this.#writeInstead(n, this.segmentFunction(op, this.body.immediate[n]))
          break
        case OP.tableInit:
        case OP.elemDrop:
        case OP.tableGrow: {
          const instruction = tableInstruction(this.body, n)
          if (instruction !== undefined) this.#writeInstead(n, this.tableFunction(instruction))
          break
        }
        case OP.return:
          if (!this.wrapped) break
          this.flush(at[n])
          this.sink.u8(OP.br).unsigned(this.labels.moved(this.labels.nesting))
          this.copied = at[n + 1]
          break
        case OP.br:
        case OP.brIf:
        case OP.brTable:
          this.#writeBranch(n)
          break
      }
      if (this.hasSites && op !== OP.loop) this.#writeCopies(n)
    }
  }

  /** A branch, `rethrow` or `delegate`, with its labels moved. */
  #writeBranch(n: number): void {
    if (!this.labels.shifted) return
    const { at } = this.body
    this.flush(at[n])
    this.labels.write(this.sink, this.body, n)
    this.copied = at[n + 1]
  }

  #writeEnd(n: number): void {
    const { opcode, openerOf, at } = this.body
    if (openerOf[n] < 0 || opcode[openerOf[n]] !== OP.tryTable) return this.labels.close()
    this.flush(at[n])
    this.handlers.closeTryTable(openerOf[n])
    this.copied = at[n + 1]
  }

  #writeThrow(n: number): void {
    const { opcode, at } = this.body
    const op = opcode[n]
    if (op === OP.delegate) this.labels.close()
    else {
      this.flush(at[n])
      this.handlers.writeThrow(op)
    }
    if (op === OP.rethrow || op === OP.delegate) this.#writeBranch(n)
  }

  /** The activation is left before the callee begins. */
  #writeTailCall(n: number): void {
    const { opcode, at, immediate } = this.body
    this.flush(at[n])
    if (this.cut) this.fuel.giveBack(this.slots)
    if (this.fuel.cached) this.fuel.store()
    if (opcode[n] === OP.returnCallIndirect) return
    this.sink.u8(OP.returnCall).unsigned(this.target(immediate[n]))
    this.copied = at[n + 1]
  }

  #writeFloats(n: number): void {
    const { opcode, at } = this.body
    const scratch = (type: number): number => this.scratchLocal(type)
    if (this.floats.sinkAt(n) !== SINK.none) {
      this.flush(at[n])
      this.floats.writeScalar(n, scratch)
    } else if (floatRules[opcode[n]] >= FLOAT.vector32) {
      this.flush(at[n + 1])
      this.floats.writeVector(floatRules[opcode[n]], scratch)
    }
  }

  /** A call in place of an instruction. */
  #writeInstead(n: number, callee: number | undefined): void {
    const { at } = this.body
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
    const polls = this.fuel.cached && this.mayPoll(n)
    const stores = polls || (this.fuel.cached && this.mayThrow(n))
    const site = this.siteAt(n)
    const direct = opcode[n] === OP.call
    if (!stores && !direct && site === undefined) return
    this.flush(at[n])
    if (stores) this.fuel.store()
    const entry = direct || site === undefined ? undefined : this.scratchLocal(VALUE_TYPES.i32)
    if (entry !== undefined) this.sink.u8(OP.localSet).unsigned(entry)
    const type = this.module.types[direct ? this.module.functions[immediate[n]] : immediate[n]]
    this.guarded(site, type, () => {
      if (entry !== undefined) this.sink.u8(OP.localGet).unsigned(entry)
      if (direct) {
        this.sink.u8(OP.call).unsigned(this.target(immediate[n]))
        this.copied = at[n + 1]
      }
      this.flush(at[n + 1])
    })
    if (polls) this.fuel.load()
  }

  /** Returns the last instruction that was dealt with. */
  #writeLoop(n: number): number {
    if (!this.options.fuel) return n
    const { at, mate, loopOf, loopWeight } = this.body
    const loop = loopOf[n]
    const cost = Math.min(SITE_COST_MAX, loopWeight[loop])
    const counted = n === this.uncounted ? undefined : countedLoop(this.body, loop)
    this.statistics.loops++
    if (counted === undefined) {
      this.flush(at[n + 1])
      this.#writeCopies(n)
      this.#writePoll(this.turnAt(n), () => this.sink.u8(OP.i32Const).signed(cost))
      return n
    }
    this.statistics.countedLoops++
    const end = mate[n]
    const { bytes } = this.body
    const trips = this.scratchLocal(VALUE_TYPES.i32)
    this.flush(at[n])
    writeTrips(this.sink, counted, trips)
    this.hints.add(this.sink.length, 'often')
    this.sink.u8(OP.if).copy(bytes, at[n] + 1, at[n + 1])
    this.#writePoll(this.siteAt(n), () => this.#writeTripCost(trips, cost))
    this.writeRange(n + 1, end)
    this.flush(at[end + 1])
    this.sink.u8(OP.else)
    this.copied = at[n]
    this.flush(at[n + 1])
    this.#writePoll(this.turnAt(n), () => this.sink.u8(OP.i32Const).signed(cost), 1)
    this.writeRange(n + 1, end)
    this.flush(at[end + 1])
    this.sink.u8(OP.end)
    this.labels.close()
    this.#writeCopies(end)
    return end
  }

  /** Charges what `pushCost` leaves; a poll, which is the site, with the machine's blocks around it. */
  #writePoll(site: number | undefined, pushCost: () => void, extraLabels = 0): void {
    const guard = (write: () => void): void => this.guarded(site, NOTHING, write, extraLabels + 1)
    this.fuel.writePoll(this.scratchLocal(VALUE_TYPES.i32), pushCost, guard)
  }

  #writeBeginning(): void {
    if (this.cut) return this.#writeEntry()
    if (this.fuel.cached) this.fuel.load()
    if (this.handles) this.fuel.readSlots(this.slotsLocal)
  }

  #writeEntry(): void {
    const scratch = this.scratchLocal(VALUE_TYPES.i32)
    const cost = Math.min(SITE_COST_MAX, this.body.entryWeight)
    const slots = { slotsLocal: this.slotsLocal, slots: this.slots }
    // The entry is its first site.
    const site = this.hasSites ? 0 : undefined
    const guard = (write: () => void): void => this.guarded(site, NOTHING, write, 1)
    this.fuel.writeEntry({ scratch, cost, ...slots }, guard)
  }

  #writeTripCost(trips: number, cost: number): void {
    this.sink.u8(OP.localGet).unsigned(trips)
    if (cost !== 1) this.sink.u8(OP.i32Const).signed(cost).u8(OP.i32Mul)
  }
}
