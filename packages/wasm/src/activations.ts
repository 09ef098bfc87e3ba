/** The host's side of capturing and continuing: receives the frames of a guest that is left, and puts them back. */

import { type Continuation, CONTINUATION_EXPORT, type Continuations, FUNCTIONS_MODULE, INSTANCE_MODULE, TABLE_IMPORT } from './passes/continuations.ts' // prettier-ignore
import type { NumericType } from './module/opcodes.ts'
import type { StagePlace } from './passes/shared-handlers.ts'
import { MACHINE_MODULE } from './passes/layout.ts'
import { FUNCTIONS_EXPORT, SLOTS_EXPORT, stageExport } from './passes/sections.ts'
import type { ModuleFacts } from './passes/rewrite.ts'
import type { References } from './references.ts'
import type { Activations, Frame, FrameException, FrameValue, NumericValue } from './state/frames.ts'

const CANONICAL_F32 = 0x7fc0_0000n
const CANONICAL_F64 = 0x7ff8_0000_0000_0000n

/** What handlers hand to the host instead of leaving it in the stage. */
export type Given = number | bigint | (() => unknown) | null

/** Takes the frames of a guest that is being left, from the innermost to the outermost. */
export class FrameCollector {
  readonly #continuations: Continuations
  readonly #exports: WebAssembly.Exports
  #frames: Frame[] = []
  #given: Given[] = []
  readonly #references: References

  constructor(continuations: Continuations, exports: WebAssembly.Exports, references: References) {
    this.#continuations = continuations
    this.#exports = exports
    this.#references = references
  }

  /** The frames since the last call, outermost first. */
  take(): Frame[] {
    const frames = this.#frames.toReversed()
    this.#frames = []
    return frames
  }

  give(value: Given): void {
    this.#given.push(value)
  }

  /** What a handler has given and left in the stage. */
  add(functionIndex: number, site: number): void {
    const given = this.#given.values()
    const values = this.#continuations.values(functionIndex, site).map(({ type, free, place }): FrameValue => {
      if (type === 'exnref') return { type, exception: this.#exception(given) }
      if (type === 'funcref') return { type, function: this.#references.index(given.next().value) }
      let slot = place?.slot ?? 0
      return number(type, free, (kind) => this.#staged({ kind, slot: slot++ }))
    })
    this.#given = []
    this.#frames.push({ function: functionIndex, site, values })
  }

  #staged({ kind, slot }: StagePlace): bigint {
    const exported = this.#exports[stageExport(2 * slot + (kind === 'i32' ? 0 : 1))]
    const { value } = exported as WebAssembly.Global<'i32' | 'i64'>
    return BigInt.asUintN(kind === 'i32' ? 32 : 64, BigInt(value))
  }

  #exception(given: Iterator<Given>): FrameException | undefined {
    const tag = Number(given.next().value)
    if (tag < 0) return undefined
    const read = (kind: 'i32' | 'i64'): bigint =>
      BigInt.asUintN(kind === 'i32' ? 32 : 64, BigInt(given.next().value as number))
    return { tag, values: this.#continuations.carried(tag).map(({ type, free }) => number(type, free, read)) }
  }
}

function number(type: NumericType, free: boolean, read: (kind: 'i32' | 'i64') => bigint): NumericValue {
  if (type === 'v128') return { type, bits: read('i64') | (read('i64') << 64n) }
  const bits = read(type === 'i32' || type === 'f32' ? 'i32' : 'i64')
  return { type, bits: free ? canonical(type, bits) : bits }
}

function canonical(type: NumericType, bits: bigint): bigint {
  if (type === 'i32' || type === 'i64') return bits
  if (type === 'f32') return (bits & 0x7fff_ffffn) > 0x7f80_0000n ? CANONICAL_F32 : bits
  return (bits & 0x7fff_ffff_ffff_ffffn) > 0x7ff0_0000_0000_0000n ? CANONICAL_F64 : bits
}

