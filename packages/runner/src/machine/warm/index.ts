export { isWhole, keptStack, warmStack, type WarmEntry, type WarmStack } from './entry.ts'
export type { WarmUp } from './protocol.ts'
export { loadWarmRoot, loadWarmStart, makeWarmStart } from './warm-up.ts'
