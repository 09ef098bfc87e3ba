export { compareCheckpoint, repeat, type FirstDivergence, type RepeatResult } from './repeat.ts'
export { repeatStart, startDiffers } from './warm.ts'
export { repeatSegments, snapshotAt, type SegmentChoice, type SegmentsResult } from './segments.ts'
