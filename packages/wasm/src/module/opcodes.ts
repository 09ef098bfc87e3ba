/**
 * The instructions of semantics `wasm/1` as tables: what follows an opcode, how many operands it takes and
 * leaves, and which features are refused.
 *
 * Source: WebAssembly Core Specification 2.0, §5.4 (binary instructions). An opcode with the prefix 0xfc is
 * numbered 0x100 + n here, one with the prefix 0xfd 0x200 + n.
 */

export const VALUE_TYPES = {
  ...{ i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b },
  ...{ funcref: 0x70, exnref: 0x69 },
} as const
export type ValueType = keyof typeof VALUE_TYPES
/** What has bits: all but references. */
export type NumericType = Exclude<ValueType, 'funcref' | 'exnref'>

export function isNumeric(type: ValueType): type is NumericType {
  return type !== 'funcref' && type !== 'exnref'
}

const NAMES = new Map<number, ValueType>(Object.entries(VALUE_TYPES).map(([name, code]) => [code, name as ValueType]))

/** `undefined` for a code that is no value type of `wasm/1`. */
export function valueType(code: number): ValueType | undefined {
  return NAMES.get(code)
}

export const OP = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  try: 0x06,
  catch: 0x07,
  throw: 0x08,
  rethrow: 0x09,
  throwRef: 0x0a,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  returnCall: 0x12,
  returnCallIndirect: 0x13,
  delegate: 0x18,
  catchAll: 0x19,
  drop: 0x1a,
  select: 0x1b,
  selectTyped: 0x1c,
  tryTable: 0x1f,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  f32Store: 0x38,
  f64Store: 0x39,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtS: 0x4a,
  i32GtU: 0x4b,
  f32Ne: 0x5c,
  f64Ne: 0x62,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32And: 0x71,
  i32Or: 0x72,
  i32Rotr: 0x78,
  f32Copysign: 0x98,
  f64Copysign: 0xa6,
  i32ReinterpretF32: 0xbc,
  i64ReinterpretF64: 0xbd,
  f32ReinterpretI32: 0xbe,
  f64ReinterpretI64: 0xbf,
  refNull: 0xd0,
  refIsNull: 0xd1,
  refFunc: 0xd2,
  tableGet: 0x25,
  tableSet: 0x26,
  memoryInit: 0x108,
  dataDrop: 0x109,
  tableInit: 0x10c,
  elemDrop: 0x10d,
  tableCopy: 0x10e,
  tableGrow: 0x10f,
  tableSize: 0x110,
  tableFill: 0x111,
  v128Const: 0x20c,
  i64x2Splat: 0x212,
  f32x4Splat: 0x213,
  f64x2Splat: 0x214,
  f32x4ReplaceLane: 0x220,
  f64x2ReplaceLane: 0x222,
  i64x2ExtractLane: 0x21d,
  i64x2ReplaceLane: 0x21e,
  f32x4Eq: 0x241,
  f64x2Eq: 0x247,
  bitselect: 0x252,
} as const

/** What follows an opcode in the code. */
export const IMMEDIATE = {
  none: 0,
  blockType: 1,
  label: 2,
  labels: 3,
  function: 4,
  indirect: 5,
  local: 6,
  global: 7,
  memory: 8,
  index: 9,
  twoIndices: 10,
  i32: 11,
  i64: 12,
  bytes4: 13,
  bytes8: 14,
  bytes16: 15,
  lane: 16,
  memoryLane: 17,
  types: 18,
  tag: 19,
  /** A label that ends its `try`. */
  delegate: 20,
  /** A block type, then clauses. */
  tryTable: 21,
  referenceType: 22,
  table: 23,
  element: 24,
  /** Segment, table. */
  tableInit: 25,
  /** Target, source. */
  tableCopy: 26,
  /** From here on: not an instruction of `wasm/1`; the value minus this indexes {@link REFUSED}. */
  refused: 32,
} as const

export const REFUSED = [
  'an unknown instruction',
  'typed function references',
  'garbage collection',
  'threads',
  'relaxed SIMD',
] as const
export type RefusedFeature = (typeof REFUSED)[number]

