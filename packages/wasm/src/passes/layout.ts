/** Where the machine's own imports, globals and functions stand in a rewritten module. */

import type { WasmModule } from '../module/module.ts'
import type { ExceptionKind } from './exceptions.ts'

/** Imported from this module name; guests cannot import from it. */
export const MACHINE_MODULE = 'reprise:machine'
/** In the order of their indices, after the guest's own imports; none has parameters or results. */
export const MACHINE_IMPORTS = ['poll', 'exhausted', 'out_of_memory'] as const

/** After those, in a module that can be captured: (i32 function, i32 site), called by a handler; it throws again. */
export const FRAME_IMPORT = 'frame'

/** In a module that can be captured and has exceptions or references: take an i32, an i64, a function reference. */
export const GIVE_IMPORTS = ['give_i32', 'give_i64', 'give_function'] as const

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

/** An instruction that changes a table, or what is left of an element segment, and that other modules cannot do. */
export interface TableInstruction {
  readonly op: number
  /** Element segment, or table for table.grow. */
  readonly first: number
  /** Table, for table.init. */
  readonly second: number
}

/** What the code of a module does with tables. */
export interface TableUses {
  /** Tables that it can change, ascending. */
  readonly changed: readonly number[]
  readonly elements: Segments
  /** Each once. */
  readonly instructions: readonly TableInstruction[]
  /** The number of one that is the same. */
  readonly indexOf: (instruction: TableInstruction) => number
}

/** What the code of a module uses, as far as it decides what rewriting adds. */
export interface Uses {
  readonly segments: Segments
  readonly tables: TableUses
  /** `undefined`: nothing throws. */
  readonly exceptions: ExceptionKind | undefined
  /** Values of a reference type may be alive anywhere. */
  readonly references: boolean
}

/** An index of what is not there. */
export const NEVER = 0xffff_ffff

export interface Layout {
  readonly poll: number
  readonly exhausted: number
  readonly outOfMemory: number
  /** {@link FRAME_IMPORT}; `undefined`: this module cannot be captured. */
  readonly frame: number | undefined
  /** The first of {@link GIVE_IMPORTS}. */
  readonly giveImports: number
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
  /** A function for each of {@link TableUses.instructions}. */
  readonly tableFunctions: number
  /** There is a table of all functions. */
  readonly hasFunctionTable: boolean
  /** The first of the functions that hand exceptions to the host: one per tag, then one for references. */
  readonly giveTags: number
  readonly fuelGlobal: number
  readonly slotsGlobal: number
  /** The first of the globals that say which of these segments are dropped, a bit each. */
  readonly droppedGlobal: number
  /** The same for element segments. */
  readonly droppedElements: number
  /** Not zero while an exception of the guest is on its way; only with legacy exception handling. */
  readonly raisedGlobal: number | undefined
  /** The first of the globals that handlers leave values in: an i32 and an i64 by turns. */
  readonly stageGlobal: number
  /** The tag of the capture signal; `undefined`: in a module without exceptions nothing else is caught. */
  readonly capturedTag: number | undefined
}

export function layoutOf(module: WasmModule, uses: Uses, capture: boolean): Layout {
  const { segments, tables, exceptions } = uses
  const poll = module.imports.length
  const frame = poll + MACHINE_IMPORTS.length
  const gives = capture && (exceptions !== undefined || uses.references)
  const shift = MACHINE_IMPORTS.length + (capture ? 1 : 0) + (gives ? GIVE_IMPORTS.length : 0)
  const refill = module.functions.length + shift
  const tableFunctions = refill + 3 + 2 * segments.named.length
  const giving = tableFunctions + tables.instructions.length
  const droppedGlobal = module.globals.length + 2
  const droppedElements = droppedGlobal + droppedGlobals(segments)
  const raised = droppedElements + droppedGlobals(tables.elements)
  return {
    poll,
    exhausted: poll + 1,
    outOfMemory: poll + 2,
    frame: capture ? frame : undefined,
    giveImports: gives ? frame + 1 : NEVER,
    shift,
    refill,
    enter: refill + 1,
    grow: refill + 2,
    segments: refill + 3,
    tableFunctions,
    hasFunctionTable: capture || tables.changed.length > 0,
    giveTags: gives ? giving : NEVER,
    readers: giving + (gives ? givingCount(module, exceptions) : 0),
    fuelGlobal: module.globals.length,
    slotsGlobal: module.globals.length + 1,
    droppedGlobal,
    droppedElements,
    raisedGlobal: exceptions === 'legacy' ? raised : undefined,
    stageGlobal: raised + (exceptions === 'legacy' ? 1 : 0),
    capturedTag: capture && exceptions !== undefined ? module.tags.length : undefined,
  }
}

/** Functions from {@link Layout.giveTags} on. */
export function givingCount(module: WasmModule, exceptions: Uses['exceptions']): number {
  return module.tags.length + (exceptions === 'exnref' ? 1 : 0)
}

/** A guest's function index in the rewritten module. */
export function movedFunction(module: WasmModule, layout: Layout, index: number): number {
  return index < module.imports.length ? index : index + layout.shift
}
