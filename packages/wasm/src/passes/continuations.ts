/**
 * Small modules that go on where a captured guest was left: one function per pair of function and site, which takes the
 * place of an activation and uses memory, globals, tables and functions of the rewritten module's instance.
 *
 * Each is made of pristine code along the way to its site, so that it runs as fast as the function it stands for
 * (docs/decisions/0005-continuations.md). The values of an activation are handed in, so one module serves all that
 * stand at the same site.
 */

import type { CallGraph } from '../analysis/call-graph.ts'
import { WasmError } from '../error.ts'
import { Body } from '../module/body.ts'
import { readModule, SECTION, type FunctionType, type WasmModule } from '../module/module.ts'
import { OP, VALUE_TYPES } from '../module/opcodes.ts'
import { ByteSink } from '../module/sink.ts'
import type { Activations, Frame } from '../state/frames.ts'
import { ContinuationWriter, type ExpectedValue, type SiteFacts } from './continuation.ts'
import { FRAME_IMPORT, type Layout, layoutOf, MACHINE_MODULE, movedFunction, type Segments } from './layout.ts'
import { limitMemory, readCode, type RewriteOptions, section, TypeTable, writeImport } from './rewrite.ts'
import {
  cellExport,
  FUNCTIONS_EXPORT,
  MEMORY_EXPORT,
  SLOTS_EXPORT,
  FUEL_EXPORT,
  stageExport,
  tableExport,
} from './sections.ts'

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
  /** Stack slots of the activation. */
  readonly slots: number
  /** Indices in the rewritten module. */
  readonly functions: readonly number[]
  /** Of the rewritten module. */
  readonly layout: Layout
}

interface Planned extends Continuation {
  /** The call that was left; `undefined`: a poll. */
  readonly call: { readonly function: number } | { readonly type: string } | undefined
}

/** What is read of the original module, once. */
interface Source {
  readonly module: WasmModule
  readonly graph: CallGraph
  readonly segments: Segments
  /** Of the rewritten module. */
  readonly layout: Layout
}

/** Continuations of one module; nothing is read or made before it is needed. */
export class Continuations {
  readonly #bytes: Uint8Array
  readonly #options: RewriteOptions
  readonly #body = new Body()
  #source: Source | undefined
  readonly #made = new Map<string, Planned>()

  /**
   * @param bytes - The original module.
   * @param options - As it was rewritten with.
   */
  constructor(bytes: Uint8Array, options: RewriteOptions) {
    this.#bytes = bytes
    this.#options = options
  }

  /** Whether the guest can also be left in host calls. */
  get lookout(): boolean {
    return this.#options.lookout ?? false
  }

