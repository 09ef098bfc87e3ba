/**
 * Decodes one function body into flat arrays: no object per instruction, because modules have millions.
 *
 * Checked here is what rewriting relies on: nesting, index ranges, label depths, and that every instruction
 * belongs to semantics `wasm/1`. Types are left to the engine's own validation of the rewritten module; the index
 * ranges are not, because rewriting adds functions, globals and locals that an invalid index could then reach.
 */

import { WasmError } from '../error.ts'
import { Cursor, malformed } from './cursor.ts'
import {
  checkIndex,
  doubled,
  EMPTY_BLOCK,
  exceptionUse,
  isStray,
  LOCALS_MAX,
  LOOP,
  NESTING_MAX,
  readOpcode,
  USES,
  VALUE_BLOCK,
} from './body-parts.ts'
import { readClause } from './clauses.ts'
import { readReferenceType, readValueType, unsupported, type WasmModule } from './module.ts'
import { describeFunction } from './names.ts'
import { IMMEDIATE, immediates, OP, REFUSED, STRUCTURE, structure } from './opcodes.ts'

/** The arrays are reused from function to function: only the first `count` (or `loops`) entries hold. */
export class Body {
  bytes: Uint8Array = new Uint8Array()
  /** Instructions. */
  count = 0
  opcode = new Uint16Array(0)
  /** Offset of each instruction in `bytes`; one more entry holds the end of the last. */
  at = new Uint32Array(0)
  /** First immediate: index, label depth, number of labels, i32 constant, block type. */
  immediate = new Int32Array(0)
  /** For an instruction that begins a part of a construct the one that ends it; for `end` and `delegate` the part's. */
  mate = new Int32Array(0)
  /** For an instruction that goes on with or ends a construct the one that opened it; -1: the function. */
  openerOf = new Int32Array(0)
  /** By catch and catch_all: 1 when a `rethrow` throws again what it has caught. */
  rethrown = new Uint8Array(0)
  /** `try` and `try_table` instructions. */
  tries = 0
  /** Whether an instruction throws. */
  throws = false
  /** Of {@link USES}. */
  uses = 0
  /** Innermost loop around each instruction as an index into the loop arrays; -1: none. For `loop`: itself. */
  loopOf = new Int32Array(0)

  loops = 0
  loopAt = new Uint32Array(0)
  loopParent = new Int32Array(0)
  loopFlags = new Uint8Array(0)
  /** Branches to the loop's header. */
  loopBackEdges = new Uint32Array(0)
  /** Instructions of its region: its own without those of nested loops. */
  loopWeight = new Uint32Array(0)
  /** Instructions outside of all loops. */
  entryWeight = 0
  /** By local: how many instructions set it. */
  localSets = new Uint32Array(0)
  /** By local: the constant that the last of them sets, if an i32.const stands right before it; else 0. */
  localConstants = new Int32Array(0)
  params = 0
  /** Parameters and locals. */
  locals = 0
  localGroups = 0
  /** Where the groups of local declarations stand in `bytes`, without their number. */
  groupsStart = 0
  groupsEnd = 0

  /** By nesting level: where its current part began, and the whole construct. */
  #open = new Int32Array(64)
  #openers = new Int32Array(64)
  #depth = 0
  #loop = -1
  /** Names the function that is being decoded, for messages. */
  #where: () => string = () => ''

  /** @throws {@link WasmError} `MALFORMED`, `FEATURE`, `LIMIT`. */
  decode(module: WasmModule, functionIndex: number): void {
    const { start, end } = module.bodies[functionIndex - module.imports.length]
    const cursor = new Cursor(module.bytes, start, end)
    this.bytes = module.bytes
    this.#where = () => describeFunction(module, functionIndex)
    this.uses = 0
    this.throws = false
    this.#readLocals(cursor, module, functionIndex)
    this.#ensure(end - cursor.at + 1)
    this.count = this.loops = this.tries = this.entryWeight = this.#depth = 0
    this.#loop = -1
    this.#push(-1)
    while (this.#depth > 0) {
      if (cursor.at >= end) throw malformed(`${this.#where()} ends too early`, cursor.at)
      this.#readInstruction(cursor, module)
    }
    if (cursor.at !== end) throw malformed(`${this.#where()} has code after its end`, cursor.at)
    this.at[this.count] = end
  }

