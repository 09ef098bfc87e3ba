/**
 * Small modules that go on where a captured guest was left: one function per pair of function and site, which takes the
 * place of an activation and uses memory, globals, tables and functions of the rewritten module's instance.
 *
 * Each is made of pristine code along the way to its site, so that it runs as fast as the function it stands for
 * (docs/decisions/0005-continuations.md). The values of an activation are handed in, so one module serves all that
 * stand at the same site.
 */

import type { CallGraph } from '../analysis/call-graph.ts'
import { Body } from '../module/body.ts'
import { readModule, SECTION, type FunctionType, type WasmModule } from '../module/module.ts'
import { type NumericType, OP, VALUE_TYPES } from '../module/opcodes.ts'
import { ByteSink } from '../module/sink.ts'
import type { Activations, Frame } from '../state/frames.ts'
import { ContinuationWriter, type ExpectedValue, type SiteFacts } from './continuation.ts'
import { fitsValue, foreign } from './fitting.ts'
import {
  FRAME_IMPORT,
  GIVE_IMPORTS,
  type Layout,
  layoutOf,
  MACHINE_MODULE,
  movedFunction,
  NEVER,
  type Uses,
} from './layout.ts'
import { limitMemory, readCode, type RewriteOptions, section, TypeTable, writeImport } from './rewrite.ts'
import {
  CAPTURED_EXPORT,
  cellExport,
  FUNCTIONS_EXPORT,
  MEMORY_EXPORT,
  RAISED_EXPORT,
  SLOTS_EXPORT,
  FUEL_EXPORT,
  stageExport,
  tableExport,
  tagExport,
} from './sections.ts'
import { tableFunctionType, tableInstruction } from './table-uses.ts'
import type { TailCalls } from './tail-calls.ts'

/** Imported from this module name: what the instance of the rewritten module exports. */
export const INSTANCE_MODULE = 'reprise:instance'
/** Imported from this module name: functions by their index in the rewritten module. */
export const FUNCTIONS_MODULE = FUNCTIONS_EXPORT
export const TABLE_IMPORT = 'continuations'
export const CONTINUATION_EXPORT = 'continue'

export interface Continuation {
  readonly module: WebAssembly.Module
  /** Of its frame. */
  readonly values: readonly ExpectedValue[]
  /** The order in which its code takes them. */
  readonly order: readonly number[]
  /** Before them it takes how many slots are free. */
  readonly takesSlots: boolean
  /** Stack slots of the activation. */
  readonly slots: number
  /** Indices in the rewritten module. */
  readonly functions: readonly number[]
  /** Those of them that it takes references of. */
  readonly referenced: readonly number[]
  /** Of the rewritten module. */
  readonly layout: Pick<Layout, 'grow' | 'refill'>
}

interface Planned extends Continuation {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** The call that was left; `undefined`: a poll. */
  readonly call: { readonly function: number } | { readonly type: string } | undefined
}

/** The continuation of one frame as plain data. */
export interface KeptContinuation extends Omit<Planned, 'module'> {
  readonly frame: Pick<Frame, 'function' | 'site'>
}

/** A stack whose continuations were made before, and that they are those of it. */
export interface KeptStack {
  readonly activations: Activations
  /** Of each frame, outermost first. */
  readonly continuations: readonly KeptContinuation[]
}

/** What is read of the original module, once. */
interface Source {
  readonly module: WasmModule
  readonly graph: CallGraph
  readonly uses: Uses
  readonly tailCalls: TailCalls
  /** Of the rewritten module. */
  readonly layout: Layout
}

/** Continuations of one module; nothing is read or made before it is needed. */
export class Continuations {
  readonly #program: () => Uint8Array
  readonly #options: RewriteOptions
  readonly #body = new Body()
  readonly #kept: KeptStack | undefined
  #source: Source | undefined
  readonly #made = new Map<string, Planned>()

