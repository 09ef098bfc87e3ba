/**
 * What a writer of functions knows of the one that it writes: its analyses, its locals and its labels.
 *
 * Sites and costs are those of spec/wasm-machine.md §5 and §6; whether the counter is kept in a local is this
 * writer's choice and must not show in any position.
 */

import type { CallGraph } from '../analysis/call-graph.ts'

import { Operands } from '../analysis/operands.ts'

import type { Body } from '../module/body.ts'
import type { FunctionType, WasmModule } from '../module/module.ts'
import { OP, VALUE_TYPES, type ValueType } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'
import { Capture } from './capture.ts'
import { FloatCode } from './floats.ts'
import { EMPTY_BLOCK_TYPE, FuelCode, keepsCounter } from './fuel.ts'
import { HandlerCode } from './handlers.ts'
import { BranchHints } from './hints.ts'
import { Labels } from './labels.ts'
import { movedFunction, type Layout } from './layout.ts'
import { Locals } from './locals.ts'
import type { FunctionOptions, FunctionParts, SegmentFunction, Statistics, TypeIndex } from './parts.ts'

const NONE = -1

export class FunctionBase {
  readonly statistics: Statistics = {
    functions: 0,
    cutFunctions: 0,
    loops: 0,
    countedLoops: 0,
    cachedFunctions: 0,
  }
  protected readonly sink: ByteSink
  protected readonly module: WasmModule
  protected readonly layout: Layout
  protected readonly graph: CallGraph
  protected readonly options: FunctionOptions
  protected readonly typeIndex: TypeIndex
  protected readonly body: Body
  protected readonly segmentFunction: SegmentFunction
  protected readonly tableFunction: FunctionParts['tableFunction']
  protected readonly exceptions: FunctionParts['exceptions']
  protected readonly target: (functionIndex: number) => number
  protected readonly operands = new Operands()
  protected readonly capture: Capture | undefined
  protected readonly fuel: FuelCode
  protected readonly handlers: HandlerCode
  protected readonly locals: Locals
  protected readonly floats: FloatCode
  /** Of all functions written so far. */
  readonly hints = new BranchHints()

  // State of the function that is being written.
  /** The guest's bytes are copied up to here. */
  protected copied = 0
  /** Its entry is a site, which takes {@link slots}. */
  protected cut = false
  protected slots = 0
  /** All exits lead through a block of our own. */
  protected wrapped = false
  /** Whether the function has sites that can be captured. */
  protected hasSites = false
  /** It has handlers of its own: these need the free slots of this activation. */
  protected handles = false
  protected readonly labels = new Labels()
  /** The loop whose iterations the continuation does not count again. */
  protected uncounted = NONE
  protected slotsLocal = NONE

  constructor(parts: FunctionParts) {
    this.sink = parts.sink
    this.module = parts.module
    this.layout = parts.layout
    this.graph = parts.graph
    this.options = parts.options
    this.body = parts.body
    this.typeIndex = parts.typeIndex
    this.segmentFunction = parts.segmentFunction
    this.tableFunction = parts.tableFunction
    this.exceptions = parts.exceptions
    this.target = parts.target ?? ((index) => movedFunction(parts.module, parts.layout, index))
    this.fuel = new FuelCode(parts.sink, parts.layout, this.hints)
    const { sink, module, body, layout } = parts
    this.locals = new Locals(body)
    this.handlers = new HandlerCode({
      ...{ sink, module, body, layout, labels: this.labels, fuel: this.fuel },
      blockType: (results, params) => this.blockType(results, params),
      exceptionLocal: () => this.scratchLocal(VALUE_TYPES.exnref),
    })
    this.floats = new FloatCode({ sink, module, body, operands: this.operands, hints: this.hints })
    if (parts.options.fuel && parts.layout.frame !== undefined) this.capture = new Capture(parts)
  }

