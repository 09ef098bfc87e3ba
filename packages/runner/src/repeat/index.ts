export { gatherBlobs } from './gather.ts'
export { compareCheckpoint, repeat, type FirstDivergence, type RepeatResult } from './repeat.ts'
