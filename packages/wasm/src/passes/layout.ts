/** Where the machine's own imports, globals and functions stand in a rewritten module. */

import type { WasmModule } from '../module/module.ts'

/** Imported from this module name; guests cannot import from it. */
export const MACHINE_MODULE = 'reprise:machine'
/** In the order of their indices, after the guest's own imports; none has parameters or results. */
export const MACHINE_IMPORTS = ['poll', 'exhausted', 'out_of_memory'] as const

/** After those, in a module that can be captured: (i32 function, i32 site), called by a handler; it throws again. */
export const FRAME_IMPORT = 'frame'

/** The data segments that memory.init and data.drop name. */
export interface Segments {
  /** Ascending. */
  readonly named: readonly number[]
  /** Whether code can drop any. */
  readonly dropped: boolean
}

/** Segments whose state one global holds. */
export const SEGMENTS_PER_GLOBAL = 32

export function droppedGlobals({ named, dropped }: Segments): number {
  return dropped ? Math.ceil(named.length / SEGMENTS_PER_GLOBAL) : 0
}

export interface Layout {
  readonly poll: number
  readonly exhausted: number
  readonly outOfMemory: number
  /** {@link FRAME_IMPORT}; `undefined`: this module cannot be captured. */
  readonly frame: number | undefined
  /** What a defined function's index grows by. */
  readonly shift: number
  /** (i32 counter) → i32: writes the counter back, polls, reads it again. */
  readonly refill: number
  /** Called at an entry where the slice or the stack is used up. */
  readonly enter: number
  /** (i32 pages) → i32: memory.grow within the machine's limit. */
  readonly grow: number
  /** For each data segment that code names two functions: memory.init and data.drop. */
  readonly segments: number
  /** The first of the functions that read float and vector globals bit for bit. */
  readonly readers: number
  readonly fuelGlobal: number
  readonly slotsGlobal: number
  /** The first of the globals that say which of these segments are dropped, a bit each. */
  readonly droppedGlobal: number
  /** The first of the globals that handlers leave values in: an i32 and an i64 by turns. */
  readonly stageGlobal: number
}

/** @param segments - How many data segments the code names, and whether it drops any. */
export function layoutOf(module: WasmModule, segments: Segments, capture: boolean): Layout {
  const poll = module.imports.length
  const shift = MACHINE_IMPORTS.length + (capture ? 1 : 0)
  const refill = module.functions.length + shift
  return {
    poll,
    exhausted: poll + 1,
    outOfMemory: poll + 2,
    frame: capture ? poll + MACHINE_IMPORTS.length : undefined,
    shift,
    refill,
    enter: refill + 1,
    grow: refill + 2,
    segments: refill + 3,
    readers: refill + 3 + 2 * segments.named.length,
    fuelGlobal: module.globals.length,
    slotsGlobal: module.globals.length + 1,
    droppedGlobal: module.globals.length + 2,
    stageGlobal: module.globals.length + 2 + droppedGlobals(segments),
  }
}

/** A guest's function index in the rewritten module. */
export function movedFunction(module: WasmModule, layout: Layout, index: number): number {
  return index < module.imports.length ? index : index + layout.shift
}
