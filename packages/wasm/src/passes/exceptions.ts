/**
 * Exceptions of the guest. Nothing but them may be caught by its handlers: not the capture signal, not what ends the guest
 * from inside a host call, not what the engine throws when its stack runs out. So `catch_all` is written as what it means
 * in a module whose exceptions have known tags.
 *
 * For a capture an exception is data, its tag and what it carries: WebAssembly cannot tell it from one that is thrown anew
 * (spec/wasm-machine.md §10).
 */

import type { Body } from '../module/body.ts'
import { CLAUSE, clausesOf } from '../module/clauses.ts'
import type { WasmModule } from '../module/module.ts'
import { OP, type ValueType, VALUE_TYPES } from '../module/opcodes.ts'
import { TYPE } from '../module/result-types.ts'
import { ByteSink } from '../module/sink.ts'
import type { Layout } from './layout.ts'
import { type NextValue, writeLane, writeNext } from './snippets.ts'

/** Which instructions a module handles exceptions with; the machine's own handlers have to use the same. */
export type ExceptionKind = 'legacy' | 'exnref'

const EMPTY_BLOCK_TYPE = 0x40
/** Stands for a null reference where a tag is expected. */
const NO_EXCEPTION = -1

/** A clause that catches one tag. */
export interface TagClause {
  readonly tag: number
  /** Types of what the tag carries. */
  readonly params: readonly ValueType[]
  /** The branch brings what the tag carries. */
  readonly carries: boolean
  /** The branch brings the exception. */
  readonly isReference: boolean
  /** Counted from outside of the try_table. */
  readonly label: number
}

/** The clauses of a try_table, with one for each tag where there is one for all. */
export function tagClauses(body: Body, n: number, module: WasmModule): TagClause[] {
  const clauses: TagClause[] = []
  for (const { kind, tag, label } of clausesOf(body, n)) {
    const all = kind >= CLAUSE.catchAll
    const isReference = kind === CLAUSE.catchRef || kind === CLAUSE.catchAllRef
    for (const each of all ? module.tags.keys() : [tag]) {
      if (clauses.some((earlier) => earlier.tag === each)) continue
      clauses.push({ tag: each, params: module.tags[each].params, carries: !all, isReference, label })
    }
  }
  return clauses
}

/** Clauses for all tags that no tag is left for: their labels, and whether they bring the exception. */
export function uncheckedLabels(
  body: Body,
  n: number,
  clauses: readonly TagClause[],
): { readonly label: number; readonly isReference: boolean }[] {
  const missing = clausesOf(body, n).filter(({ kind, label }) => {
    const isReference = kind === CLAUSE.catchAllRef
    if (kind < CLAUSE.catchAll) return false
    return !clauses.some((each) => !each.carries && each.label === label && each.isReference === isReference)
  })
  return missing.map(({ kind, label }) => ({ label, isReference: kind === CLAUSE.catchAllRef }))
}

/** Where a clause's branch begins: what it does not bring is dropped. `scratch` is a local for exceptions. */
export function writeDrops(sink: ByteSink, { params, carries, isReference }: TagClause, scratch: () => number): void {
  if (carries || params.length === 0) return
  if (isReference) sink.u8(OP.localSet).unsigned(scratch())
  for (let i = 0; i < params.length; i++) sink.u8(OP.drop)
  if (isReference) sink.u8(OP.localGet).unsigned(scratch())
}

/** Before a legacy `throw` or `rethrow` of the guest. */
export function writeRaise(sink: ByteSink, { raisedGlobal }: Layout): void {
  if (raisedGlobal !== undefined) sink.u8(OP.i32Const).signed(1).u8(OP.globalSet).unsigned(raisedGlobal)
}

/** Behind a legacy `catch` or `catch_all`: what the guest has not raised goes on. */
export function writeCaught(sink: ByteSink, op: number, { raisedGlobal }: Layout): void {
  if (raisedGlobal === undefined) return
  if (op === OP.catchAll) {
    sink.u8(OP.globalGet).unsigned(raisedGlobal).u8(OP.i32Eqz).u8(OP.if).u8(EMPTY_BLOCK_TYPE)
    sink.u8(OP.rethrow).unsigned(1).u8(OP.end)
  }
  sink.u8(OP.i32Const).signed(0).u8(OP.globalSet).unsigned(raisedGlobal)
}

/** In a legacy handler of the machine: hands the host an exception that a `catch` around it has caught. */
export function writeGiveCaught(
  sink: ByteSink,
  caught: { readonly label: number; readonly tags: Iterable<number> },
  { giveTags }: Layout,
): void {
  sink.u8(OP.try).u8(EMPTY_BLOCK_TYPE).u8(OP.rethrow).unsigned(caught.label)
  for (const tag of caught.tags) {
    sink.u8(OP.catch).unsigned(tag)
    sink.u8(OP.call).unsigned(giveTags + tag)
  }
  sink.u8(OP.end)
}

