/** What others know of the rewriter without loading it. */

/** Part of the key of every cache of rewritten modules: changes with each change of the output. */
export const REWRITER_VERSION = '3'
/** Slots that the activations on call-graph cycles may take together. */
export const STACK_LIMIT_SLOTS_DEFAULT = 1 << 22
export const MEMORY_LIMIT_PAGES_DEFAULT = 1 << 16