  #read(): Source {
    if (this.#source === undefined) {
      const module = readModule(this.#bytes)
      limitMemory(module, this.#options.memoryLimitPages)
      const { graph, segments } = readCode(module, this.#body)
      this.#source = { module, graph, segments, layout: layoutOf(module, segments, true) }
    }
    return this.#source
  }

  /**
   * The continuations of a whole stack, outermost first.
   *
   * @throws {@link WasmError} `SNAPSHOT` when these frames cannot come from this module.
   */
  of({ phase, frames }: Activations): Continuation[] {
    const { module } = this.#read()
    const first = phase === 'start' ? module.start : module.exports.find(({ name }) => name === '_start')?.index
    if (frames[0]?.function !== first) throw foreign(frames[0] ?? { function: 0, site: 0 }, 'it cannot be the first')
    const planned = frames.map((frame) => this.#fitting(frame))
    for (const [i, { call }] of planned.entries()) {
      if (!this.#calls(call, frames[i + 1]?.function)) throw foreign(frames[i], 'its caller does not call it')
    }
    return planned
  }

  #fitting(frame: Frame): Planned {
    const planned = this.#of(frame.function, frame.site)
    const { values } = planned
    const fits = frame.values.length === values.length && values.every(({ type }, i) => type === frame.values[i].type)
    if (!fits) throw foreign(frame, 'other values')
    return planned
  }

  /** What a frame at a site holds. */
  values(functionIndex: number, site: number): readonly ExpectedValue[] {
    return this.#of(functionIndex, site).values
  }

  #calls(call: Planned['call'], callee: number | undefined): boolean {
    if (call === undefined || callee === undefined) return call === callee
    if ('function' in call) return call.function === callee
    const { types, functions, addressTaken } = this.#read().module
    return addressTaken.has(callee) && types[functions[callee]].key === call.type
  }

  #of(functionIndex: number, site: number): Planned {
    const key = `${functionIndex}:${site}`
    const made = this.#made.get(key) ?? this.#make(functionIndex, site)
    this.#made.set(key, made)
    return made
  }

  #make(functionIndex: number, site: number): Planned {
    const { module, graph, layout } = this.#read()
    const { floats, lookout = false } = this.#options
    if (functionIndex < module.imports.length || functionIndex >= module.functions.length) {
      throw foreign({ function: functionIndex, site }, 'no such function')
    }
    const outer = this.#callees(functionIndex)
    const places = new Map([...outer.keys()].map((index, i) => [index, MACHINE_FUNCTIONS + i]))
    const place = (index: number): number => places.get(index) ?? NEVER
    const self = MACHINE_FUNCTIONS + places.size
    const types = new TypeTable(module)
    const code = new ByteSink(4096)
    const writer = new ContinuationWriter({
      sink: code,
      module,
      layout: continuationLayout(module),
      graph,
      options: { floats, fuel: true, counter: 'measured', lookout },
      body: this.#body,
      typeIndex: (params, results) => types.index(params, results),
      target: (index) => place(movedFunction(module, layout, index)),
      segmentFunction: (op, segment) => place(this.#segmentFunction(op, segment)),
    })
    const outside = { self, nextI32: NEXT_I32, nextI64: NEXT_I32 + 1, table: module.tables }
    const facts = writer.writeContinuation(functionIndex, site, outside)
    if (facts === undefined) throw foreign({ function: functionIndex, site }, 'no such site')
    const bytes = assemble({ module, types, outer, self, code, writer, of: functionIndex })
    return {
      module: new WebAssembly.Module(bytes),
      values: facts.values,
      slots: facts.slots,
      functions: [...outer.keys()],
      layout,
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
    const { layout, segments } = this.#read()
    return layout.segments + 2 * segments.named.indexOf(segment) + (op === OP.dataDrop ? 1 : 0)
  }

  /** What a function calls in the rewritten module, with its type. */
  #callees(functionIndex: number): Map<number, Called> {
    const body = this.#body
    const { module, layout } = this.#read()
    const { types, functions } = module
    body.decode(module, functionIndex)
    const callees = new Map<number, Called>()
    for (let n = 0; n < body.count; n++) {
      const op = body.opcode[n]
      const index = body.immediate[n]
      if (op === OP.call) callees.set(movedFunction(module, layout, index), types[functions[index]])
      else if (op === OP.memoryInit) callees.set(this.#segmentFunction(op, index), MEMORY_INIT)
      else if (op === OP.dataDrop) callees.set(this.#segmentFunction(op, index), { params: [], results: [] })
    }
    return callees
  }
}

type Called = Pick<FunctionType, 'params' | 'results'>
const MEMORY_INIT: Called = { params: ['i32', 'i32', 'i32'], results: [] }

/** In a continuation's module: poll, refill, grow, frame, the two that give values; then the guest's functions. */
const MACHINE_FUNCTIONS = 6
const NEXT_I32 = 4

function continuationLayout(module: WasmModule): Layout {
  return {
    ...{ poll: 0, refill: 1, grow: 2, frame: 3, shift: 0 },
    ...{ exhausted: NEVER, outOfMemory: NEVER, enter: NEVER, segments: NEVER, readers: NEVER },
    droppedGlobal: NEVER,
    fuelGlobal: module.globals.length,
    slotsGlobal: module.globals.length + 1,
    stageGlobal: module.globals.length + 2,
  }
}
/** Functions that only the rewritten module's own code calls. */
const NEVER = 0xffff_ffff

interface Parts {
  readonly module: WasmModule
  readonly types: TypeTable
  readonly outer: ReadonlyMap<number, Called>
  readonly self: number
  readonly code: ByteSink
  readonly writer: ContinuationWriter
  /** The function that is continued. */
  readonly of: number
}

const encoder = new TextEncoder()

function assemble({ module, types, outer, self, code, writer, of }: Parts): Uint8Array<ArrayBuffer> {
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
  const outerTypes = [...outer].map(([index, { params, results }]) => [index, types.index(params, results)] as const)
  out.raw([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
  section(out, SECTION.type, () => types.write(out))
  section(out, SECTION.import, () => {
    const globals = module.globals.length + 2 + writer.stageSize
    out.unsigned(machine.length + outer.size + module.tables + 1 + globals + (module.memory === undefined ? 0 : 1))
    for (const [name, index] of machine) writeImport(out, MACHINE_MODULE, name, index)
    for (const [index, called] of outerTypes) writeImport(out, FUNCTIONS_MODULE, String(index), called)
    const instance = (name: string): ByteSink =>
      out.vector(encoder.encode(INSTANCE_MODULE)).vector(encoder.encode(name))
    for (let index = 0; index < module.tables; index++) instance(tableExport(index)).raw([1, 0x70, 0, 0])
    instance(TABLE_IMPORT).raw([1, 0x70, 0, 0])
    if (module.memory !== undefined) instance(MEMORY_EXPORT).raw([2, 0, 0])
    for (const [index, global] of module.globals.entries()) {
      const code = global.type === undefined ? 0x70 : VALUE_TYPES[global.type]
      instance(cellExport(index)).raw([3, code, global.mutable ? 1 : 0])
    }
    for (const name of [FUEL_EXPORT, SLOTS_EXPORT]) instance(name).raw([3, VALUE_TYPES.i32, 1])
    for (let i = 0; i < writer.stageSize; i++) {
      instance(stageExport(i)).raw([3, i % 2 === 0 ? VALUE_TYPES.i32 : VALUE_TYPES.i64, 1])
    }
  })
  section(out, SECTION.function, () => out.unsigned(1).unsigned(type))
  section(out, SECTION.export, () => out.unsigned(1).vector(encoder.encode(CONTINUATION_EXPORT)).u8(0).unsigned(self))
  section(out, SECTION.custom, () => writer.hints.write(out))
  section(out, SECTION.code, () => out.unsigned(1).copy(code.bytes, 0, code.length))
  return out.bytes.slice(0, out.length)
}

function foreign({ function: index, site }: Pick<Frame, 'function' | 'site'>, why: string): WasmError {
  return new WasmError('SNAPSHOT', {
    message: `A frame of the snapshot (function ${index}, site ${site}) does not fit the module: ${why}.`,
    hint: 'A snapshot belongs to one module and one version of its semantics.',
  })
}
