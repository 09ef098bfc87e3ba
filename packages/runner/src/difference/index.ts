export { difference, type Difference, type DifferenceRequest, type MemoryDifference } from './difference.ts'
