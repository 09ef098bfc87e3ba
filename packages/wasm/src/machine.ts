/**
 * Runs a rewritten module: hands out fuel slices, stops at positions, and turns every end into an outcome.
 *
 * Synchronous and free of Node: the same code runs in a worker and in a page. Rules: spec/wasm-machine.md §5 (fuel and
 * positions), §9 (stops and outcomes).
 */

import { fromUtf8 } from '@reprise/core'
import { FrameCollector, type Given, Resumption } from './activations.ts'
import { WasmError } from './error.ts'
import { captureSignal, globalBits, Unwind } from './guest-values.ts'
import { translated, unknownTrap } from './host-failure.ts'
import type { NumericType } from './module/opcodes.ts'
import { CHECKPOINT, REPRISE_MODULE } from './module/wasi-names.ts'
import type { Continuations } from './passes/continuations.ts'
import type { HostImport } from './passes/gate.ts'
import { GIVE_IMPORTS, MACHINE_MODULE } from './passes/layout.ts'
import type { ModuleFacts } from './passes/rewrite.ts'
import { DROP_EXPORT, FUEL_EXPORT, globalExport, MEMORY_EXPORT, setterExport, START_EXPORT } from './passes/sections.ts'
import type { Activations } from './state/frames.ts'
import { References } from './references.ts'
import { type TrapReason, trapReason } from './trap.ts'

export { WORKER_STACK_MB } from './host-failure.ts'

/** A slice never holds more fuel, so that no charge can wrap the 32-bit counter. */
export const SLICE_MAX = 1n << 30n
const UNCAUGHT = 'an exception that nothing catches'
/** Bytes of UTF-8 that `reprise.checkpoint` takes. */
export const LABEL_BYTES_MAX = 1024
const ENOSYS = 52
const PAGE_BYTES = 0x1_0000

export interface GlobalState {
  readonly type: NumericType
  /** The exact bits, as an unsigned integer of the type's width. */
  readonly bits: bigint
}

export interface Guest {
  /** Fuel used so far; exact at stops and during host calls. */
  position(): bigint
  /** A fresh view: memory.grow detaches older ones. Empty for a module without memory. */
  memory(): Uint8Array<ArrayBuffer>
  memoryPages(): number
  /** The mutable globals, in the order of their indices, and what else of the module can change (spec §8.3). */
  globals(): readonly GlobalState[]
  /** During a host call: stop with this label as soon as the call returns. */
  requestCheckpoint(label: string): void
}

/** Where the guest pauses and may be measured. */
export type Stop =
  | { readonly kind: 'due'; readonly position: bigint }
  | { readonly kind: 'requested'; readonly position: bigint; readonly label: string }

/** How the run ended. The position of a trap is that of the last host call or stop. */
export type GuestStop =
  | { readonly kind: 'exited'; readonly position: bigint; readonly code: number }
  | { readonly kind: 'trapped'; readonly position: bigint; readonly reason: TrapReason; readonly message: string }
  | { readonly kind: 'suspended'; readonly position: bigint }

/** A memory that need not be there as a whole: it may have 4 GiB, most of them zero. */
export interface SavedMemory {
  readonly lengthBytes: number
  /** @param memory - Of this length, and all zero. */
  readonly copyTo: (memory: Uint8Array) => void
}

/** A captured guest: what it takes to go on, besides the state of the host. */
export interface Snapshot {
  readonly activations: Activations
  /** Whole pages. */
  readonly memory: Uint8Array | SavedMemory
  /** As {@link Guest.globals} gave them. */
  readonly globals: readonly GlobalState[]
  readonly position: bigint
}

// Host functions take numbers and bigints as WebAssembly passes them.
export type HostFunction = (...values: never[]) => unknown

