/** What the code of a module does with its tables, and the functions that do it for code in other modules. */

import type { Body } from '../module/body.ts'
import { Cursor } from '../module/cursor.ts'
import { OP, type ValueType } from '../module/opcodes.ts'
import { ByteSink } from '../module/sink.ts'
import type { Layout, Segments, TableInstruction, TableUses } from './layout.ts'
import type { ChangedTable } from './rewrite.ts'

export class TableUseCollector implements TableUses {
  readonly #changed = new Set<number>()
  readonly #named = new Set<number>()
  #dropped = false
  readonly #instructions = new Map<string, TableInstruction>()

  /** Notes the instruction of a body, whatever it is. */
  add(body: Body, n: number): void {
    const op = body.opcode[n]
    const index = body.immediate[n]
    if (op === OP.tableSet || op === OP.tableFill || op === OP.tableCopy || op === OP.tableGrow)
      this.#changed.add(index)
    if (op === OP.tableInit || op === OP.elemDrop) this.#named.add(index)
    if (op === OP.elemDrop) this.#dropped = true
    const instruction = tableInstruction(body, n)
    if (instruction === undefined) return
    if (op === OP.tableInit) this.#changed.add(instruction.second)
    this.#instructions.set(keyOf(instruction), instruction)
  }

  get changed(): number[] {
    return [...this.#changed].sort((a, b) => a - b)
  }

  get elements(): Segments {
    return { named: [...this.#named].sort((a, b) => a - b), dropped: this.#dropped }
  }

  get instructions(): TableInstruction[] {
    return [...this.#instructions.values()]
  }

  indexOf(instruction: TableInstruction): number {
    return [...this.#instructions.keys()].indexOf(keyOf(instruction))
  }
}

function keyOf({ op, first, second }: TableInstruction): string {
  return `${op} ${first} ${second}`
}

/** `undefined` for an instruction that code in any module can do. */
export function tableInstruction(body: Body, n: number): TableInstruction | undefined {
  const op = body.opcode[n]
  const first = body.immediate[n]
  if (op === OP.tableGrow || op === OP.elemDrop) return { op, first, second: 0 }
  if (op !== OP.tableInit) return undefined
  const cursor = new Cursor(body.bytes, body.at[n] + 1)
  cursor.u32() // the second half of the opcode
  cursor.u32() // the segment
  return { op, first, second: cursor.u32() }
}

interface TableFunction {
  readonly params: readonly ValueType[]
  readonly results: readonly ValueType[]
}

/** The type of the function that stands for an instruction. */
export function tableFunctionType({ op }: TableInstruction): TableFunction {
  if (op === OP.tableGrow) return { params: ['funcref', 'i32'], results: ['i32'] }
  return { params: op === OP.tableInit ? ['i32', 'i32', 'i32'] : [], results: [] }
}

/**
 * The function that stands for an instruction.
 *
 * @param noteDropped - Appends code that notes that the element segment is dropped.
 */
export function tableFunction(
  instruction: TableInstruction,
  layout: Layout,
  tables: readonly ChangedTable[],
  noteDropped: (code: ByteSink, segment: number) => void,
): TableFunction & { readonly code: Uint8Array } {
  const { op, first, second } = instruction
  const code = new ByteSink(64).u8(0)
  if (op === OP.tableGrow) writeGrow(code, first, layout, tables)
  else if (op === OP.tableInit) {
    for (let local = 0; local < 3; local++) code.u8(OP.localGet).unsigned(local)
    prefixed(code, op).unsigned(first).unsigned(second)
  } else {
    prefixed(code, op).unsigned(first)
    noteDropped(code, first)
  }
  return { ...tableFunctionType(instruction), code: code.u8(OP.end).done() }
}

/** A host without memory is a failure of the host; only the machine's limit may answer -1. */
function writeGrow(code: ByteSink, table: number, layout: Layout, tables: readonly ChangedTable[]): void {
  const maxEntries = tables.find(({ index }) => index === table)?.maxEntries ?? 0
  code.u8(OP.localGet).unsigned(1).u8(OP.i32Const).signed(maxEntries)
  prefixed(code, OP.tableSize).unsigned(table).u8(OP.i32Sub)
  code.u8(OP.i32GtU).u8(OP.if).u8(0x40).u8(OP.i32Const).signed(-1).u8(OP.return).u8(OP.end)
  code.u8(OP.localGet).unsigned(0).u8(OP.localGet).unsigned(1)
  prefixed(code, OP.tableGrow).unsigned(table).u8(OP.localTee).unsigned(1)
  code.u8(OP.i32Const).signed(-1).u8(OP.i32Eq).u8(OP.if).u8(0x40).u8(OP.call).unsigned(layout.outOfMemory).u8(OP.end)
  code.u8(OP.localGet).unsigned(1)
}

function prefixed(code: ByteSink, op: number): ByteSink {
  return code.u8(0xfc).unsigned(op - 0x100)
}
