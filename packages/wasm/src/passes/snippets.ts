/** Instruction sequences that the function writer inserts and that depend on nothing but their arguments. */

import { COUNTED_TRIPS_MAX, tripFactors, type CountedLoop } from '../analysis/counted-loop.ts'
import { OP, VALUE_TYPES } from '../module/opcodes.ts'
import { TYPE } from '../module/result-types.ts'
import type { ByteSink } from '../module/sink.ts'
import type { BranchHints } from './hints.ts'

const F32_NAN = [OP.f32Const, 0, 0, 0xc0, 0x7f]
const F64_NAN = [OP.f64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]
const F32X4_NAN = [0xfd, 0x0c, ...[0, 1, 2, 3].flatMap(() => F32_NAN.slice(1))]
const F64X2_NAN = [0xfd, 0x0c, ...[0, 1].flatMap(() => F64_NAN.slice(1))]

/** Leaves the number of iterations in `trips` and, as operand, whether it is known and small (spec §5.4). */
export function writeTrips(sink: ByteSink, { counter, step, stepLocal, bound }: CountedLoop, trips: number): void {
  const { factor, shift } = tripFactors(step)
  const pushBound = (): void => {
    if ('local' in bound) sink.u8(OP.localGet).unsigned(bound.local)
    else sink.u8(OP.i32Const).signed(bound.constant)
  }
  if (step > 0) {
    pushBound()
    sink.u8(OP.localGet).unsigned(counter)
  } else {
    sink.u8(OP.localGet).unsigned(counter)
    pushBound()
  }
  sink.u8(OP.i32Sub)
  if (factor !== 1) sink.u8(OP.i32Const).signed(factor).u8(OP.i32Mul)
  if (shift !== 0) sink.u8(OP.i32Const).signed(shift).u8(OP.i32Rotr)
  sink.u8(OP.localTee).unsigned(trips)
  // One less, so that a distance of zero (2^32 iterations) counts as large.
  sink.u8(OP.i32Const).signed(1).u8(OP.i32Sub)
  sink.u8(OP.i32Const).signed(COUNTED_TRIPS_MAX).u8(OP.i32LtU)
  if (stepLocal === undefined) return
  sink.u8(OP.localGet).unsigned(stepLocal).u8(OP.i32Const).signed(step).u8(OP.i32Eq).u8(OP.i32And)
}

/**
 * Replaces the topmost operand, a float, by the canonical NaN when it is NaN. A branch, as V8's select on floats is one
 * anyway; it is hardly ever taken.
 */
export function writeCanonicalScalar(sink: ByteSink, hints: BranchHints, isF32: boolean, local: number): void {
  sink.u8(OP.localTee).unsigned(local).u8(OP.localGet).unsigned(local)
  sink.u8(isF32 ? OP.f32Ne : OP.f64Ne)
  hints.add(sink.length, 'rarely')
  sink.u8(OP.if).u8(isF32 ? VALUE_TYPES.f32 : VALUE_TYPES.f64)
  sink.raw(isF32 ? F32_NAN : F64_NAN)
  sink.u8(OP.else).u8(OP.localGet).unsigned(local).u8(OP.end)
}

/** Replaces every lane of the topmost operand that is NaN. */
export function writeCanonicalVector(sink: ByteSink, is32: boolean, local: number): void {
  sink
    .u8(OP.localTee)
    .unsigned(local)
    .raw(is32 ? F32X4_NAN : F64X2_NAN)
  sink.u8(OP.localGet).unsigned(local).u8(OP.localGet).unsigned(local)
  writeVectorOp(sink, is32 ? OP.f32x4Eq : OP.f64x2Eq)
  writeVectorOp(sink, OP.bitselect)
}

function writeVectorOp(sink: ByteSink, op: number): void {
  sink.u8(0xfd).unsigned(op - 0x200)
}

/** Functions that give the next value of the frames. */
export interface NextValue {
  readonly nextI32: number
  readonly nextI64: number
  readonly nextFunction: number
}

/** Leaves the next value of the frames; it is no exception. */
export function writeNext(sink: ByteSink, type: number, next: NextValue): void {
  const isWord = type === TYPE.i32 || type === TYPE.f32
  sink.u8(OP.call).unsigned(type === TYPE.funcref ? next.nextFunction : isWord ? next.nextI32 : next.nextI64)
  if (type === TYPE.f32) sink.u8(OP.f32ReinterpretI32)
  else if (type === TYPE.f64) sink.u8(OP.f64ReinterpretI64)
  else if (type === TYPE.v128) {
    writeVectorOp(sink, OP.i64x2Splat)
    sink.u8(OP.call).unsigned(next.nextI64)
    writeVectorOp(sink, OP.i64x2ReplaceLane)
    sink.u8(1)
  }
}

/** Leaves the zero of a numeric type. */
export function writeZero(sink: ByteSink, type: number): void {
  if (type === TYPE.i32) sink.u8(OP.i32Const).u8(0)
  else if (type === TYPE.i64) sink.u8(OP.i64Const).u8(0)
  else if (type === TYPE.f32) sink.u8(OP.f32Const).raw([0, 0, 0, 0])
  else if (type === TYPE.f64) sink.u8(OP.f64Const).raw([0, 0, 0, 0, 0, 0, 0, 0])
  else if (type === TYPE.v128) sink.raw([0xfd, 0x0c, ...Array.from({ length: 16 }, () => 0)])
  else throw new Error('broken invariant: only numeric values share handlers')
}

/** Of the topmost operand, a vector. */
export function writeLane(sink: ByteSink, lane: number): void {
  writeVectorOp(sink, OP.i64x2ExtractLane)
  sink.u8(lane)
}