const COUNT = 0x300
/** By opcode: one of {@link IMMEDIATE}. */
export const immediates = new Uint8Array(COUNT).fill(IMMEDIATE.refused)
/** By opcode: operands taken; control instructions, calls and `return` are not in the table. */
export const pops = new Uint8Array(COUNT)
/** By opcode: operands left. */
export const pushes = new Uint8Array(COUNT)

function define(first: number, last: number, effect: string, immediate: number = IMMEDIATE.none): void {
  for (let op = first; op <= last; op++) {
    immediates[op] = immediate
    pops[op] = Number(effect[0])
    pushes[op] = Number(effect[1])
  }
}

function refuse(first: number, last: number, feature: RefusedFeature): void {
  immediates.fill(IMMEDIATE.refused + REFUSED.indexOf(feature), first, last + 1)
}

function defineScalar(): void {
  define(0x00, 0x01, '00') // unreachable, nop
  define(0x02, 0x03, '00', IMMEDIATE.blockType)
  define(0x04, 0x04, '10', IMMEDIATE.blockType)
  define(0x05, 0x05, '00')
  define(0x06, 0x06, '00', IMMEDIATE.blockType)
  define(0x07, 0x08, '00', IMMEDIATE.tag)
  define(0x09, 0x09, '00', IMMEDIATE.label)
  define(0x0a, 0x0a, '10')
  define(0x0b, 0x0b, '00')
  define(0x0c, 0x0c, '00', IMMEDIATE.label)
  define(0x0d, 0x0d, '10', IMMEDIATE.label)
  define(0x0e, 0x0e, '10', IMMEDIATE.labels)
  define(0x0f, 0x0f, '00')
  define(0x10, 0x10, '00', IMMEDIATE.function)
  define(0x11, 0x11, '10', IMMEDIATE.indirect)
  define(0x12, 0x12, '00', IMMEDIATE.function)
  define(0x13, 0x13, '10', IMMEDIATE.indirect)
  define(0x18, 0x18, '00', IMMEDIATE.delegate)
  define(0x19, 0x19, '00') // catch_all
  define(0x1a, 0x1a, '10') // drop
  define(0x1b, 0x1b, '31')
  define(0x1c, 0x1c, '31', IMMEDIATE.types)
  define(0x1f, 0x1f, '00', IMMEDIATE.tryTable)
  define(0x20, 0x20, '01', IMMEDIATE.local)
  define(0x21, 0x21, '10', IMMEDIATE.local)
  define(0x22, 0x22, '11', IMMEDIATE.local)
  define(0x23, 0x23, '01', IMMEDIATE.global)
  define(0x24, 0x24, '10', IMMEDIATE.global)
  define(0x28, 0x35, '11', IMMEDIATE.memory)
  define(0x36, 0x3e, '20', IMMEDIATE.memory)
  define(0x3f, 0x3f, '01', IMMEDIATE.index)
  define(0x40, 0x40, '11', IMMEDIATE.index)
  define(0x41, 0x41, '01', IMMEDIATE.i32)
  define(0x42, 0x42, '01', IMMEDIATE.i64)
  define(0x43, 0x43, '01', IMMEDIATE.bytes4)
  define(0x44, 0x44, '01', IMMEDIATE.bytes8)
  define(0x45, 0x45, '11') // i32.eqz
  define(0x46, 0x4f, '21') // i32 comparisons
  define(0x50, 0x50, '11') // i64.eqz
  define(0x51, 0x66, '21') // i64, f32 and f64 comparisons
  define(0x67, 0x69, '11') // i32 clz, ctz, popcnt
  define(0x6a, 0x78, '21') // i32 arithmetic
  define(0x79, 0x7b, '11') // i64 clz, ctz, popcnt
  define(0x7c, 0x8a, '21') // i64 arithmetic
  define(0x8b, 0x91, '11') // f32 abs … sqrt
  define(0x92, 0x98, '21') // f32 add … copysign
  define(0x99, 0x9f, '11') // f64 abs … sqrt
  define(0xa0, 0xa6, '21') // f64 add … copysign
  define(0xa7, 0xc4, '11') // conversions, sign extension
  define(0xd0, 0xd0, '01', IMMEDIATE.referenceType)
  define(0xd1, 0xd1, '11') // ref.is_null
  define(0xd2, 0xd2, '01', IMMEDIATE.function)
  define(0x100, 0x107, '11') // saturating conversions
  define(0x108, 0x108, '30', IMMEDIATE.twoIndices) // memory.init
  define(0x109, 0x109, '00', IMMEDIATE.index) // data.drop
  define(0x10a, 0x10a, '30', IMMEDIATE.twoIndices) // memory.copy
  define(0x10b, 0x10b, '30', IMMEDIATE.index) // memory.fill
  define(0x25, 0x25, '11', IMMEDIATE.table)
  define(0x26, 0x26, '20', IMMEDIATE.table)
  define(0x10c, 0x10c, '30', IMMEDIATE.tableInit)
  define(0x10d, 0x10d, '00', IMMEDIATE.element)
  define(0x10e, 0x10e, '30', IMMEDIATE.tableCopy)
  define(0x10f, 0x10f, '21', IMMEDIATE.table) // table.grow
  define(0x110, 0x110, '01', IMMEDIATE.table) // table.size
  define(0x111, 0x111, '30', IMMEDIATE.table) // table.fill
}