  /**
   * @param program - Gives the original module when it is first needed.
   * @param options - As it was rewritten with.
   * @param kept - What {@link keep} gave: this very stack is then continued without a look at the module.
   */
  constructor(program: () => Uint8Array, options: RewriteOptions, kept?: KeptStack) {
    this.#program = program
    this.#options = options
    this.#kept = kept
    for (const { frame, ...planned } of kept?.continuations ?? []) {
      const key = keyOf(frame)
      if (!this.#made.has(key)) this.#made.set(key, { ...planned, module: new WebAssembly.Module(planned.bytes) })
    }
  }

  /** The continuations of a stack, for another process. @throws {@link WasmError} as {@link of}. */
  keep(activations: Activations): readonly KeptContinuation[] {
    this.of(activations)
    return activations.frames.map((frame) => {
      const { module: _, ...planned } = this.#of(frame.function, frame.site)
      return { frame: { function: frame.function, site: frame.site }, ...planned }
    })
  }

  /** Whether the guest can also be left in host calls. */
  get lookout(): boolean {
    return this.#options.lookout ?? false
  }

  #read(): Source {
    if (this.#source === undefined) {
      const module = readModule(this.#program())
      limitMemory(module, this.#options.memoryLimitPages)
      const { graph, uses, tailCalls } = readCode(module, this.#body)
      this.#source = { module, graph, uses, tailCalls, layout: layoutOf(module, uses, true) }
    }
    return this.#source
  }

  /**
   * The continuations of a whole stack, outermost first.
   *
   * @throws {@link WasmError} `SNAPSHOT` when these frames cannot come from this module.
   */
  of({ phase, frames }: Activations): Continuation[] {
    if (this.#kept !== undefined && this.#kept.activations.frames === frames)
      return frames.map((frame) => this.#fitting(frame))
    const { module, tailCalls } = this.#read()
    const first = phase === 'start' ? module.start : module.exports.find(({ name }) => name === '_start')?.index
    if (first === undefined || frames[0] === undefined || !tailCalls.lead({ function: first }, frames[0].function))
      throw foreign(frames[0] ?? { function: 0, site: 0 }, 'it cannot be the first')
    const planned = frames.map((frame) => this.#fitting(frame))
    for (const [i, { call }] of planned.entries()) {
      if (!this.#calls(call, frames[i + 1]?.function)) throw foreign(frames[i], 'its caller does not call it')
    }
    return planned
  }

  #fitting(frame: Frame): Planned {
    const planned = this.#of(frame.function, frame.site)
    const { values } = planned
    const fits =
      frame.values.length === values.length &&
      values.every((value, i) => fitsValue(value, frame.values[i], () => this.#read().module))
    if (!fits) throw foreign(frame, 'other values')
    return planned
  }

  /** What an exception with this tag carries. */
  carried(tag: number): readonly { readonly type: NumericType; readonly free: boolean }[] {
    // What comes out of a `catch` is free, as the parameters of blocks are.
    const free = this.#options.floats === 'canonical'
    return this.#read().module.tags[tag].params.map((type) => ({ type, free }))
  }

  /** What a frame at a site holds. */
  values(functionIndex: number, site: number): readonly ExpectedValue[] {
    return this.#of(functionIndex, site).values
  }

  #calls(call: Planned['call'], callee: number | undefined): boolean {
    if (call === undefined || callee === undefined) return call === callee
    return this.#read().tailCalls.lead(call, callee)
  }

  #of(functionIndex: number, site: number): Planned {
    const key = keyOf({ function: functionIndex, site })
    const made = this.#made.get(key) ?? this.#make(functionIndex, site)
    this.#made.set(key, made)
    return made
  }

  #make(functionIndex: number, site: number): Planned {
    const { module, graph, uses, layout } = this.#read()
    const { floats, lookout = false } = this.#options
    if (functionIndex < module.imports.length || functionIndex >= module.functions.length) {
      throw foreign({ function: functionIndex, site }, 'no such function')
    }
    const { outer, referenced } = this.#callees(functionIndex)
    const first = layout.giveImports === NEVER ? MACHINE_FUNCTIONS : MACHINE_FUNCTIONS_GIVING
    const places = new Map([...outer.keys()].map((index, i) => [index, first + i]))
    const place = (index: number): number => places.get(index) ?? NEVER
    const self = first + places.size
    const types = new TypeTable(module)
    const code = new ByteSink(4096)
    const writer = new ContinuationWriter({
      sink: code,
      module,
      layout: continuationLayout(module, uses),
      exceptions: uses.exceptions,
      graph,
      options: { floats, fuel: true, counter: 'measured', lookout },
      body: this.#body,
      typeIndex: (params, results) => types.index(params, results),
      target: (index) => place(movedFunction(module, layout, index)),
      segmentFunction: (op, segment) => place(this.#segmentFunction(op, segment)),
      tableFunction: (instruction) => place(layout.tableFunctions + uses.tables.indexOf(instruction)),
    })
    const next = { nextI32: NEXT_I32, nextI64: NEXT_I32 + 1, nextFunction: MACHINE_FUNCTIONS }
    const outside = { self, ...next, table: module.tables.length }
    const facts = writer.writeContinuation(functionIndex, site, outside)
    if (facts === undefined) throw foreign({ function: functionIndex, site }, 'no such site')
    const declared = [...referenced].map(place)
    const gives = layout.giveImports !== NEVER
    const raises = layout.raisedGlobal !== undefined
    const throws = uses.exceptions !== undefined
    const bytes = assemble({
      ...{ module, types, outer, self, code, writer },
      ...{ of: functionIndex, declared, gives, raises, throws },
    })
    return {
      module: new WebAssembly.Module(bytes),
      bytes,
      ...{ values: facts.values, order: facts.order, takesSlots: facts.takesSlots, slots: facts.slots },
      functions: [...outer.keys()],
      referenced: [...referenced],
      layout: { grow: layout.grow, refill: layout.refill },
      call: this.#callOf(facts),
    }
  }

  /** Of the function that the body holds. */
  #callOf({ callAt }: SiteFacts): Planned['call'] {
    if (callAt === undefined) return undefined
    const index = this.#body.immediate[callAt]
    return this.#body.opcode[callAt] === OP.call ? { function: index } : { type: this.#read().module.types[index].key }
  }

  #segmentFunction(op: number, segment: number): number {
    const { layout, uses } = this.#read()
    return layout.segments + 2 * uses.segments.named.indexOf(segment) + (op === OP.dataDrop ? 1 : 0)
  }

  /** What a function needs of the rewritten module's functions, with their types; and those it takes references of. */
  #callees(functionIndex: number): { outer: Map<number, Called>; referenced: Set<number> } {
    const body = this.#body
    const { module, layout, uses } = this.#read()
    const { types, functions } = module
    body.decode(module, functionIndex)
    const outer = new Map<number, Called>()
    const referenced = new Set<number>()
    if (layout.giveTags !== NEVER) {
      for (const tag of module.tags.keys())
        outer.set(layout.giveTags + tag, { ...GIVEN, params: module.tags[tag].params })
      if (uses.exceptions === 'exnref') outer.set(layout.giveTags + module.tags.length, GIVEN)
    }
    for (let n = 0; n < body.count; n++) {
      const op = body.opcode[n]
      const index = body.immediate[n]
      const table = tableInstruction(body, n)
      if (table !== undefined) {
        outer.set(layout.tableFunctions + uses.tables.indexOf(table), tableFunctionType(table))
      } else if (op === OP.memoryInit) outer.set(this.#segmentFunction(op, index), MEMORY_INIT)
      else if (op === OP.dataDrop) outer.set(this.#segmentFunction(op, index), { params: [], results: [] })
      else if (op === OP.call || op === OP.returnCall || op === OP.refFunc) {
        outer.set(movedFunction(module, layout, index), types[functions[index]])
        if (op === OP.refFunc) referenced.add(movedFunction(module, layout, index))
      }
    }
    return { outer, referenced }
  }
}

function keyOf({ function: index, site }: KeptContinuation['frame']): string {
  return `${index}:${site}`
}

type Called = Pick<FunctionType, 'params' | 'results'>
const MEMORY_INIT: Called = { params: ['i32', 'i32', 'i32'], results: [] }
const GIVEN: Called = { params: ['exnref'], results: [] }

/** In a continuation's module: poll, refill, grow, frame, the two that give values; then the guest's functions. */
const MACHINE_FUNCTIONS = 6
/** With those that give and take references. */
const MACHINE_FUNCTIONS_GIVING = 8
const NEXT_I32 = 4

function continuationLayout(module: WasmModule, uses: Uses): Layout {
  const raised = uses.exceptions === 'legacy' ? 1 : 0
  return {
    ...{ poll: 0, refill: 1, grow: 2, frame: 3, shift: 0 },
    ...{ exhausted: NEVER, outOfMemory: NEVER, enter: NEVER, segments: NEVER, readers: NEVER },
    // Of what gives, code at a site calls the last import only, and the functions for exceptions.
    ...{ giveImports: MACHINE_FUNCTIONS + 1 - 2, giveTags: MACHINE_FUNCTIONS_GIVING },
    ...{ droppedGlobal: NEVER, droppedElements: NEVER, tableFunctions: NEVER, hasFunctionTable: false },
    fuelGlobal: module.globals.length,
    slotsGlobal: module.globals.length + 1,
    raisedGlobal: raised === 1 ? module.globals.length + 2 : undefined,
    stageGlobal: module.globals.length + 2 + raised,
    capturedTag: uses.exceptions === undefined ? undefined : module.tags.length,
  }
}

interface Parts {
  readonly module: WasmModule
  readonly types: TypeTable
  readonly outer: ReadonlyMap<number, Called>
  readonly self: number
  readonly code: ByteSink
  readonly writer: ContinuationWriter
  /** The function that is continued. */
  readonly of: number
  /** Functions that its code takes references of. */
  readonly declared: readonly number[]
  /** It may have to give references. */
  readonly gives: boolean
  /** The module has exceptions: tags are shared. */
  readonly throws: boolean
  /** It shares the flag of legacy exceptions. */
  readonly raises: boolean
}

const encoder = new TextEncoder()

function assemble(parts: Parts): Uint8Array<ArrayBuffer> {
  const { module, types, outer, self, code, writer, of, declared, gives, raises, throws } = parts
  const out = new ByteSink(code.length + 4096)
  const nothing = types.index([], [])
  const type = types.index([], module.types[module.functions[of]].results)
  const machine: [name: string, type: number][] = [
    ['poll', nothing],
    ['refill', types.index(['i32'], ['i32'])],
    ['grow', types.index(['i32'], ['i32'])],
    [FRAME_IMPORT, types.index(['i32', 'i32'], [])],
    ['next_i32', types.index([], ['i32'])],
    ['next_i64', types.index([], ['i64'])],
  ]
  if (gives)
    machine.push(['next_function', types.index([], ['funcref'])], [GIVE_IMPORTS[2], types.index(['funcref'], [])])
  const outerTypes = [...outer].map(([index, { params, results }]) => [index, types.index(params, results)] as const)
  out.raw([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
  section(out, SECTION.type, () => types.write(out))
  section(out, SECTION.import, () => {
    const globals = module.globals.length + 2 + (raises ? 1 : 0) + writer.stageSize
    const tags = throws ? module.tags.length + 1 : 0
    const others = module.tables.length + 1 + tags + (module.memory === undefined ? 0 : 1)
    out.unsigned(machine.length + outer.size + globals + others)
    for (const [name, index] of machine) writeImport(out, MACHINE_MODULE, name, index)
    for (const [index, called] of outerTypes) writeImport(out, FUNCTIONS_MODULE, String(index), called)
    const instance = (name: string): ByteSink =>
      out.vector(encoder.encode(INSTANCE_MODULE)).vector(encoder.encode(name))
    for (const index of module.tables.keys()) instance(tableExport(index)).raw([1, 0x70, 0, 0])
    instance(TABLE_IMPORT).raw([1, 0x70, 0, 0])
    if (module.memory !== undefined) instance(MEMORY_EXPORT).raw([2, 0, 0])
    for (const [index, global] of module.globals.entries()) {
      instance(cellExport(index)).raw([3, VALUE_TYPES[global.type], global.mutable ? 1 : 0])
    }
    for (const name of [FUEL_EXPORT, SLOTS_EXPORT, ...(raises ? [RAISED_EXPORT] : [])])
      instance(name).raw([3, VALUE_TYPES.i32, 1])
    for (let i = 0; i < writer.stageSize; i++) {
      instance(stageExport(i)).raw([3, i % 2 === 0 ? VALUE_TYPES.i32 : VALUE_TYPES.i64, 1])
    }
    for (const [index, { type }] of module.tags.entries()) instance(tagExport(index)).u8(4).u8(0).unsigned(type)
    if (throws) instance(CAPTURED_EXPORT).u8(4).u8(0).unsigned(nothing)
  })
  section(out, SECTION.function, () => out.unsigned(1).unsigned(type))
  section(out, SECTION.export, () => out.unsigned(1).vector(encoder.encode(CONTINUATION_EXPORT)).u8(0).unsigned(self))
  if (declared.length > 0) {
    section(out, SECTION.element, () => {
      out.unsigned(1).u8(3).u8(0).unsigned(declared.length)
      for (const index of declared) out.unsigned(index)
    })
  }
  section(out, SECTION.custom, () => writer.hints.write(out))
  section(out, SECTION.code, () => out.unsigned(1).copy(code.bytes, 0, code.length))
  return out.bytes.slice(0, out.length)
}

/** @param module - Asked for where a number or a type alone does not tell. */
