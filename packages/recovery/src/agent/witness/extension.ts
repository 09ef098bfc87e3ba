/** A lease that operators let count anew, in the clocks of a witness. Rules: spec/operators.md §4. */

import type { Clocks, Heartbeat } from '../../protocol/witness.ts'
import type { Statement } from '../../operators/index.ts'

/**
 * The heartbeat that an extension stands for.
 *
 * @returns Undefined when the one that is known is newer.
 */
export function extendedHeartbeat(
  { fromMs, ageMs }: Statement & { readonly kind: 'extension' },
  known: Heartbeat | null,
  at: Clocks,
): Heartbeat | undefined {
  const wallMs = fromMs - ageMs
  if (known !== null && known.wallMs >= wallMs) return undefined
  return { wallMs, clockMs: Math.max(0, at.clockMs - Math.max(0, at.wallMs - wallMs)) }
}
