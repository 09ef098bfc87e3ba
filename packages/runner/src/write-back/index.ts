export { followedRuns, noteOutputs } from './output-index.ts'
export { writeBack, type WriteBackResult, type WrittenOutput } from './write-back.ts'
