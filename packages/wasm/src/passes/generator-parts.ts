/** Small parts of random programs, and where their randomness comes from. */

import type { ValueType } from '../module/opcodes.ts'
import type { Numeric } from './generator-tables.ts'

/** After a float `value`: replaces it when it is NaN. */
export function canonicalFrom(type: Numeric, value: readonly number[]): number[] {
  if (type === 'i32' || type === 'i64') return []
  const nan = type === 'f32' ? [0x43, 0, 0, 0xc0, 0x7f] : [0x44, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]
  return [...nan, ...value, ...value, type === 'f32' ? 0x5b : 0x61, 0x1b]
}

export function zero(type: ValueType): number[] {
  if (type === 'i32') return [0x41, 0]
  if (type === 'i64') return [0x42, 0]
  return type === 'f32' ? [0x43, 0, 0, 0, 0] : [0x44, 0, 0, 0, 0, 0, 0, 0, 0]
}

export type Random = (below: number) => number

/** xorshift32; fast-check shrinks the seed, which is all there is to shrink. */
export function generatorOf(seed: number): Random {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

export function pick<T>(random: Random, items: readonly T[]): T {
  return items[random(items.length)]
}

export function storedGlobal(type: Numeric, i: number, canonicalSinks: boolean): number[] {
  const store = { i32: 0x36, i64: 0x37, f32: 0x38, f64: 0x39 }[type]
  const value = [0x23, 1 + i]
  // Global 3 and 4 are floats; reading one twice is cheaper than a local.
  return [...value, ...(canonicalSinks ? canonicalFrom(type, value) : []), store, 0, 0]
}