export interface GuestOptions {
  readonly module: WebAssembly.Module
  readonly facts: ModuleFacts
  /** The module writes no data into its memory when it is instantiated (`dataOf`): only for a guest that begins `from` somewhere. */
  readonly isEmptied?: boolean
  /** Called once per import when linking; `undefined` answers every call with ENOSYS. */
  readonly hostImport: (moduleName: string, name: string) => HostFunction | undefined
  /** The position of the next wanted stop; asked before the guest starts and after every stop. */
  readonly nextDue: () => bigint
  /** After instantiation, before the guest's first instruction: position 0. */
  readonly onReady: (guest: Guest) => void
  /**
   * `capture` leads to `onCapture`. At a requested stop only of a module that was rewritten with `lookout`, and then the
   * guest cannot go on.
   */
  readonly onStop: (stop: Stop, guest: Guest) => 'go' | 'suspend' | 'capture'
  /** Needed to capture and to continue: of the same module, rewritten with `capture`. */
  readonly continuations?: Continuations
  /** The guest has been left at the position of the stop; `go` continues it. */
  readonly onCapture?: (activations: Activations, guest: Guest) => 'go' | 'suspend'
  /** Where the guest begins; `onReady` comes when all of it is in place. The state of the host is the caller's. */
  readonly from?: Snapshot
  /** The exit code, if a host function threw this to end the guest. */
  readonly isExit: (thrown: unknown) => number | undefined
}

/**
 * Runs a guest to its end or suspension.
 *
 * @throws {@link WasmError} `HOST_STACK`, `HOST_MEMORY`, `HOST_TRAP`, `COMPILE` when the host fails the guest; and
 * whatever a host function throws that is no exit.
 */
export function runGuest(options: GuestOptions): GuestStop {
  return new Machine(options).run()
}

class Machine implements Guest {
  readonly #options: GuestOptions
  readonly #exports: WebAssembly.Exports
  readonly #fuel: WebAssembly.Global<'i32'>
  readonly #references: References
  readonly #collector: FrameCollector | undefined
  readonly #resumption: Resumption | undefined
  #phase: Activations['phase'] = 'start'
  /** Position that belongs to a counter of zero. */
  #base = 0n
  /** Counter at the last host call or stop. */
  #seenFuel = 0
  #due = 0n
  #label: string | undefined
  /** The capture signal. In a module with exceptions of its own handlers catch its tag only, in others whatever comes. */
  readonly #signal: Error
  /** What a host function threw, on its way out of the guest. */
  #thrown: unknown
  #threw = false

  constructor(options: GuestOptions) {
    this.#options = options
    if (options.isEmptied === true && options.from === undefined) throw new Error('a guest without its data begins')
    const imports = this.#imports()
    let instance: WebAssembly.Instance
    try {
      instance = new WebAssembly.Instance(options.module, imports)
    } catch (error) {
      throw translated(error)
    }
    this.#exports = instance.exports
    this.#fuel = this.#exports[FUEL_EXPORT] as WebAssembly.Global<'i32'>
    const { continuations, facts } = options
    this.#signal = captureSignal(this.#exports)
    this.#references = new References(this.#exports, facts)
    if (continuations !== undefined) {
      this.#collector = new FrameCollector(continuations, instance.exports, this.#references)
      this.#resumption = new Resumption(continuations, instance, facts, imports, this.#references)
    }
  }

