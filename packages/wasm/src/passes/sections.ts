/** The sections that rewriting changes, and the functions it adds (spec/wasm-machine.md §8). */

import { Cursor } from '../module/cursor.ts'
import { type ByteRange, SECTION, type WasmModule } from '../module/module.ts'
import { type NumericType, OP, type ValueType, VALUE_TYPES } from '../module/opcodes.ts'
import { ByteSink } from '../module/sink.ts'
import type { ChangedTable } from './rewrite.ts'
import { writeLane } from './snippets.ts'
import { tableFunction } from './table-uses.ts'
import { givingFunctions } from './exceptions.ts'
import { movedFunction, NEVER, SEGMENTS_PER_GLOBAL, type Layout, type Segments, type Uses } from './layout.ts'

export const FUEL_EXPORT = 'reprise:fuel'
export const MEMORY_EXPORT = 'reprise:memory'
export const START_EXPORT = 'reprise:start'

export const SLOTS_EXPORT = 'reprise:slots'
/** Drops the data segments that the globals say are dropped. */
export const DROP_EXPORT = 'reprise:drop'
export const FUNCTIONS_EXPORT = 'reprise:functions'

/** One of the globals that handlers leave values in. */
export function stageExport(index: number): string {
  return `reprise:stage:${index}`
}

export function tableExport(index: number): string {
  return `reprise:table:${index}`
}

/** Every global of the guest as it is, for modules that go on with it. */
export function cellExport(index: number): string {
  return `reprise:cell:${index}`
}

export function tagExport(index: number): string {
  return `reprise:tag:${index}`
}

/** The tag of the capture signal. */
export const CAPTURED_EXPORT = 'reprise:captured'
export const RAISED_EXPORT = 'reprise:raised'

/** A function that sets a mutable global from its bits: an i32, an i64, or two i64 for v128. */
export function setterExport(index: number): string {
  return `reprise:set:${index}`
}

/** Integers are exported as globals; floats and vectors as functions that give their bits (two i64 for v128). */
export function globalExport(index: number): string {
  return `reprise:global:${index}`
}

export interface Synthesized {
  readonly params: readonly ValueType[]
  readonly results: readonly ValueType[]
  /** Locals and instructions, as the code section has them without the size. */
  readonly code: Uint8Array
}

interface ReadableGlobal {
  readonly index: number
  readonly type: NumericType
}

const EMPTY_BLOCK_TYPE = 0x40

interface Wanted {
  readonly globals: readonly ReadableGlobal[]
  readonly maxPages: number | undefined
  readonly tables: readonly ChangedTable[]
  readonly types: { index(params: readonly ValueType[], results: readonly ValueType[]): number }
}

/** The functions of {@link Layout}: refill, enter, grow, then one reader per float or vector global. */
export function synthesize(
  module: WasmModule,
  layout: Layout,
  { segments, tables, exceptions }: Uses,
  { globals, maxPages, tables: limits, types }: Wanted,
): Synthesized[] {
  const { fuelGlobal: fuel, slotsGlobal: slots, poll, exhausted } = layout
  const negative = (code: ByteSink, global: number, callee: number): ByteSink =>
    code
      .u8(OP.globalGet)
      .unsigned(global)
      .u8(OP.i32Const)
      .signed(0)
      .u8(OP.i32LtS)
      .u8(OP.if)
      .u8(EMPTY_BLOCK_TYPE)
      .u8(OP.call)
      .unsigned(callee)
      .u8(OP.end)
  const refill = new ByteSink(32).u8(0).u8(OP.localGet).unsigned(0).u8(OP.globalSet).unsigned(fuel)
  refill.u8(OP.call).unsigned(poll).u8(OP.globalGet).unsigned(fuel).u8(OP.end)
  const enter = negative(negative(new ByteSink(32).u8(0), slots, exhausted), fuel, poll).u8(OP.end)
  return [
    { params: ['i32'], results: ['i32'], code: refill.done() },
    { params: [], results: [], code: enter.done() },
    { params: ['i32'], results: ['i32'], code: growCode(layout, maxPages) },
    ...segments.named.flatMap((segment, i) => segmentFunctions(layout, segments, segment, i)),
    ...tables.instructions.map((instruction) =>
      tableFunction(instruction, layout, limits, (code, segment) =>
        writeDropped(code, layout.droppedElements, tables.elements.named.indexOf(segment)),
      ),
    ),
    ...(layout.giveTags === NEVER || exceptions === undefined
      ? []
      : givingFunctions(module, layout, exceptions, (results) => types.index([], results))),
    ...globals.filter(({ type }) => !isInteger(type)).map((global) => reader(global)),
    ...(segments.dropped || tables.elements.dropped ? [dropAgain(layout, segments, tables.elements)] : []),
    ...(layout.frame === undefined ? [] : globals.map((global) => setter(global))),
  ]
}

