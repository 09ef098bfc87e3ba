export { compareCheckpoint, repeat, type FirstDivergence, type RepeatResult } from './repeat.ts'
export { repeatStart, startDiffers } from './warm.ts'
export { snapshotAt } from './segment.ts'
export { repeatSegments, type SegmentChoice, type SegmentsResult } from './segments.ts'
