/** What a difference in memory is told as. */
import type { PageDifferences } from '../compare/index.ts'

export const PAGES_MAX = 64
export const BYTES_MAX = 64

/** The memories at the first checkpoint that differs, or why they could not be had. */
export type MemoryDifference =
  | ({ readonly kind: 'compared' } & PageDifferences)
  | { readonly kind: 'not-compared'; readonly why: string }
