/**
 * Makes a WASI command deterministic and stoppable: semantics `wasm/1`, spec/wasm-machine.md.
 *
 * Two passes over the code: the first decodes every function, sees how high its operands stack, and builds
 * the call graph; the second writes.
 */

import { addTypeEdges, analyseCalls, typeNodes, type CallGraph } from '../analysis/call-graph.ts'
import { ACTIVATION_SLOTS } from '../analysis/cuts.ts'
import { Edges } from '../analysis/edges.ts'
import { Operands } from '../analysis/operands.ts'
import { WasmError } from '../error.ts'
import { Body } from '../module/body.ts'
import { USES } from '../module/body-parts.ts'
import { readModule, SECTION, unsupported, type FunctionType, type WasmModule } from '../module/module.ts'
import { describeFunction } from '../module/names.ts'
import { isNumeric, OP, VALUE_TYPES, type NumericType, type ValueType } from '../module/opcodes.ts'
import { ByteSink } from '../module/sink.ts'
import type { CounterPlace } from './fuel.ts'
import { FunctionWriter } from './function.ts'
import { checkImports, type HostImport } from './gate.ts'
import type { BranchHints } from './hints.ts'
import {
  droppedGlobals,
  FRAME_IMPORT,
  layoutOf,
  MACHINE_IMPORTS,
  MACHINE_MODULE,
  GIVE_IMPORTS,
  type Layout,
  NEVER,
  type Uses,
} from './layout.ts'
import type { Statistics } from './parts.ts'
import {
  writeElements,
  writeExports,
  writeGlobals,
  writeMoved,
  writeTables,
  type Synthesized,
  synthesize,
} from './sections.ts'
import { TableUseCollector } from './table-uses.ts'
import { TailCalls } from './tail-calls.ts'

export interface RewriteOptions {
  /** `canonical`: every NaN that the guest can see has one bit pattern; `host`: the engine's own. */
  readonly floats: 'canonical' | 'host'
  readonly stackLimitSlots: number
  /** 64 KiB each, at most 65,536. */
  readonly memoryLimitPages: number
  /** False leaves out fuel and the stack limit: only to measure what they cost. */
  readonly fuel?: boolean
  /** True: the guest can be captured at any poll, and continued from there. Changes no position and no state. */
  readonly capture?: boolean
  /** With `capture`: the guest can also be left in any host call, to be looked at; it cannot be continued from there. */
  readonly lookout?: boolean
}

export interface MutableGlobal {
  readonly index: number
  readonly type: NumericType
}

/** A table that code can change. */
export interface ChangedTable {
  readonly index: number
  readonly minEntries: number
  /** Holds the machine's limit already. */
  readonly maxEntries: number
}

/** What the host has to know of a rewritten module; plain JSON. */
export interface ModuleFacts {
  readonly imports: readonly HostImport[]
  readonly exports: readonly string[]
  readonly globals: readonly MutableGlobal[]
  /** Tables that code can change. */
  readonly tables: readonly ChangedTable[]
  /** Of the original module; in the rewritten one the index of each that is not imported is greater by `shift`. */
  readonly functions: { readonly count: number; readonly shift: number }
  /** Absent in a module without memory. `maxPages` holds the limit already. */
  readonly memory?: { readonly minPages: number; readonly maxPages: number }
  /** The module has a start function; the machine calls it right before `_start`. */
  readonly hasStart: boolean
  readonly statistics: Readonly<Statistics> & { readonly canonicalised: number }
}

export interface Rewritten {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly facts: ModuleFacts
}

/**
 * @param bytes - A WASI command module.
 * @throws {@link WasmError} when it is none, or uses what `wasm/1` leaves out; the message says what and where.
 */
export function rewrite(bytes: Uint8Array, options: RewriteOptions): Rewritten {
  return rewriteWith(bytes, options, 'measured')
}

/**
 * What the reader has no need of is not looked at, and may be lost: then a program that every other engine refuses would run
 * here. The engine knows all the rules, and needs a tenth of the time of rewriting for them.
 */
