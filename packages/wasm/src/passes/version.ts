/** What others know of the rewriter without loading it. */

/** Part of the key of every cache of rewritten modules: changes with each change of the output. */
export const REWRITER_VERSION = '5'
/** Slots that all activations may take together (spec/wasm-machine.md §6.1). */
export const STACK_LIMIT_SLOTS_DEFAULT = 1 << 24
export const MEMORY_LIMIT_PAGES_DEFAULT = 1 << 16
