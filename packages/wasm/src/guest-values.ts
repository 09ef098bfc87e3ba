/** What the machine throws through a guest, and how it reads a guest's globals. */

import type { NumericType } from './module/opcodes.ts'
import { CAPTURED_EXPORT } from './passes/sections.ts'
import type { TrapReason } from './trap.ts'

/** Ends the guest from inside an import. */
export class Unwind extends Error {
  readonly end: 'suspended' | 'captured' | TrapReason

  constructor(end: 'suspended' | 'captured' | TrapReason) {
    super(end)
    this.end = end
  }
}

/** An exception of WebAssembly is no `Error`, but code can tell it by its tag. */
export function captureSignal(exports: WebAssembly.Exports): Error {
  const tag = exports[CAPTURED_EXPORT]
  return tag === undefined ? new Unwind('captured') : (new WebAssembly.Exception(tag, []) as unknown as Error)
}

export function globalBits(type: NumericType, exported: WebAssembly.ExportValue): bigint {
  const value: unknown = typeof exported === 'function' ? exported() : (exported as WebAssembly.Global).value
  if (type === 'v128') {
    const [low, high] = value as [bigint, bigint]
    return BigInt.asUintN(64, low) | (BigInt.asUintN(64, high) << 64n)
  }
  return BigInt.asUintN(type === 'i32' || type === 'f32' ? 32 : 64, BigInt(value as number | bigint))
}