  run(): GuestStop {
    const { onReady, onCapture, from } = this.#options
    if (from !== undefined) this.#restore(from)
    onReady(this)
    let activations = from?.activations
    for (;;) {
      try {
        this.#refill()
        this.#execute(activations)
        return { kind: 'exited', position: this.position(), code: 0 }
      } catch (error) {
        if (error !== this.#signal) return this.#ended(error)
        this.#threw = false
        activations = { phase: this.#phase, frames: this.#collector?.take() ?? [] }
        if (onCapture?.(activations, this) !== 'go') {
          return { kind: 'suspended', position: this.position() }
        }
      }
    }
  }

  #execute(activations: Activations | undefined): void {
    if (activations !== undefined) {
      if (this.#resumption === undefined) throw new Error('broken invariant: what was captured can be continued')
      this.#resumption.run(activations)
      if (this.#phase === 'command') return
    } else if (this.#options.facts.hasStart) this.#call(START_EXPORT)
    this.#phase = 'command'
    this.#call('_start')
  }

  #ended(error: unknown): GuestStop {
    if (error instanceof Unwind && error.end !== 'captured') {
      return error.end === 'suspended'
        ? { kind: 'suspended', position: this.position() }
        : this.#trapped(error.end, error.message)
    }
    const code = this.#options.isExit(error)
    if (code !== undefined) return { kind: 'exited', position: this.position(), code }
    if (error instanceof WebAssembly.Exception) return this.#trapped('uncaught-exception', UNCAUGHT)
    if (!(error instanceof WebAssembly.RuntimeError)) throw translated(error)
    const reason = trapReason(error.message)
    if (reason === undefined) throw unknownTrap(error)
    return this.#trapped(reason, error.message)
  }

  #restore({ activations, memory, globals, position }: Snapshot): void {
    const { facts } = this.#options
    const fits =
      globals.length >= facts.globals.length &&
      globals.every(({ type }, i) => type === (facts.globals[i]?.type ?? 'i32'))
    const pages = (memory instanceof Uint8Array ? memory.length : memory.lengthBytes) / PAGE_BYTES
    const { minPages = 0, maxPages = 0 } = facts.memory ?? {}
    if (!fits || !Number.isInteger(pages) || pages < minPages || pages > maxPages || this.#resumption === undefined) {
      throw new WasmError('SNAPSHOT', { message: 'The snapshot does not fit the module: other globals or memory.' })
    }
    try {
      const exported = this.#exports[MEMORY_EXPORT] as WebAssembly.Memory | undefined
      if (exported !== undefined && pages > minPages) exported.grow(pages - minPages)
    } catch (error) {
      throw translated(error)
    }
    if (memory instanceof Uint8Array) this.memory().set(memory)
    else {
      // The module's own data lies there; what was added just now is zero.
      if (this.#options.isEmptied !== true) this.memory().fill(0, 0, minPages * PAGE_BYTES)
      memory.copyTo(this.memory())
    }
    for (const [i, { index }] of facts.globals.entries()) {
      const { type, bits } = globals[i]
      const set = this.#exports[setterExport(index)] as (...values: (number | bigint)[]) => void
      if (type === 'v128') set(BigInt.asIntN(64, bits), BigInt.asIntN(64, bits >> 64n))
      else set(type === 'i32' || type === 'f32' ? Number(bits) | 0 : BigInt.asIntN(64, bits))
    }
    if (!this.#references.restoreTables(globals.slice(facts.globals.length).map(({ bits }) => bits))) {
      throw new WasmError('SNAPSHOT', { message: 'The snapshot does not fit the module: other tables.' })
    }
    ;(this.#exports[DROP_EXPORT] as (() => void) | undefined)?.()
    this.#phase = activations.phase
    this.#base = position
    this.#fuel.value = 0
  }

  position(): bigint {
    return this.#base - BigInt(this.#fuel.value)
  }

  memory(): Uint8Array<ArrayBuffer> {
    const memory = this.#exports[MEMORY_EXPORT]
    return memory instanceof WebAssembly.Memory ? new Uint8Array(memory.buffer) : new Uint8Array()
  }

  memoryPages(): number {
    return this.memory().length / PAGE_BYTES
  }

  globals(): readonly GlobalState[] {
    const globals = this.#options.facts.globals.map(({ index, type }): GlobalState => ({
      type,
      bits: globalBits(type, this.#exports[globalExport(index)]),
    }))
    for (const bits of this.#references.tableBits()) globals.push({ type: 'i32', bits })
    return globals
  }

  requestCheckpoint(label: string): void {
    this.#label = label
  }

  #call(name: string): void {
    ;(this.#exports[name] as () => void)()
  }

  #trapped(reason: TrapReason, message: string): GuestStop {
    return { kind: 'trapped', position: this.#base - BigInt(this.#seenFuel), reason, message }
  }

  /** A new slice, so that the counter first falls below zero at the first site at or after the next due position. */
  #refill(): void {
    this.#due = this.#options.nextDue()
    this.#slice()
  }

  #slice(): void {
    const position = this.position()
    const wanted = this.#due - 1n - position
    const slice = wanted < -1n ? -1n : wanted > SLICE_MAX ? SLICE_MAX : wanted
    this.#base = position + slice
    this.#fuel.value = this.#seenFuel = Number(slice)
  }

  #stop(stop: Stop): void {
    this.#seenFuel = this.#fuel.value
    const answer = this.#options.onStop(stop, this)
    if (answer === 'suspend') throw new Unwind('suspended')
    if (answer === 'capture') {
      const { continuations } = this.#options
      if (continuations === undefined || (stop.kind !== 'due' && !continuations.lookout)) {
        throw new Error('this stop cannot be captured')
      }
      throw this.#signal
    }
    this.#refill()
  }