/** A host without memory is a failure of the host; only the machine's limit may answer -1. */
function growCode(layout: Layout, maxPages: number | undefined): Uint8Array {
  const code = new ByteSink(64)
  if (maxPages === undefined) return code.u8(0).u8(OP.unreachable).u8(OP.end).done()
  code.u8(0)
  code.u8(OP.localGet).unsigned(0).u8(OP.i32Const).signed(maxPages).u8(OP.memorySize).u8(0).u8(OP.i32Sub)
  code.u8(OP.i32GtU).u8(OP.if).u8(EMPTY_BLOCK_TYPE).u8(OP.i32Const).signed(-1).u8(OP.return).u8(OP.end)
  code.u8(OP.localGet).unsigned(0).u8(OP.memoryGrow).u8(0).u8(OP.localTee).unsigned(0)
  code.u8(OP.i32Const).signed(-1).u8(OP.i32Eq).u8(OP.if).u8(EMPTY_BLOCK_TYPE)
  code.u8(OP.call).unsigned(layout.outOfMemory).u8(OP.end)
  return code.u8(OP.localGet).unsigned(0).u8(OP.end).done()
}

/** memory.init and data.drop, for code in other modules; dropping is noted, so that it is part of the state. */
function segmentFunctions(layout: Layout, { dropped }: Segments, segment: number, i: number): Synthesized[] {
  const init = new ByteSink(32).u8(0)
  for (let local = 0; local < 3; local++) init.u8(OP.localGet).unsigned(local)
  init
    .raw([0xfc, OP.memoryInit - 0x100])
    .unsigned(segment)
    .u8(0)
    .u8(OP.end)
  const drop = new ByteSink(32)
    .u8(0)
    .raw([0xfc, OP.dataDrop - 0x100])
    .unsigned(segment)
  if (dropped) writeDropped(drop, layout.droppedGlobal, i)
  return [
    { params: ['i32', 'i32', 'i32'], results: [], code: init.done() },
    { params: [], results: [], code: drop.u8(OP.end).done() },
  ]
}

/** Notes that a segment is dropped. */
function writeDropped(code: ByteSink, firstGlobal: number, i: number): void {
  const { global, bit } = droppedBit(firstGlobal, i)
  code.u8(OP.globalGet).unsigned(global).u8(OP.i32Const).signed(bit).u8(OP.i32Or).u8(OP.globalSet).unsigned(global)
}

function droppedBit(firstGlobal: number, i: number): { global: number; bit: number } {
  return { global: firstGlobal + Math.floor(i / SEGMENTS_PER_GLOBAL), bit: 1 << (i % SEGMENTS_PER_GLOBAL) }
}

