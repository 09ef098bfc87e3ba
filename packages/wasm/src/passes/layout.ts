/** Where the machine's own imports, globals and functions stand in a rewritten module. */

import type { WasmModule } from '../module/module.ts'
import type { ValueType } from '../module/opcodes.ts'

/** Imported from this module name; guests cannot import from it. */
export const MACHINE_MODULE = 'reprise:machine'
/** In the order of their indices, after the guest's own imports; none has parameters or results. */
export const MACHINE_IMPORTS = ['poll', 'exhausted', 'out_of_memory'] as const

const times = (count: number): ValueType[] => Array.from({ length: count }, () => 'i32')
/** After those, in a module that can be captured: what hands the values of an activation to the host, and its site. */
export const CAPTURE_IMPORTS: readonly { readonly name: string; readonly params: readonly ValueType[] }[] = [
  { name: 'save_i32', params: times(1) },
  { name: 'save_i32x2', params: times(2) },
  { name: 'save_i32x4', params: times(4) },
  { name: 'save_i32x8', params: times(8) },
  { name: 'save_i64', params: ['i64'] },
  // Bit for bit, and those whose NaNs count as the canonical one.
  { name: 'save_f32', params: ['i32'] },
  { name: 'save_f64', params: ['i64'] },
  { name: 'save_free_f32', params: ['f32'] },
  { name: 'save_free_f64', params: ['f64'] },
  { name: 'save_v128', params: ['i64', 'i64'] },
  { name: 'frame', params: ['i32', 'i32'] },
]

export interface Layout {
  readonly poll: number
  readonly exhausted: number
  readonly outOfMemory: number
  /** The first of {@link CAPTURE_IMPORTS}; `undefined`: this module cannot be captured. */
  readonly capture: number | undefined
  /** What a defined function's index grows by. */
  readonly shift: number
  /** (i32 counter) → i32: writes the counter back, polls, reads it again. */
  readonly refill: number
  /** Called at an entry where the slice or the stack is used up. */
  readonly enter: number
  /** (i32 pages) → i32: memory.grow within the machine's limit. */
  readonly grow: number
  /** The first of the functions that read float and vector globals bit for bit. */
  readonly readers: number
  readonly fuelGlobal: number
  readonly slotsGlobal: number
}

export function layoutOf(module: WasmModule, capture: boolean): Layout {
  const poll = module.imports.length
  const shift = MACHINE_IMPORTS.length + (capture ? CAPTURE_IMPORTS.length : 0)
  const refill = module.functions.length + shift
  return {
    poll,
    exhausted: poll + 1,
    outOfMemory: poll + 2,
    capture: capture ? poll + MACHINE_IMPORTS.length : undefined,
    shift,
    refill,
    enter: refill + 1,
    grow: refill + 2,
    readers: refill + 3,
    fuelGlobal: module.globals.length,
    slotsGlobal: module.globals.length + 1,
  }
}

/** A guest's function index in the rewritten module. */
export function movedFunction(module: WasmModule, layout: Layout, index: number): number {
  return index < module.imports.length ? index : index + layout.shift
}