function defineVector(): void {
  define(0x200, 0x20a, '11', IMMEDIATE.memory) // loads
  define(0x20b, 0x20b, '20', IMMEDIATE.memory) // v128.store
  define(0x20c, 0x20c, '01', IMMEDIATE.bytes16)
  define(0x20d, 0x20d, '21', IMMEDIATE.bytes16) // i8x16.shuffle
  define(0x20e, 0x20e, '21') // i8x16.swizzle
  define(0x20f, 0x214, '11') // splats
  for (const op of [0x15, 0x16, 0x18, 0x19, 0x1b, 0x1d, 0x1f, 0x21])
    define(0x200 + op, 0x200 + op, '11', IMMEDIATE.lane)
  for (const op of [0x17, 0x1a, 0x1c, 0x1e, 0x20, 0x22]) define(0x200 + op, 0x200 + op, '21', IMMEDIATE.lane)
  define(0x223, 0x24c, '21') // comparisons
  define(0x24d, 0x24d, '11') // v128.not
  define(0x24e, 0x251, '21') // and, andnot, or, xor
  define(0x252, 0x252, '31') // bitselect
  define(0x253, 0x253, '11') // any_true
  define(0x254, 0x257, '21', IMMEDIATE.memoryLane) // load lane
  define(0x258, 0x25b, '20', IMMEDIATE.memoryLane) // store lane
  define(0x25c, 0x25d, '11', IMMEDIATE.memory) // load zero
  define(0x25e, 0x264, '11')
  define(0x265, 0x266, '21') // i8x16.narrow
  define(0x267, 0x26a, '11') // f32x4 rounding
  define(0x26b, 0x273, '21')
  define(0x274, 0x275, '11') // f64x2.ceil, floor
  define(0x276, 0x279, '21')
  define(0x27a, 0x27a, '11') // f64x2.trunc
  define(0x27b, 0x27b, '21')
  define(0x27c, 0x281, '11')
  define(0x282, 0x282, '21') // i16x8.q15mulr_sat_s
  define(0x283, 0x284, '11')
  define(0x285, 0x286, '21')
  define(0x287, 0x28a, '11')
  define(0x28b, 0x293, '21')
  define(0x294, 0x294, '11') // f64x2.nearest
  define(0x295, 0x299, '21')
  define(0x29b, 0x29f, '21')
  for (const base of [0x2a0, 0x2c0]) {
    define(base, base + 1, '11') // abs, neg
    define(base + 3, base + 4, '11') // all_true, bitmask
    define(base + 7, base + 10, '11') // extend
    define(base + 11, base + 14, '21') // shifts, add
    define(base + 17, base + 17, '21') // sub
    define(base + 21, base + 25, '21') // mul …
  }
  define(0x2ba, 0x2ba, '21') // i32x4.dot
  define(0x2bc, 0x2bf, '21') // i32x4.extmul
  define(0x2da, 0x2df, '21')
  define(0x2e0, 0x2e1, '11') // f32x4.abs, neg
  define(0x2e3, 0x2e3, '11')
  define(0x2e4, 0x2eb, '21')
  define(0x2ec, 0x2ed, '11')
  define(0x2ef, 0x2ef, '11')
  define(0x2f0, 0x2f7, '21')
  define(0x2f8, 0x2ff, '11')
}

