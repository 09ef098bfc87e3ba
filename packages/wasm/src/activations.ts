/** The host's side of capturing and continuing: receives the frames of a guest that is left, and puts them back. */

import { type Continuation, CONTINUATION_EXPORT, type Continuations, FUNCTIONS_MODULE, INSTANCE_MODULE, TABLE_IMPORT } from './passes/continuations.ts' // prettier-ignore
import { MACHINE_MODULE } from './passes/layout.ts'
import { FUNCTIONS_EXPORT, SLOTS_EXPORT } from './passes/sections.ts'
import type { ModuleFacts } from './passes/rewrite.ts'
import type { Frame, FrameValue } from './state/frames.ts'

const CANONICAL_F32 = 0x7fc0_0000n
const CANONICAL_F64 = 0x7ff8_0000_0000_0000n

/** Receives what the handlers of a guest save while it is being left. */
export class FrameCollector {
  /** Handlers run for every exception; only during a capture is what they save wanted. */
  collecting = false
  #values: FrameValue[] = []
  #frames: Frame[] = []

  /** The frames since the last call, outermost first. */
  take(): Frame[] {
    const frames = this.#frames.toReversed()
    this.#values = []
    this.#frames = []
    this.collecting = false
    return frames
  }

  imports(): WebAssembly.ModuleImports {
    const save = (type: FrameValue['type'], bits: bigint): void => {
      if (this.collecting) this.#values.push({ type, bits })
    }
    const integers = (...values: number[]): void => {
      if (this.collecting) for (const value of values) save('i32', BigInt(value >>> 0))
    }
    return {
      save_i32: integers,
      save_i32x2: integers,
      save_i32x4: integers,
      save_i32x8: integers,
      save_i64: (value: bigint) => save('i64', BigInt.asUintN(64, value)),
      save_f32: (bits: number) => save('f32', BigInt(bits >>> 0)),
      save_f64: (bits: bigint) => save('f64', BigInt.asUintN(64, bits)),
      save_free_f32: (value: number) => save('f32', floatBits(value, 4)),
      save_free_f64: (value: number) => save('f64', floatBits(value, 8)),
      save_v128: (low: bigint, high: bigint) =>
        save('v128', BigInt.asUintN(64, low) | (BigInt.asUintN(64, high) << 64n)),
      frame: (functionIndex: number, site: number) => {
        if (!this.collecting) return
        this.#frames.push({ function: functionIndex, site, values: this.#values })
        this.#values = []
      },
    }
  }
}

const view = new DataView(new ArrayBuffer(8))

/** Every NaN as the canonical one. */
function floatBits(value: number, lengthBytes: 4 | 8): bigint {
  if (lengthBytes === 4) {
    view.setFloat32(0, value)
    return Number.isNaN(value) ? CANONICAL_F32 : BigInt(view.getUint32(0))
  }
  view.setFloat64(0, value)
  return Number.isNaN(value) ? CANONICAL_F64 : view.getBigUint64(0)
}

/** Puts frames back: instances of their continuations, each of which takes its values and then calls the next. */
export class Resumption {
  readonly #continuations: Continuations
  readonly #exports: WebAssembly.Exports
  readonly #facts: ModuleFacts
  readonly #imports: WebAssembly.Imports
  readonly #instances = new Map<Continuation, () => void>()
  readonly #table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 })
  readonly #slotsLimit: number
  /** Values that are still to be taken, in order: frame by frame, each followed by the index of the next. */
  #queue: (number | bigint)[] = []
  #taken = 0

  /** @param imports - As the rewritten module was instantiated with, right after that. */
  constructor(
    continuations: Continuations,
    instance: WebAssembly.Instance,
    facts: ModuleFacts,
    imports: WebAssembly.Imports,
  ) {
    this.#continuations = continuations
    this.#exports = instance.exports
    this.#facts = facts
    this.#imports = imports
    this.#slotsLimit = this.#slots().value
  }

  #slots(): WebAssembly.Global<'i32'> {
    return this.#exports[SLOTS_EXPORT] as WebAssembly.Global<'i32'>
  }

  /** Runs the guest on from these frames, until the outermost returns. */
  run(frames: readonly Frame[]): void {
    const plan = this.#continuations.of(frames)
    this.#slots().value = plan.reduce((left, { slots }) => left - slots, this.#slotsLimit)
    if (this.#table.length < plan.length) this.#table.grow(plan.length - this.#table.length)
    this.#queue = []
    this.#taken = 0
    for (const [i, continuation] of plan.entries()) {
      this.#table.set(i, this.#instance(continuation))
      for (const { type, bits } of frames[i].values) this.#enqueue(type, bits)
      this.#queue.push(i + 1)
    }
    this.#instance(plan[0])()
  }

  #enqueue(type: FrameValue['type'], bits: bigint): void {
    if (type === 'i32' || type === 'f32') this.#queue.push(Number(bits) | 0)
    else if (type === 'v128') this.#queue.push(BigInt.asIntN(64, bits), BigInt.asIntN(64, bits >> 64n))
    else this.#queue.push(BigInt.asIntN(64, bits))
  }

  #instance(continuation: Continuation): () => void {
    const known = this.#instances.get(continuation)
    if (known !== undefined) return known
    const next = (): number | bigint => this.#queue[this.#taken++]
    const machine = { ...this.#imports[MACHINE_MODULE], next_i32: next, next_i64: next }
    const { layout } = continuation
    const table = this.#exports[FUNCTIONS_EXPORT] as WebAssembly.Table
    const instance = new WebAssembly.Instance(continuation.module, {
      [MACHINE_MODULE]: { ...machine, refill: table.get(layout.refill), grow: table.get(layout.grow) },
      [INSTANCE_MODULE]: { ...this.#exports, [TABLE_IMPORT]: this.#table },
      [FUNCTIONS_MODULE]: Object.fromEntries(
        continuation.functions.map((index) => [String(index), this.#function(table, index)]),
      ),
    })
    const run = instance.exports[CONTINUATION_EXPORT] as () => void
    this.#instances.set(continuation, run)
    return run
  }

  /** Host functions as they are, so that calls do not lead through the instance. */
  #function(table: WebAssembly.Table, index: number): WebAssembly.ImportValue {
    const wanted = this.#facts.imports[index]
    return wanted === undefined ? (table.get(index) as () => unknown) : this.#imports[wanted.module][wanted.name]
  }
}
