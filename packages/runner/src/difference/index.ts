export { difference, type Difference, type MemoryDifference } from './difference.ts'
export type { Fork } from './fork.ts'
