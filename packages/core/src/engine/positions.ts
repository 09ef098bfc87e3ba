/** Which positions a checkpoint policy asks for. Format: spec/measurement.md §4. */
import type { CheckpointPolicy } from '../record/types.ts'

/** No position: run to the end. */
export const NEVER: bigint = (1n << 64n) - 1n

/** The smallest power of two s with memoryBytes ≤ strideBytes · s, at most strideMax. */
export function stride(
  policy: { readonly strideBytes: number; readonly strideMax: number },
  memoryBytes: number,
): number {
  let s = 1
  while (s < policy.strideMax && memoryBytes > policy.strideBytes * s) s *= 2
  return s
}

/**
 * The position that the next grid checkpoint wants, after one at `position`.
 *
 * @param memoryBytes - Of the machine's memory at that checkpoint.
 */
export function nextGridPosition(policy: CheckpointPolicy, position: bigint, memoryBytes: number): bigint {
  if (policy.kind !== 'grid') return NEVER
  const step = BigInt(policy.fuel) * BigInt(stride(policy, memoryBytes))
  return (position / step + 1n) * step
}