/** Drops the segments that the globals say are dropped. */
function dropAgain(layout: Layout, data: Segments, elements: Segments): Synthesized {
  const code = new ByteSink(256).u8(0)
  const all = [
    { segments: data, firstGlobal: layout.droppedGlobal, op: OP.dataDrop },
    { segments: elements, firstGlobal: layout.droppedElements, op: OP.elemDrop },
  ]
  for (const { segments, firstGlobal, op } of all) {
    if (!segments.dropped) continue
    for (const [i, segment] of segments.named.entries()) {
      const { global, bit } = droppedBit(firstGlobal, i)
      code.u8(OP.globalGet).unsigned(global).u8(OP.i32Const).signed(bit).u8(OP.i32And).u8(OP.if).u8(EMPTY_BLOCK_TYPE)
      code
        .raw([0xfc, op - 0x100])
        .unsigned(segment)
        .u8(OP.end)
    }
  }
  return { params: [], results: [], code: code.u8(OP.end).done() }
}

function isInteger(type: NumericType): boolean {
  return type === 'i32' || type === 'i64'
}

function reader({ index, type }: ReadableGlobal): Synthesized {
  const code = new ByteSink(32).u8(0).u8(OP.globalGet).unsigned(index)
  if (type === 'f32') return { params: [], results: ['i32'], code: code.u8(OP.i32ReinterpretF32).u8(OP.end).done() }
  if (type === 'f64') return { params: [], results: ['i64'], code: code.u8(OP.i64ReinterpretF64).u8(OP.end).done() }
  writeLane(code, 0)
  writeLane(code.u8(OP.globalGet).unsigned(index), 1)
  return { params: [], results: ['i64', 'i64'], code: code.u8(OP.end).done() }
}

function setter({ index, type }: ReadableGlobal): Synthesized {
  const code = new ByteSink(32).u8(0).u8(OP.localGet).unsigned(0)
  if (type === 'f32') code.u8(OP.f32ReinterpretI32)
  else if (type === 'f64') code.u8(OP.f64ReinterpretI64)
  else if (type === 'v128') {
    code
      .u8(0xfd)
      .unsigned(OP.i64x2Splat - 0x200)
      .u8(OP.localGet)
      .unsigned(1)
    code
      .u8(0xfd)
      .unsigned(OP.i64x2ReplaceLane - 0x200)
      .u8(1)
  }
  const params: ValueType[] = type === 'v128' ? ['i64', 'i64'] : type === 'i32' || type === 'f32' ? ['i32'] : ['i64']
  return { params, results: [], code: code.u8(OP.globalSet).unsigned(index).u8(OP.end).done() }
}

/** The guest's tables, and one more that holds all functions. */
export function writeTables(out: ByteSink, module: WasmModule, functions: number): void {
  const range = module.sections.get(SECTION.table)
  out.unsigned(module.tables.length + 1)
  if (range !== undefined) {
    const cursor = new Cursor(module.bytes, range.start, range.end)
    cursor.u32()
    out.copy(module.bytes, cursor.at, range.end)
  }
  out.u8(0x70).u8(1).unsigned(functions).unsigned(functions)
}

/** The guest's element segments, then the one that fills the table of all functions. */
export function writeElements(out: ByteSink, module: WasmModule, layout: Layout, functions: number): void {
  const range = module.sections.get(SECTION.element)
  const cursor = new Cursor(module.bytes, range?.start ?? 0, range?.end ?? 0)
  out.unsigned((range === undefined ? 0 : cursor.u32()) + 1)
  if (range !== undefined) copyMoved(out, module, layout, SECTION.element, { start: cursor.at, end: range.end })
  out.u8(2).unsigned(module.tables.length).u8(OP.i32Const).signed(0).u8(OP.end).u8(0).unsigned(functions)
  for (let index = 0; index < functions; index++) out.unsigned(index)
}

/** Copies a section, with the function indices in it moved. */
export function writeMoved(out: ByteSink, module: WasmModule, layout: Layout, id: number): void {
  const range = module.sections.get(id)
  if (range !== undefined) copyMoved(out, module, layout, id, range)
}