  /** Number of operands a block takes. */
  blockParams(instruction: number, module: WasmModule): number {
    const type = this.immediate[instruction]
    return type < 0 ? 0 : module.types[type].params.length
  }

  blockResults(instruction: number, module: WasmModule): number {
    const type = this.immediate[instruction]
    return type < 0 ? EMPTY_BLOCK - type : module.types[type].results.length
  }

  #readLocals(cursor: Cursor, module: WasmModule, functionIndex: number): void {
    this.params = module.types[module.functions[functionIndex]].params.length
    this.locals = this.params
    this.localGroups = cursor.count()
    this.groupsStart = cursor.at
    for (let i = 0; i < this.localGroups; i++) {
      this.locals += cursor.u32()
      this.#readType(cursor)
      if (this.locals > LOCALS_MAX) {
        throw new WasmError('LIMIT', { message: `In ${this.#where()} there are more than ${LOCALS_MAX} locals.` })
      }
    }
    this.groupsEnd = cursor.at
    if (this.localSets.length < this.locals) {
      this.localSets = new Uint32Array(2 * this.locals)
      this.localConstants = new Int32Array(2 * this.locals)
    }
    this.localSets.fill(0, 0, this.locals)
  }

  #ensure(instructions: number): void {
    if (instructions < this.at.length) return
    const capacity = 2 * instructions
    this.opcode = new Uint16Array(capacity)
    this.at = new Uint32Array(capacity)
    this.immediate = new Int32Array(capacity)
    this.mate = new Int32Array(capacity)
    this.openerOf = new Int32Array(capacity)
    this.rethrown = new Uint8Array(capacity)
    this.loopOf = new Int32Array(capacity)
    this.loopAt = new Uint32Array(capacity)
    this.loopParent = new Int32Array(capacity)
    this.loopFlags = new Uint8Array(capacity)
    this.loopBackEdges = new Uint32Array(capacity)
    this.loopWeight = new Uint32Array(capacity)
  }

  #push(opener: number): void {
    if (this.#depth === this.#open.length) {
      if (this.#depth > NESTING_MAX)
        throw new WasmError('LIMIT', { message: `Blocks nest more than ${NESTING_MAX} deep.` })
      this.#open = doubled(this.#open)
      this.#openers = doubled(this.#openers)
    }
    this.#open[this.#depth] = this.#openers[this.#depth] = opener
    this.#depth++
  }

  #readInstruction(cursor: Cursor, module: WasmModule): void {
    const n = this.count++
    this.at[n] = cursor.at
    const op = readOpcode(cursor, this.#where)
    this.opcode[n] = op
    this.#weigh(op, n)
    if (op >= OP.try && op <= OP.throwRef) {
      this.throws ||= op === OP.throw || op === OP.rethrow || op === OP.throwRef
      this.uses |= exceptionUse(op)
    }
    switch (immediates[op]) {
      case IMMEDIATE.none:
        if (structure[op] !== STRUCTURE.none) this.#close(op, n)
        else if (op === OP.return) this.#leave(0)
        else if (op === OP.throwRef) this.#flag(LOOP.exits)
        return
      case IMMEDIATE.local:
        this.#index(cursor, n, this.locals, 'local')
        if (op !== OP.localGet) this.#noteSet(n)
        return
      case IMMEDIATE.i32:
        this.immediate[n] = cursor.signed33()
        return
      case IMMEDIATE.memory:
      case IMMEDIATE.memoryLane:
        if ((cursor.u32() & 0x40) !== 0) throw unsupported('several memories', this.#where(), this.at[n])
        cursor.u32()
        if (immediates[op] === IMMEDIATE.memoryLane) cursor.u8()
        return
      case IMMEDIATE.blockType:
        this.immediate[n] = this.#blockType(cursor, module)
        return this.#openBlock(op, n)
      case IMMEDIATE.label:
        this.immediate[n] = cursor.u32()
        if (op === OP.rethrow) return this.#rethrow(this.immediate[n], n)
        return this.#branch(this.immediate[n], n)
      case IMMEDIATE.labels:
        this.immediate[n] = cursor.count()
        for (let i = 0; i <= this.immediate[n]; i++) this.#branch(cursor.u32(), n)
        return
      case IMMEDIATE.function:
        if (op === OP.refFunc) this.uses |= USES.references
        else this.#flag(LOOP.calls)
        this.#index(cursor, n, module.functions.length, 'function')
        if (op === OP.refFunc && !module.declared.has(this.immediate[n])) {
          throw malformed(`undeclared reference to function ${this.immediate[n]}`, this.at[n])
        }
        return
      case IMMEDIATE.indirect:
        this.#flag(LOOP.calls)
        this.#index(cursor, n, module.types.length, 'type')
        checkIndex(cursor.u32(), module.tables.length, 'table', this.at[n])
        return
      case IMMEDIATE.global:
        return this.#index(cursor, n, module.globals.length, 'global')
      case IMMEDIATE.index:
        if (op === OP.memoryGrow) this.#flag(LOOP.calls)
        this.immediate[n] = cursor.u32()
        if (this.immediate[n] !== 0 && op === OP.memoryGrow) {
          throw unsupported('several memories', this.#where(), this.at[n])
        }
        return
      default:
        return this.#readRareImmediate(cursor, module, n)
    }
  }

  #readRareImmediate(cursor: Cursor, module: WasmModule, n: number): void {
    const op = this.opcode[n]
    switch (immediates[op]) {
      case IMMEDIATE.twoIndices:
        this.immediate[n] = cursor.u32()
        cursor.u32()
        return
      case IMMEDIATE.tag:
        this.#index(cursor, n, module.tags.length, 'tag')
        if (op === OP.catch) this.#close(op, n)
        else this.#flag(LOOP.exits)
        return
      case IMMEDIATE.table:
        if (op === OP.tableGrow) this.#flag(LOOP.calls)
        if (op === OP.tableGet) this.uses |= USES.references
        return this.#index(cursor, n, module.tables.length, 'table')
      case IMMEDIATE.element:
        return this.#index(cursor, n, module.elements, 'element segment')
      case IMMEDIATE.tableInit:
      case IMMEDIATE.tableCopy:
        if (op === OP.tableCopy) this.#index(cursor, n, module.tables.length, 'table')
        else this.#index(cursor, n, module.elements, 'element segment')
        return checkIndex(cursor.u32(), module.tables.length, 'table', this.at[n])
      case IMMEDIATE.delegate:
        this.immediate[n] = cursor.u32()
        this.#close(op, n)
        return this.#branch(this.immediate[n], n)
      case IMMEDIATE.tryTable:
        return this.#readTryTable(cursor, module, n)
      case IMMEDIATE.referenceType:
        this.immediate[n] = readReferenceType(cursor, this.#where)
        this.uses |= USES.references
        return
      case IMMEDIATE.i64:
        return cursor.skipSigned(64)
      case IMMEDIATE.bytes4:
        return cursor.skip(4)
      case IMMEDIATE.bytes8:
        return cursor.skip(8)
      case IMMEDIATE.bytes16:
        return cursor.skip(16)
      case IMMEDIATE.lane:
        return cursor.skip(1)
      case IMMEDIATE.types:
        for (let count = cursor.count(); count > 0; count--) this.#readType(cursor)
        return
      default: {
        const feature = REFUSED[immediates[op] - IMMEDIATE.refused]
        if (feature === 'an unknown instruction') {
          throw malformed(`unknown instruction in ${this.#where()}`, this.at[n])
        }
        throw unsupported(feature, this.#where(), this.at[n])
      }
    }
  }

  /** A type that may be a reference. */
  #readType(cursor: Cursor): void {
    const type = readValueType(cursor, this.#where)
    if (type === 'exnref') this.uses |= USES.exceptionReferences | USES.references
    else if (type === 'funcref') this.uses |= USES.references
  }

  #readTryTable(cursor: Cursor, module: WasmModule, n: number): void {
    this.uses |= USES.exceptionReferences
    this.immediate[n] = this.#blockType(cursor, module)
    for (let count = cursor.count(); count > 0; count--) {
      this.#branch(readClause(cursor, module.tags.length).label, n)
    }
    this.#openBlock(OP.tryTable, n)
  }

  #rethrow(depth: number, n: number): void {
    this.#flag(LOOP.exits)
    const part = depth < this.#depth ? this.#open[this.#depth - 1 - depth] : -1
    const caught = part >= 0 && (this.opcode[part] === OP.catch || this.opcode[part] === OP.catchAll)
    if (!caught) throw malformed(`a rethrow of nothing in ${this.#where()}`, this.at[n])
    this.rethrown[part] = 1
  }

  /** Every instruction but `else` and `end` counts one, a `loop` for the region around it (spec §5.2). */
  #weigh(op: number, n: number): void {
    this.loopOf[n] = this.#loop
    if (op === OP.end || op === OP.else) return
    if (this.#loop < 0) this.entryWeight++
    else this.loopWeight[this.#loop]++
  }

  #index(cursor: Cursor, n: number, size: number, what: string): void {
    const index = cursor.u32()
    checkIndex(index, size, what, this.at[n])
    this.immediate[n] = index
  }

  #noteSet(n: number): void {
    const local = this.immediate[n]
    this.localSets[local]++
    this.localConstants[local] = n > 0 && this.opcode[n - 1] === OP.i32Const ? this.immediate[n - 1] : 0
  }

  #blockType(cursor: Cursor, module: WasmModule): number {
    const byte = cursor.bytes[cursor.at]
    if (byte === 0x40) {
      cursor.u8()
      return EMPTY_BLOCK
    }
    if (byte >= 0x40 && byte < 0x80) {
      this.#readType(cursor)
      return VALUE_BLOCK
    }
    const index = cursor.signed33()
    if (index < 0 || index >= module.types.length) throw malformed(`unknown type ${index}`, cursor.at)
    return index
  }

  #openBlock(op: number, n: number): void {
    this.#push(n)
    if (op === OP.try || op === OP.tryTable) {
      this.tries++
      this.#flag(LOOP.exits)
    }
    if (op !== OP.loop) return
    const loop = this.loops++
    if (this.#loop >= 0) this.loopFlags[this.#loop] |= LOOP.outer
    this.loopAt[loop] = n
    this.loopParent[loop] = this.#loop
    this.loopFlags[loop] = 0
    this.loopBackEdges[loop] = 0
    this.loopWeight[loop] = 0
    this.loopOf[n] = this.#loop = loop
  }

  #close(op: number, n: number): void {
    const level = this.#depth - 1
    const part = this.#open[level]
    const opener = this.#openers[level]
    this.mate[n] = part
    this.openerOf[n] = opener
    if (part >= 0) this.mate[part] = n
    const opened = opener < 0 ? OP.block : this.opcode[opener]
    if (isStray(op, opened, part === opener)) throw malformed(`a part of no construct in ${this.#where()}`, this.at[n])
    if (structure[op] === STRUCTURE.continues) {
      this.#open[level] = n
      this.rethrown[n] = 0
      return
    }
    this.#depth = level
    if (opened === OP.loop) this.#loop = this.loopParent[this.#loop]
  }

  /** Notes what a branch means for the innermost loop; the outer ones are never counted loops. */
  #branch(depth: number, n: number): void {
    if (depth >= this.#depth) throw malformed(`unknown label ${depth}`, this.at[n])
    this.#leave(this.#depth - 1 - depth)
  }

  #leave(level: number): void {
    if (this.#loop < 0) return
    const target = this.#open[level]
    if (target === this.loopAt[this.#loop]) this.loopBackEdges[this.#loop]++
    else if (target < this.loopAt[this.#loop]) this.loopFlags[this.#loop] |= LOOP.exits
  }

  /** Of all loops around. */
  #flag(flag: number): void {
    for (let loop = this.#loop; loop >= 0 && (this.loopFlags[loop] & flag) === 0; loop = this.loopParent[loop]) {
      this.loopFlags[loop] |= flag
    }
  }
}