function checkValid(bytes: Uint8Array): void {
  if (WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) return
  throw new WasmError('MALFORMED', {
    message: 'the program breaks a rule of WebAssembly: types, operands or indices that do not fit',
    hint: 'wasm-validate or another engine says where; build it again, or fetch it again',
  })
}

/** `rewrite` with the counter's place chosen: tests compare them, as no position may depend on it. */
export function rewriteWith(bytes: Uint8Array, options: RewriteOptions, counter: CounterPlace): Rewritten {
  const module = readModule(bytes)
  const imports = checkImports(module)
  const memory = limitMemory(module, options.memoryLimitPages)
  const body = new Body()
  const { graph, uses } = readCode(module, body)
  checkValid(bytes)
  const { segments, exceptions } = uses
  const layout = layoutOf(module, uses, options.capture ?? false)

  const types = new TypeTable(module)
  const globals = module.globals.flatMap(({ type, mutable }, index) => (mutable ? [{ index, type }] : []))
  const dropped = droppedGlobals(segments) + droppedGlobals(uses.tables.elements)
  for (let i = 0; i < dropped; i++) globals.push({ index: layout.droppedGlobal + i, type: 'i32' })
  const tables = limitTables(module, uses)
  const synthesized = synthesize(module, layout, uses, { globals, maxPages: memory?.maxPages, tables, types })
  const code = new ByteSink(Math.ceil(1.25 * bytes.length) + 1024)
  code.unsigned(module.bodies.length + synthesized.length)
  const writer = new FunctionWriter({
    sink: code,
    module,
    layout,
    graph,
    options: { floats: options.floats, fuel: options.fuel ?? true, counter, lookout: options.lookout ?? false },
    exceptions,
    body,
    typeIndex: (params, results) => types.index(params, results),
    segmentFunction: (op, segment) =>
      op === OP.dataDrop ? layout.segments + 2 * segments.named.indexOf(segment) + 1 : undefined,
    tableFunction: (instruction) =>
      instruction.op === OP.tableInit ? undefined : layout.tableFunctions + uses.tables.indexOf(instruction),
  })
  for (let f = module.imports.length; f < module.functions.length; f++) writer.write(f)
  for (const { code: bytesOfBody } of synthesized) code.vector(bytesOfBody)

  const { hints, stageSize } = writer
  return {
    bytes: assemble({ module, layout, types, synthesized, globals, memory, code, hints, options, stageSize }),
    facts: {
      imports,
      exports: module.exports.map((item) => item.name),
      globals,
      tables,
      functions: { count: module.functions.length, shift: layout.shift },
      ...(memory === undefined ? {} : { memory }),
      hasStart: module.start !== undefined,
      statistics: { ...writer.statistics, canonicalised: writer.canonicalised },
    },
  }
}

/** Entries that a table which code can change may have, and how many such tables there may be. */
export const TABLE_ENTRIES_MAX = 1 << 16
export const CHANGED_TABLES_MAX = 8

function limitTables(module: WasmModule, { tables }: Uses): ChangedTable[] {
  if (tables.changed.length > CHANGED_TABLES_MAX) {
    throw new WasmError('LIMIT', { message: `The code changes more than ${CHANGED_TABLES_MAX} tables.` })
  }
  return tables.changed.map((index) => {
    const { minEntries, maxEntries = TABLE_ENTRIES_MAX } = module.tables[index]
    if (minEntries <= TABLE_ENTRIES_MAX)
      return { index, minEntries, maxEntries: Math.min(maxEntries, TABLE_ENTRIES_MAX) }
    throw new WasmError('LIMIT', {
      message: `The code changes table ${index}, which has ${minEntries} entries; the maximum is ${TABLE_ENTRIES_MAX}.`,
    })
  })
}

export function limitMemory(module: WasmModule, limitPages: number): ModuleFacts['memory'] {
  if (module.memory === undefined) return undefined
  const { minPages, maxPages = limitPages } = module.memory
  if (minPages > limitPages) {
    throw new WasmError('LIMIT', {
      message: `The module begins with ${minPages} pages of memory; the limit is ${limitPages}.`,
      hint: 'Raise the memory limit of the computation.',
    })
  }
  return { minPages, maxPages: Math.min(maxPages, limitPages) }
}