function copyMoved(out: ByteSink, module: WasmModule, layout: Layout, id: number, { start, end }: ByteRange): void {
  let at = start
  for (const reference of module.functionReferences) {
    if (reference.section !== id) continue
    out.copy(module.bytes, at, reference.range.start).unsigned(movedFunction(module, layout, reference.index))
    at = reference.range.end
  }
  out.copy(module.bytes, at, end)
}

/** The guest's globals, then the fuel counter (0: the host fills it before anything runs) and the free slots. */
export function writeGlobals(
  out: ByteSink,
  module: WasmModule,
  layout: Layout,
  { stackLimitSlots, stageSize }: { readonly stackLimitSlots: number; readonly stageSize: number },
): void {
  const range = module.sections.get(SECTION.global)
  // With the one that says whether an exception is on its way.
  const flags = layout.stageGlobal - layout.droppedGlobal
  out.unsigned(module.globals.length + 2 + flags + stageSize)
  if (range !== undefined) {
    const cursor = new Cursor(module.bytes, range.start, range.end)
    cursor.u32() // their number, which was written above
    copyMoved(out, module, layout, SECTION.global, { start: cursor.at, end: range.end })
  }
  for (const initial of [0, stackLimitSlots, ...Array.from({ length: flags }, () => 0)])
    out.u8(0x7f).u8(1).u8(OP.i32Const).signed(initial).u8(OP.end)
  for (let i = 0; i < stageSize; i++) {
    const [type, constant] = i % 2 === 0 ? [VALUE_TYPES.i32, OP.i32Const] : [VALUE_TYPES.i64, OP.i64Const]
    out.u8(type).u8(1).u8(constant).signed(0).u8(OP.end)
  }
}

const encoder = new TextEncoder()

export function writeExports(
  out: ByteSink,
  module: WasmModule,
  layout: Layout,
  globals: readonly ReadableGlobal[],
  stageSize: number,
): void {
  const rows: [name: string, kind: number, index: number][] = module.exports.map(({ name, kind, index }) => [
    name,
    kind,
    kind === 0 ? movedFunction(module, layout, index) : index,
  ])
  rows.push([FUEL_EXPORT, 3, layout.fuelGlobal])
  if (module.memory !== undefined) rows.push([MEMORY_EXPORT, 2, 0])
  if (module.start !== undefined) rows.push([START_EXPORT, 0, movedFunction(module, layout, module.start)])
  if (layout.hasFunctionTable) {
    rows.push([FUNCTIONS_EXPORT, 1, module.tables.length])
    for (const index of module.tables.keys()) rows.push([tableExport(index), 1, index])
  }
  if (layout.frame !== undefined) {
    rows.push([SLOTS_EXPORT, 3, layout.slotsGlobal])
    for (let i = 0; i < stageSize; i++) rows.push([stageExport(i), 3, layout.stageGlobal + i])
    for (const index of module.globals.keys()) rows.push([cellExport(index), 3, index])
    for (const index of module.tags.keys()) rows.push([tagExport(index), 4, index])
    if (layout.capturedTag !== undefined) rows.push([CAPTURED_EXPORT, 4, layout.capturedTag])
    if (layout.raisedGlobal !== undefined) rows.push([RAISED_EXPORT, 3, layout.raisedGlobal])
  }
  let readers = layout.readers
  for (const { index, type } of globals) {
    rows.push(isInteger(type) ? [globalExport(index), 3, index] : [globalExport(index), 0, readers++])
  }
  if ((layout.raisedGlobal ?? layout.stageGlobal) > layout.droppedGlobal) rows.push([DROP_EXPORT, 0, readers++])
  if (layout.frame !== undefined) {
    let setters = readers
    for (const { index } of globals) rows.push([setterExport(index), 0, setters++])
  }
  out.unsigned(rows.length)
  for (const [name, kind, index] of rows) out.vector(encoder.encode(name)).u8(kind).unsigned(index)
}