  #poll(): void {
    const position = this.position()
    if (position >= this.#due) this.#stop({ kind: 'due', position })
    else this.#slice()
  }

  #imports(): WebAssembly.Imports {
    const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {
      [MACHINE_MODULE]: {
        poll: this.#remembering(() => this.#poll()),
        frame: (functionIndex: number, site: number) => this.#leave(functionIndex, site),
        exhausted: this.#remembering(() => {
          throw new Unwind('stack-exhausted')
        }),
        out_of_memory: this.#remembering(() => {
          throw new WasmError('HOST_MEMORY', {
            message: 'The host has no memory for the guest, within the limit that the computation allows.',
            hint: 'Run it on a host with more free memory, or lower the memory limit (which changes the computation).',
          })
        }),
      },
    }
    for (const name of GIVE_IMPORTS) imports[MACHINE_MODULE][name] = (value: Given) => this.#collector?.give(value)
    for (const wanted of this.#options.facts.imports) {
      imports[wanted.module] ??= {}
      imports[wanted.module][wanted.name] = this.#hostCall(this.#hostFunction(wanted))
    }
    return imports
  }

  /** Notes what is thrown, for {@link #leave}. */
  #remembering(call: (...values: unknown[]) => unknown): (...values: unknown[]) => unknown {
    return (...values) => {
      try {
        return call(...values)
      } catch (error) {
        this.#thrown = error
        this.#threw = true
        throw error
      }
    }
  }

  /** Called by the handlers, whatever they have caught: it has to go on. */
  #leave(functionIndex: number, site: number): never {
    const thrown = this.#thrown
    if (thrown === this.#signal) this.#collector?.add(functionIndex, site)
    if (this.#threw) throw thrown
    // The engine alone throws unseen: when its stack runs out.
    throw new RangeError('Maximum call stack size exceeded')
  }

  #hostFunction({ module, name, signature }: HostImport): HostFunction {
    const given = this.#options.hostImport(module, name)
    if (given !== undefined) return given
    if (module === REPRISE_MODULE && name === CHECKPOINT.name) return this.#checkpoint
    const results = signature.slice(signature.indexOf('>') + 1)
    const error = results.split('').map((type) => (type === 'I' ? BigInt(ENOSYS) : ENOSYS))
    const answer = error.length > 1 ? error : error[0]
    return () => answer
  }

  /** Around every host call: notes the position, and stops after it when the call asked for a checkpoint. */
  #hostCall(call: HostFunction): HostFunction {
    const target = call as (...values: unknown[]) => unknown
    return this.#remembering((...values) => {
      this.#seenFuel = this.#fuel.value
      const result = target(...values)
      if (this.#label !== undefined) {
        const label = this.#label
        this.#label = undefined
        this.#stop({ kind: 'requested', position: this.position(), label })
      }
      return result
    })
  }

  readonly #checkpoint = (at: number, lengthBytes: number): void => {
    const start = at >>> 0
    const length = lengthBytes >>> 0
    const memory = this.memory()
    if (length > LABEL_BYTES_MAX || start + length > memory.length) throw new Unwind('invalid-checkpoint-label')
    try {
      this.#label = fromUtf8(memory.slice(start, start + length))
    } catch {
      throw new Unwind('invalid-checkpoint-label')
    }
  }
}