/** One pass over all functions. */
export function readCode(module: WasmModule, body: Body): { graph: CallGraph; uses: Uses; tailCalls: TailCalls } {
  const nodes = typeNodes(module)
  const edges = new Edges(module.functions.length + module.types.length)
  const hasSite = new Uint8Array(module.functions.length).fill(1, 0, module.imports.length)
  const tailCalls = new TailCalls(module)
  const hasThrow = new Uint8Array(module.functions.length)
  const operands = new Operands()
  const ownSlots = new Uint32Array(module.functions.length)
  const named = new Set<number>()
  const tables = new TableUseCollector()
  let dropped = false
  let used = module.types.some(({ params, results }) => ![...params, ...results].every(isNumeric)) ? USES.references : 0
  if (module.globals.some(({ type }) => !isNumeric(type))) used |= USES.references
  for (let f = 0; f < module.imports.length; f++) edges.close()
  for (let f = module.imports.length; f < module.functions.length; f++) {
    body.decode(module, f)
    operands.follow(body, module, f, false)
    ownSlots[f] = ACTIVATION_SLOTS + body.locals + operands.maxHeight
    if (body.loops > 0) hasSite[f] = 1
    if (body.throws) hasThrow[f] = 1
    used |= body.uses
    if ((used & BOTH_EXCEPTIONS) === BOTH_EXCEPTIONS) throw bothExceptions(module, f)
    tailCalls.add(f, body)
    for (let n = 0; n < body.count; n++) {
      const op = body.opcode[n]
      if (op === OP.call || op === OP.returnCall) edges.add(body.immediate[n])
      else if (op === OP.callIndirect || op === OP.returnCallIndirect) edges.add(nodes[body.immediate[n]])
      else if (op === OP.refFunc) module.addressTaken.add(body.immediate[n])
      else if (op === OP.memoryInit || op === OP.dataDrop) {
        named.add(body.immediate[n])
        dropped ||= op === OP.dataDrop
      } else tables.add(body, n)
    }
    edges.close()
  }
  addTypeEdges(edges, module, nodes)
  const marks = { hasSite, hasThrow, ownSlots, hasTailCalls: tailCalls.any }
  const graph = analyseCalls(edges, module, marks, nodes)
  const segments = { named: [...named].sort((a, b) => a - b), dropped }
  const references = (used & USES.references) !== 0
  const exceptions = exceptionKind(module, used)
  return { graph, uses: { segments, tables, exceptions, references }, tailCalls }
}

/** A module that only throws, or only has tags, may be handled with either; every engine knows the older one. */
function exceptionKind(module: WasmModule, used: number): Uses['exceptions'] {
  if ((used & USES.exceptionReferences) !== 0) return 'exnref'
  return (used & USES.legacyExceptions) !== 0 || module.tags.length > 0 ? 'legacy' : undefined
}

/** The type section: the guest's types, then those that the machine adds. */
export class TypeTable {
  readonly #known = new Map<string, number>()
  readonly #added: { readonly params: readonly ValueType[]; readonly results: readonly ValueType[] }[] = []
  readonly #module: WasmModule

