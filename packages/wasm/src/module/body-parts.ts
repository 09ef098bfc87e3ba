/** What decoding a function body is measured in: limits and marks; the arrays it fills are in `body.ts`. */

import { type Cursor, malformed } from './cursor.ts'
import { unsupported } from './module.ts'
import { OP } from './opcodes.ts'

export const LOCALS_MAX = 49_900
export const NESTING_MAX = 10_000

/** Bits of `Body.loopFlags`. */
export const LOOP = {
  /** Holds another loop. */
  outer: 1,
  /** A branch, return or tail call leaves it from inside, or it has to do with exceptions. */
  exits: 2,
  /** Holds a call or memory.grow. */
  calls: 4,
} as const

/** Bits of `Body.uses`. */
export const USES = {
  /** Values of reference types. */
  references: 1,
  /** Exception handling as it was before it became a standard. */
  legacyExceptions: 2,
  exceptionReferences: 4,
} as const

export function checkIndex(index: number, size: number, what: string, offset: number): void {
  if (index >= size) throw malformed(`unknown ${what} ${index}`, offset)
}

export function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length)
  larger.set(array)
  return larger
}

/** What an instruction from `try` to `throw_ref` says about the kind of exception handling. */
export function exceptionUse(op: number): number {
  if (op === OP.throwRef) return USES.exceptionReferences
  return op === OP.throw ? 0 : USES.legacyExceptions
}

/** Block types in `Body.immediate`: a type index, or these negative values. */
export const EMPTY_BLOCK = -1
export const VALUE_BLOCK = -2

/** An opcode, numbered as in `opcodes.ts`; `where` names its function. */
export function readOpcode(cursor: Cursor, where: () => string): number {
  const { at } = cursor
  const op = cursor.u8()
  if (op !== 0xfc && op !== 0xfd) return op
  const sub = cursor.u32()
  if (op === 0xfd && sub > 0xff) throw unsupported('relaxed SIMD', where(), at)
  if (sub > 0xff) throw malformed(`unknown instruction in ${where()}`, at)
  return (op === 0xfc ? 0x100 : 0x200) + sub
}

/** Whether an instruction that goes on with or ends a construct cannot do so with one that `opened` began. */
export function isStray(op: number, opened: number, inFirstPart: boolean): boolean {
  if (op === OP.else) return opened !== OP.if || !inFirstPart
  if (op === OP.delegate) return opened !== OP.try || !inFirstPart
  return op !== OP.end && opened !== OP.try
}