  /** Decodes and analyses a function, and reserves the locals that its code needs. */
  protected prepare(functionIndex: number): void {
    const body = this.body
    const { fuel, floats } = this.options
    body.decode(this.module, functionIndex)
    this.cut = fuel && this.graph.cut[functionIndex] === 1
    this.slots = this.graph.slots[functionIndex]
    this.handles = fuel && body.tries > 0
    this.floats.open(floats === 'canonical')
    this.hasSites = this.capture?.number(functionIndex) === true
    if (floats === 'canonical' && (this.floats.needed || this.hasSites)) {
      this.operands.follow(body, this.module, functionIndex, true)
    }
    this.locals.reset()
    const cached = fuel && body.loops > 0 && keepsCounter(body, this.options.counter, (n) => this.mayPoll(n))
    this.fuel.open(cached ? this.locals.add(VALUE_TYPES.i32) : undefined)
    this.reserveScratch()
    if (this.hasSites) this.capture?.analyse(this.operands, (type) => this.locals.add(type))
    this.wrapped = this.cut || cached
    this.labels.reset(this.hasSites ? (this.capture?.shared.length ?? 0) : 0)
    this.uncounted = NONE
  }

  protected siteAt(n: number): number | undefined {
    return this.hasSites ? this.capture?.siteAt(n) : undefined
  }

  protected turnAt(n: number): number | undefined {
    return this.hasSites ? this.capture?.turnAt(n) : undefined
  }

  /**
   * Writes a poll or call that can be left there.
   *
   * @param type - What it takes and leaves.
   * @param extraLabels - Blocks of the machine between it and the guest's innermost construct.
   */
  protected guarded(
    site: number | undefined,
    type: Pick<FunctionType, 'params' | 'results'>,
    write: () => void,
    extraLabels = 0,
  ): void {
    if (site === undefined || this.capture === undefined) return write()
    const { params, results } = type
    const whole = this.blockType(results, params)
    this.capture.writeTry(this.sink, { whole, taking: this.blockType([], params) })
    write()
    const { nesting } = this.labels
    this.capture.writeHandler(this.sink, site, (level) => this.labels.moved(nesting - level) + extraLabels)
  }

  protected mayPoll(n: number): boolean {
    return this.callee(n, this.graph.reaches, this.graph.typeReaches)
  }

  protected mayThrow(n: number): boolean {
    return this.callee(n, this.graph.throws, this.graph.typeThrows)
  }

  /** Whether what is called at an instruction is marked; false when nothing is. */
  protected callee(n: number, functions: Uint8Array, types: Uint8Array): boolean {
    const op = this.body.opcode[n]
    if (op === OP.call) return functions[this.body.immediate[n]] === 1
    return op === OP.callIndirect && types[this.body.immediate[n]] === 1
  }

  /** Locals must be declared before the code that uses them is written. */
  protected reserveScratch(): void {
    const need = new Set<number>()
    const body = this.body
    if (this.cut || this.hasSites || (this.options.fuel && body.loops > 0)) need.add(VALUE_TYPES.i32)
    if (this.floats.needed) this.floats.addScratchTypes(need)
    if (body.tries > 0 && this.exceptions === 'exnref') need.add(VALUE_TYPES.exnref)
    this.locals.reserveScratch(need)
    if (this.cut || this.handles) this.slotsLocal = this.locals.add(VALUE_TYPES.i32)
    this.handlers.open(this.handles ? this.slotsLocal : undefined)
  }

  protected scratchLocal(type: number): number {
    return this.locals.scratch(type)
  }

  /** @param first - Types of locals that stand before the guest's own. */
  protected writeLocals(first: readonly ValueType[]): void {
    this.locals.write(this.sink, first)
  }

  protected blockType(results: readonly ValueType[], params: readonly ValueType[] = []): number {
    if (params.length > 0) return this.typeIndex(params, results)
    if (results.length === 0) return EMPTY_BLOCK_TYPE - 0x80
    return results.length === 1 ? VALUE_TYPES[results[0]] - 0x80 : this.typeIndex([], results)
  }

  protected flush(until: number): void {
    this.sink.copy(this.body.bytes, this.copied, until)
    this.copied = until
  }
}
