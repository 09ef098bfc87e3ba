export { gatherBlobs, type GatherRequest } from './gather.ts'
export { compareCheckpoint, repeat, type FirstDivergence, type RepeatRequest, type RepeatResult } from './repeat.ts'
