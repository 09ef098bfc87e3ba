/**
 * The type of what an instruction leaves, for the opcodes whose table entry says that they leave one value.
 *
 * Source: WebAssembly Core Specification 2.0, §3.3. Numbering of opcodes as in `opcodes.ts`.
 */

import { type ValueType, VALUE_TYPES } from './opcodes.ts'

/** Value types as small numbers, for arrays. */
export const TYPE_NAMES: readonly ValueType[] = ['i32', 'i64', 'f32', 'f64', 'v128', 'funcref', 'exnref']
export const TYPE = {
  ...{ i32: 0, i64: 1, f32: 2, f64: 3, v128: 4 },
  ...{ funcref: 5, exnref: 6 },
} as const satisfies Record<ValueType, number>

/** The binary code of a small number's type. */
export function typeCode(type: number): number {
  return VALUE_TYPES[TYPE_NAMES[type]]
}

/** By opcode; meaningless for instructions that leave nothing or whose type depends on the operands or an index. */
export const resultTypes = new Uint8Array(0x300)

function give(type: number, ...ranges: readonly (readonly [first: number, last: number])[]): void {
  for (const [first, last] of ranges) resultTypes.fill(type, first, last + 1)
}

give(TYPE.i32, [0x28, 0x28], [0x2c, 0x2f], [0x3f, 0x41], [0x45, 0x78], [0xa7, 0xab], [0xbc, 0xbc], [0xc0, 0xc1])
give(TYPE.i64, [0x29, 0x29], [0x30, 0x35], [0x42, 0x42], [0x79, 0x8a], [0xac, 0xb1], [0xbd, 0xbd], [0xc2, 0xc4])
give(TYPE.f32, [0x2a, 0x2a], [0x43, 0x43], [0x8b, 0x98], [0xb2, 0xb6], [0xbe, 0xbe])
give(TYPE.f64, [0x2b, 0x2b], [0x44, 0x44], [0x99, 0xa6], [0xb7, 0xbb], [0xbf, 0xbf])
give(TYPE.i32, [0xd1, 0xd1])
give(TYPE.funcref, [0x25, 0x25], [0xd2, 0xd2])
give(TYPE.i32, [0x100, 0x103], [0x10f, 0x110])
give(TYPE.i64, [0x104, 0x107])
give(TYPE.v128, [0x200, 0x2ff])
give(TYPE.i32, [0x215, 0x216], [0x218, 0x219], [0x21b, 0x21b]) // extract_lane
give(TYPE.i64, [0x21d, 0x21d])
give(TYPE.f32, [0x21f, 0x21f])
give(TYPE.f64, [0x221, 0x221])
give(TYPE.i32, [0x253, 0x253], [0x263, 0x264], [0x283, 0x284], [0x2a3, 0x2a4], [0x2c3, 0x2c4]) // any_true, all_true, bitmask