defineScalar()
defineVector()
refuse(0x14, 0x15, 'typed function references')
refuse(0xd3, 0xd3, 'garbage collection')
refuse(0xd4, 0xd6, 'typed function references')
refuse(0xfb, 0xfb, 'garbage collection')
refuse(0xfe, 0xfe, 'threads')

/** What an opcode does to the nesting of constructs. */
export const STRUCTURE = {
  none: 0,
  /** block, loop, if, try, try_table. */
  opens: 1,
  /** else, catch, catch_all: ends one part of a construct and begins another. */
  continues: 2,
  /** end, delegate. */
  closes: 3,
} as const
export const structure = new Uint8Array(COUNT)
for (const op of [OP.block, OP.loop, OP.if, OP.try, OP.tryTable]) structure[op] = STRUCTURE.opens
for (const op of [OP.else, OP.catch, OP.catchAll]) structure[op] = STRUCTURE.continues
for (const op of [OP.end, OP.delegate]) structure[op] = STRUCTURE.closes

/** By opcode: 1 when control never goes on behind it. */
export const diverges = new Uint8Array(COUNT)
for (const op of [OP.unreachable, OP.br, OP.brTable, OP.return, OP.throw, OP.rethrow, OP.throwRef]) diverges[op] = 1
diverges[OP.returnCall] = diverges[OP.returnCallIndirect] = 1

/** What the float rules (spec/wasm-machine.md §7) say of an opcode. */
export const FLOAT = {
  /** Leaves a value whose NaN bits are fixed by the operands' bits, or no float. */
  fixed: 0,
  /** Scalar float arithmetic: the bits of a NaN are the engine's choice. */
  arithmetic: 1,
  /** As fixed as its (first) operand: neg, abs, copysign. */
  firstOperand: 2,
  /** As fixed as both alternatives. */
  select: 3,
  /** f32x4 or f64x2 arithmetic: made canonical at once. */
  vector32: 4,
  vector64: 5,
} as const

export const floatRules = new Uint8Array(COUNT)
for (const base of [0x8b, 0x99]) {
  floatRules.fill(FLOAT.firstOperand, base, base + 2)
  floatRules.fill(FLOAT.arithmetic, base + 2, base + 13)
  floatRules[base + 13] = FLOAT.firstOperand
}
floatRules[0xb6] = floatRules[0xbb] = FLOAT.arithmetic // demote, promote
floatRules[OP.select] = floatRules[OP.selectTyped] = FLOAT.select
for (const op of [0x25e, 0x267, 0x268, 0x269, 0x26a, 0x2e3, 0x2e4, 0x2e5, 0x2e6, 0x2e7, 0x2e8, 0x2e9]) {
  floatRules[op] = FLOAT.vector32
}
for (const op of [0x25f, 0x274, 0x275, 0x27a, 0x294, 0x2ef, 0x2f0, 0x2f1, 0x2f2, 0x2f3, 0x2f4, 0x2f5]) {
  floatRules[op] = FLOAT.vector64
}

/** Where the bits of a scalar float become visible; the value is always the topmost operand. */
export const SINK = { none: 0, f32: 1, f64: 2 } as const
export const sinks = new Uint8Array(COUNT)
for (const op of [OP.f32Store, OP.i32ReinterpretF32, OP.f32Copysign, OP.f32x4Splat, OP.f32x4ReplaceLane]) {
  sinks[op] = SINK.f32
}
for (const op of [OP.f64Store, OP.i64ReinterpretF64, OP.f64Copysign, OP.f64x2Splat, OP.f64x2ReplaceLane]) {
  sinks[op] = SINK.f64
}
