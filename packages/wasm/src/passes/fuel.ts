/** The code that keeps count of fuel and stack slots (spec/wasm-machine.md §5, §6.1). */

import type { Body } from '../module/body.ts'
import { OP } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'
import type { BranchHints } from './hints.ts'
import type { Layout } from './layout.ts'

export const EMPTY_BLOCK_TYPE = 0x40
const NONE = -1

/** How functions with loops hold the fuel counter. `measured` is what ships; the others exist for tests. */
export type CounterPlace = 'measured' | 'global' | 'local'

/** Writes the call that `write` writes so that the activation can be captured there. */
export type Guard = (write: () => void) => void

export class FuelCode {
  /** Local that holds the counter; NONE: the global does. */
  #counter = NONE
  readonly #sink: ByteSink
  readonly #layout: Layout
  readonly #hints: BranchHints

  constructor(sink: ByteSink, layout: Layout, hints: BranchHints) {
    this.#sink = sink
    this.#layout = layout
    this.#hints = hints
  }

  /** @param counter - Local that holds the counter in the function that is being written. */
  open(counter: number | undefined): void {
    this.#counter = counter ?? NONE
  }

  get cached(): boolean {
    return this.#counter !== NONE
  }

  /** Charges what `pushCost` leaves and polls when the slice is used up. */
  writePoll(scratch: number, pushCost: () => void, guard: Guard): void {
    const sink = this.#sink
    const { cached } = this
    const local = cached ? this.#counter : scratch
    if (cached) sink.u8(OP.localGet).unsigned(local)
    else sink.u8(OP.globalGet).unsigned(this.#layout.fuelGlobal)
    pushCost()
    sink.u8(OP.i32Sub).u8(OP.localTee).unsigned(local)
    if (!cached) sink.u8(OP.globalSet).unsigned(this.#layout.fuelGlobal).u8(OP.localGet).unsigned(local)
    this.#writeIfNegative()
    guard(() => {
      if (cached) {
        sink.u8(OP.localGet).unsigned(local).u8(OP.call).unsigned(this.#layout.refill).u8(OP.localSet).unsigned(local)
      } else {
        sink.u8(OP.call).unsigned(this.#layout.poll)
      }
    })
    sink.u8(OP.end)
  }

  /** Charges the entry and takes the slots of this activation; one check serves both. */
  writeEntry(
    { scratch, slotsLocal, cost, slots }: { scratch: number; slotsLocal: number; cost: number; slots: number },
    guard: Guard,
  ): void {
    const sink = this.#sink
    const { fuelGlobal, slotsGlobal, enter } = this.#layout
    const fuel = this.cached ? this.#counter : scratch
    sink.u8(OP.globalGet).unsigned(fuelGlobal).u8(OP.i32Const).signed(cost).u8(OP.i32Sub)
    sink.u8(OP.localTee).unsigned(fuel).u8(OP.globalSet).unsigned(fuelGlobal)
    sink.u8(OP.globalGet).unsigned(slotsGlobal).u8(OP.i32Const).signed(slots).u8(OP.i32Sub)
    sink.u8(OP.localTee).unsigned(slotsLocal).u8(OP.globalSet).unsigned(slotsGlobal)
    sink.u8(OP.localGet).unsigned(fuel).u8(OP.localGet).unsigned(slotsLocal).u8(OP.i32Or)
    this.#writeIfNegative()
    guard(() => sink.u8(OP.call).unsigned(enter))
    if (this.cached) this.load()
    sink.u8(OP.end)
  }

  #writeIfNegative(): void {
    this.#sink.u8(OP.i32Const).signed(0).u8(OP.i32LtS)
    this.#hints.add(this.#sink.length, 'rarely')
    this.#sink.u8(OP.if).u8(EMPTY_BLOCK_TYPE)
  }

  /** Local counter to global. */
  store(): void {
    this.#sink.u8(OP.localGet).unsigned(this.#counter).u8(OP.globalSet).unsigned(this.#layout.fuelGlobal)
  }

  /** Global to local counter. */
  load(): void {
    this.#sink.u8(OP.globalGet).unsigned(this.#layout.fuelGlobal).u8(OP.localSet).unsigned(this.#counter)
  }

  /** Free slots to a local. */
  readSlots(local: number): void {
    this.#sink.u8(OP.globalGet).unsigned(this.#layout.slotsGlobal).u8(OP.localSet).unsigned(local)
  }

  writeSlots(local: number): void {
    this.#sink.u8(OP.localGet).unsigned(local).u8(OP.globalSet).unsigned(this.#layout.slotsGlobal)
  }

  giveBack(slots: number): void {
    const { slotsGlobal } = this.#layout
    this.#sink.u8(OP.globalGet).unsigned(slotsGlobal).u8(OP.i32Const).signed(slots).u8(OP.i32Add)
    this.#sink.u8(OP.globalSet).unsigned(slotsGlobal)
  }
}

/**
 * Whether the function in the body holds the counter in a local: that costs two accesses of the global per call that may
 * poll, and saves them in every iteration of the other loops.
 */
export function keepsCounter(body: Body, place: CounterPlace, mayPoll: (instruction: number) => boolean): boolean {
  if (place !== 'measured') return place === 'local'
  const polls = new Uint8Array(body.loops)
  for (let n = 0; n < body.count; n++) {
    if (!mayPoll(n)) continue
    for (let loop = body.loopOf[n]; loop >= 0 && polls[loop] === 0; loop = body.loopParent[loop]) polls[loop] = 1
  }
  return polls.includes(0)
}