/** The type of a block without parameters. */
export type ResultsType = (results: readonly ValueType[]) => number

interface Giving {
  readonly params: readonly ValueType[]
  readonly results: readonly ValueType[]
  readonly code: Uint8Array
}

/** Functions that hand exceptions to the host: one per tag that takes what the tag carries, then one for references. */
export function givingFunctions(
  module: WasmModule,
  layout: Layout,
  kind: ExceptionKind,
  blockType: ResultsType,
): Giving[] {
  const { giveImports } = layout
  const functions = module.tags.map((_, tag): Giving => {
    const params = module.tags[tag].params
    const code = new ByteSink(64).u8(0).u8(OP.i32Const).signed(tag).u8(OP.call).unsigned(giveImports)
    for (const [local, type] of params.entries()) {
      const get = (): ByteSink => code.u8(OP.localGet).unsigned(local)
      const give = (width: 'i32' | 'i64'): ByteSink =>
        code.u8(OP.call).unsigned(giveImports + (width === 'i32' ? 0 : 1))
      get()
      if (type === 'f32') code.u8(OP.i32ReinterpretF32)
      else if (type === 'f64') code.u8(OP.i64ReinterpretF64)
      else if (type === 'v128') {
        writeLane(code, 0)
        give('i64')
        writeLane(get(), 1)
      }
      give(type === 'i32' || type === 'f32' ? 'i32' : 'i64')
    }
    return { params, results: [], code: code.u8(OP.end).done() }
  })
  if (kind === 'exnref') functions.push(giveReference(module, layout, blockType))
  return functions
}

/** Throws the exception, to catch it by its tag. */
function giveReference(module: WasmModule, { giveImports, giveTags }: Layout, blockType: ResultsType): Giving {
  const code = new ByteSink(64).u8(0)
  code.u8(OP.localGet).unsigned(0).u8(OP.refIsNull).u8(OP.if).u8(EMPTY_BLOCK_TYPE)
  code.u8(OP.i32Const).signed(NO_EXCEPTION).u8(OP.call).unsigned(giveImports).u8(OP.return).u8(OP.end)
  const tags = [...module.tags.keys()]
  for (const tag of tags.toReversed()) code.u8(OP.block).signed(blockType(module.tags[tag].params))
  code.u8(OP.tryTable).u8(EMPTY_BLOCK_TYPE).unsigned(tags.length)
  for (const tag of tags) code.u8(CLAUSE.catch).unsigned(tag).unsigned(tag)
  code.u8(OP.localGet).unsigned(0).u8(OP.throwRef).u8(OP.end).u8(OP.unreachable)
  for (const tag of tags) {
    code
      .u8(OP.end)
      .u8(OP.call)
      .unsigned(giveTags + tag)
    if (tag < tags.length - 1) code.u8(OP.return)
  }
  return { params: ['exnref'], results: [], code: code.u8(OP.end).done() }
}

/** Inside of a `try`: throws the exception whose tag and values come next. Nothing goes on behind it. */
export function writeThrowAnew(sink: ByteSink, module: WasmModule, next: NextValue, writeTag: () => void): void {
  const count = module.tags.length
  for (let tag = 0; tag < count; tag++) sink.u8(OP.block).u8(EMPTY_BLOCK_TYPE)
  writeTag()
  sink.u8(OP.brTable).unsigned(count - 1)
  for (let tag = 0; tag < count; tag++) sink.unsigned(tag)
  for (let tag = 0; tag < count; tag++) {
    sink.u8(OP.end)
    for (const type of module.tags[tag].params) writeNext(sink, TYPE[type], next)
    sink.u8(OP.throw).unsigned(tag)
  }
}

/** Leaves a reference to the exception that comes next, or null; `scratch` is a local of type i32. */
export function writeNextException(sink: ByteSink, module: WasmModule, next: NextValue, scratch: number): void {
  sink.u8(OP.call).unsigned(next.nextI32)
  if (module.tags.length === 0) {
    sink.u8(OP.drop).u8(OP.refNull).u8(VALUE_TYPES.exnref)
    return
  }
  sink.u8(OP.localSet).unsigned(scratch).u8(OP.block).u8(VALUE_TYPES.exnref)
  sink.u8(OP.localGet).unsigned(scratch).u8(OP.i32Const).signed(NO_EXCEPTION).u8(OP.i32Eq)
  sink.u8(OP.if).u8(EMPTY_BLOCK_TYPE).u8(OP.refNull).u8(VALUE_TYPES.exnref).u8(OP.br).unsigned(1).u8(OP.end)
  sink.u8(OP.tryTable).u8(EMPTY_BLOCK_TYPE).unsigned(1).u8(CLAUSE.catchAllRef).unsigned(0)
  writeThrowAnew(sink, module, next, () => sink.u8(OP.localGet).unsigned(scratch))
  sink.u8(OP.end).u8(OP.unreachable).u8(OP.end)
}
