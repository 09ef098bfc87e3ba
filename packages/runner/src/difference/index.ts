export { difference, type Difference, type MemoryDifference } from './difference.ts'
