/** What is asked of the thread that makes a warm start, and what it answers. */
import type { Computation, WarmStart } from '@reprise/core'
import type { SerializedError } from '../serialized-error.ts'
import type { WarmedUp } from './entry.ts'

/** What decides a warm start: the sealed definition without what is made of it. */
export type WarmUp = Pick<Computation, 'floats' | 'limits' | 'mounts' | 'program' | 'semantics'> & {
  readonly start: Omit<WarmStart, 'kind' | 'snapshotRoot'>
}

/** spec/computation.md §6.2 */
export const WARM_UP_CLOCK_NS = 946_684_800_000_000_000n
/** spec/computation.md §6.3: about a minute of work. */
export const WARM_UP_FUEL_MAX = 1n << 34n

export interface WarmUpWorkerData {
  readonly computation: WarmUp
  /** Paths of its blobs by SHA-256, already checked. */
  readonly blobs: Readonly<Record<string, string>>
  readonly cacheFolder: string
}

export type WarmUpMessage =
  | { readonly kind: 'warm'; readonly warmedUp: WarmedUp }
  | { readonly kind: 'failed'; readonly error: SerializedError }