/** Puts frames back: instances of their continuations, each of which takes its values and then calls the next. */
export class Resumption {
  readonly #continuations: Continuations
  readonly #exports: WebAssembly.Exports
  readonly #facts: ModuleFacts
  readonly #imports: WebAssembly.Imports
  readonly #references: References
  readonly #instances = new Map<Continuation, () => void>()
  readonly #table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 })
  readonly #slotsLimit: number
  /** Values that are still to be taken, in order: frame by frame, each followed by the index of the next. */
  #queue: Given[] = []
  #taken = 0

  /** @param imports - As the rewritten module was instantiated with, right after that. */
  constructor(
    continuations: Continuations,
    instance: WebAssembly.Instance,
    facts: ModuleFacts,
    imports: WebAssembly.Imports,
    references: References,
  ) {
    this.#references = references
    this.#continuations = continuations
    this.#exports = instance.exports
    this.#facts = facts
    this.#imports = imports
    this.#slotsLimit = this.#slots().value
  }

  #slots(): WebAssembly.Global<'i32'> {
    return this.#exports[SLOTS_EXPORT] as WebAssembly.Global<'i32'>
  }

  /** Runs the guest on from here, until the outermost activation returns. */
  run(activations: Activations): void {
    const { frames } = activations
    const plan = this.#continuations.of(activations)
    this.#slots().value = plan.reduce((left, { slots }) => left - slots, this.#slotsLimit)
    if (this.#table.length < plan.length) this.#table.grow(plan.length - this.#table.length)
    this.#queue = []
    this.#taken = 0
    let free = this.#slotsLimit
    for (const [i, continuation] of plan.entries()) {
      free -= continuation.slots
      this.#table.set(i, this.#instance(continuation))
      if (continuation.takesSlots) this.#queue.push(free)
      for (const place of continuation.order) this.#enqueue(frames[i].values[place])
      this.#queue.push(i + 1)
    }
    this.#instance(plan[0])()
  }

  #enqueue(value: FrameValue): void {
    if (value.type === 'funcref') {
      const { function: index } = value
      this.#queue.push(index === undefined ? null : (this.#references.function(index) as () => unknown))
    } else if (value.type === 'exnref') {
      this.#queue.push(value.exception?.tag ?? -1)
      for (const each of value.exception?.values ?? []) this.#enqueue(each)
    } else {
      const { type, bits } = value
      if (type === 'i32' || type === 'f32') this.#queue.push(Number(bits) | 0)
      else if (type === 'v128') this.#queue.push(BigInt.asIntN(64, bits), BigInt.asIntN(64, bits >> 64n))
      else this.#queue.push(BigInt.asIntN(64, bits))
    }
  }

  #instance(continuation: Continuation): () => void {
    const known = this.#instances.get(continuation)
    if (known !== undefined) return known
    const next = (): Given => this.#queue[this.#taken++]
    const machine = { ...this.#imports[MACHINE_MODULE], next_i32: next, next_i64: next, next_function: next }
    const { layout } = continuation
    const table = this.#exports[FUNCTIONS_EXPORT] as WebAssembly.Table
    const instance = new WebAssembly.Instance(continuation.module, {
      [MACHINE_MODULE]: { ...machine, refill: table.get(layout.refill), grow: table.get(layout.grow) },
      [INSTANCE_MODULE]: { ...this.#exports, [TABLE_IMPORT]: this.#table },
      [FUNCTIONS_MODULE]: Object.fromEntries(
        continuation.functions.map((index) => [String(index), this.#function(table, index, continuation)]),
      ),
    })
    const run = instance.exports[CONTINUATION_EXPORT] as () => void
    this.#instances.set(continuation, run)
    return run
  }

  /** Host functions as they are, so that calls do not lead through the instance; but a reference is to the instance's. */
  #function(table: WebAssembly.Table, index: number, { referenced }: Continuation): WebAssembly.ImportValue {
    const wanted = referenced.includes(index) ? undefined : this.#facts.imports[index]
    return wanted === undefined ? (table.get(index) as () => unknown) : this.#imports[wanted.module][wanted.name]
  }
}