  constructor(module: WasmModule) {
    this.#module = module
    for (const [index, type] of module.types.entries()) if (!this.#known.has(type.key)) this.#known.set(type.key, index)
  }

  index(params: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${params.join()}>${results.join()}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const index = this.#module.types.length + this.#added.length
    this.#added.push({ params, results })
    this.#known.set(key, index)
    return index
  }

  write(sink: ByteSink): void {
    const all: Pick<FunctionType, 'params' | 'results'>[] = [...this.#module.types, ...this.#added]
    sink.unsigned(all.length)
    for (const { params, results } of all) {
      sink.u8(0x60)
      for (const list of [params, results]) sink.vector(Uint8Array.from(list, (type) => VALUE_TYPES[type]))
    }
  }
}

/** What {@link GIVE_IMPORTS} take. */
const GIVEN: readonly ValueType[] = ['i32', 'i64', 'funcref']

interface Parts {
  readonly module: WasmModule
  readonly layout: Layout
  readonly types: TypeTable
  readonly synthesized: readonly Synthesized[]
  readonly globals: readonly MutableGlobal[]
  readonly memory: ModuleFacts['memory']
  readonly code: ByteSink
  readonly hints: BranchHints
  readonly options: RewriteOptions
  readonly stageSize: number
}

/** Puts the sections together in their order; custom sections are left out. */
function assemble(parts: Parts): Uint8Array<ArrayBuffer> {
  const { module, layout, types, synthesized, memory, code, options, stageSize } = parts
  const out = new ByteSink(code.length + module.bytes.length)
  out.raw([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
  const machineType = types.index([], [])
  const frameType = layout.frame === undefined ? machineType : types.index(['i32', 'i32'], [])
  const functionTypes = synthesized.map(({ params, results }) => types.index(params, results))
  const copied = (id: number): void => {
    const range = module.sections.get(id)
    if (range !== undefined) section(out, id, () => out.copy(module.bytes, range.start, range.end))
  }
  const giveTypes = layout.giveImports === NEVER ? [] : GIVEN.map((type) => types.index([type], []))
  section(out, SECTION.type, () => types.write(out))
  section(out, SECTION.import, () => {
    out.unsigned(module.imports.length + layout.shift)
    for (const { module: from, name, type } of module.imports) writeImport(out, from, name, type)
    for (const name of MACHINE_IMPORTS) writeImport(out, MACHINE_MODULE, name, machineType)
    if (layout.frame !== undefined) writeImport(out, MACHINE_MODULE, FRAME_IMPORT, frameType)
    for (const [i, type] of giveTypes.entries()) writeImport(out, MACHINE_MODULE, GIVE_IMPORTS[i], type)
  })
  section(out, SECTION.function, () => {
    const own = module.functions.slice(module.imports.length)
    out.unsigned(own.length + functionTypes.length)
    for (const type of own) out.unsigned(type)
    for (const type of functionTypes) out.unsigned(type)
  })
  const functions = module.functions.length + layout.shift + synthesized.length
  if (!layout.hasFunctionTable) copied(SECTION.table)
  else section(out, SECTION.table, () => writeTables(out, module, functions))
  if (memory !== undefined) {
    section(out, SECTION.memory, () => out.u8(1).u8(1).unsigned(memory.minPages).unsigned(memory.maxPages))
  }
  if (module.tags.length > 0 || layout.capturedTag !== undefined) {
    section(out, SECTION.tag, () => {
      out.unsigned(module.tags.length + (layout.capturedTag === undefined ? 0 : 1))
      for (const { type } of module.tags) out.u8(0).unsigned(type)
      if (layout.capturedTag !== undefined) out.u8(0).unsigned(machineType)
    })
  }
  section(out, SECTION.global, () =>
    writeGlobals(out, module, layout, { stackLimitSlots: options.stackLimitSlots, stageSize }),
  )
  section(out, SECTION.export, () => writeExports(out, module, layout, parts.globals, stageSize))
  if (layout.hasFunctionTable) section(out, SECTION.element, () => writeElements(out, module, layout, functions))
  else if (module.sections.has(SECTION.element))
    section(out, SECTION.element, () => writeMoved(out, module, layout, SECTION.element))
  copied(SECTION.dataCount)
  section(out, SECTION.custom, () => parts.hints.write(out))
  section(out, SECTION.code, () => out.copy(code.bytes, 0, code.length))
  copied(SECTION.data)
  return out.bytes.slice(0, out.length)
}

export function section(out: ByteSink, id: number, write: () => void): void {
  out.u8(id)
  const size = out.openSize()
  write()
  out.closeSize(size)
}

const BOTH_EXCEPTIONS = USES.legacyExceptions | USES.exceptionReferences

function bothExceptions(module: WasmModule, functionIndex: number): WasmError {
  const { start } = module.bodies[functionIndex - module.imports.length]
  return unsupported('legacy and new exception handling together', describeFunction(module, functionIndex), start)
}

const encoder = new TextEncoder()

export function writeImport(out: ByteSink, from: string, name: string, type: number): void {
  out.vector(encoder.encode(from)).vector(encoder.encode(name)).u8(0).unsigned(type)
}
