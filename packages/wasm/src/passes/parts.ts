/** What a writer of functions is put together from. */

import type { CallGraph } from '../analysis/call-graph.ts'
import type { Body } from '../module/body.ts'
import type { WasmModule } from '../module/module.ts'
import type { ValueType } from '../module/opcodes.ts'
import type { ByteSink } from '../module/sink.ts'
import type { CounterPlace } from './fuel.ts'
import type { Layout, TableInstruction, Uses } from './layout.ts'

export interface FunctionOptions {
  readonly floats: 'canonical' | 'host'
  readonly fuel: boolean
  readonly counter: CounterPlace
  readonly lookout: boolean
}

export type TypeIndex = (params: readonly ValueType[], results: readonly ValueType[]) => number

export type SegmentFunction = (opcode: number, segment: number) => number | undefined

export type TableFunctionOf = (instruction: TableInstruction) => number | undefined

export interface Statistics {
  functions: number
  cutFunctions: number
  loops: number
  countedLoops: number
  cachedFunctions: number
}

export interface FunctionParts {
  readonly sink: ByteSink
  readonly module: WasmModule
  readonly layout: Layout
  readonly graph: CallGraph
  readonly options: FunctionOptions
  readonly exceptions: Uses['exceptions']
  readonly body: Body
  readonly typeIndex: TypeIndex
  /** In a continuation's module: index of a function of the guest. */
  readonly target?: (functionIndex: number) => number
  /** The function that stands for memory.init or data.drop of a data segment; `undefined`: nothing does. */
  readonly segmentFunction: SegmentFunction
  /** The function that stands for such an instruction; `undefined`: nothing does. */
  readonly tableFunction: TableFunctionOf
}
