/**
 * Why a guest stopped by itself: V8's wording of a trap, mapped to closed reasons that are part of the outcome.
 *
 * Source: V8 `src/common/message-template.h` (kTrap…), as worded in Node 20 to 26.
 */

export type TrapReason =
  | 'unreachable'
  | 'memory-out-of-bounds'
  | 'divide-by-zero'
  | 'integer-overflow'
  | 'invalid-conversion'
  | 'indirect-call-type'
  | 'table-out-of-bounds'
  | 'stack-exhausted'
  | 'invalid-checkpoint-label'
  | 'uncaught-exception'
  | 'null-reference'

const REASONS: readonly (readonly [wording: string, reason: TrapReason])[] = [
  ['unreachable', 'unreachable'],
  ['memory access out of bounds', 'memory-out-of-bounds'],
  ['data segment out of bounds', 'memory-out-of-bounds'],
  ['data segment is out of bounds', 'memory-out-of-bounds'],
  ['divide by zero', 'divide-by-zero'],
  ['remainder by zero', 'divide-by-zero'],
  ['divide result unrepresentable', 'integer-overflow'],
  ['float unrepresentable in integer range', 'invalid-conversion'],
  // Older engines say "null function or function signature mismatch" for both cases.
  ['null function', 'indirect-call-type'],
  ['function signature mismatch', 'indirect-call-type'],
  ['table index is out of bounds', 'table-out-of-bounds'],
  ['table access is out of bounds', 'table-out-of-bounds'],
  ['element segment out of bounds', 'table-out-of-bounds'],
  ['element segment is out of bounds', 'table-out-of-bounds'],
  ['rethrowing null value', 'null-reference'],
]

/** `undefined` for wording this version does not know. */
export function trapReason(message: string): TrapReason | undefined {
  return REASONS.find(([wording]) => message.startsWith(wording))?.[1]
}
