/** How a run finds the pages of its guest's memory that changed from one checkpoint to the next. */

/** `kernel`: it is asked which pages were written, and only these are compared. `compare`: all are. */
export type DirtyPagesMethod =
  | { readonly method: 'kernel'; readonly why: null }
  /** `why` not the quicker one, as a clause. */
  | { readonly method: 'compare'; readonly why: string }

export const KERNEL: DirtyPagesMethod = { method: 'kernel', why: null }

/** Before a scanner is wanted, and until it is there. */
export const WHILE_SMALL = compareBecause('the memory was under 64 MiB until the last checkpoints')

export function compareBecause(why: string): DirtyPagesMethod {
  return { method: 'compare', why }
}
