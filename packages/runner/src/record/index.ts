export type { CheckpointList } from './checkpoint-table.ts'
export { loadRecord, type LoadedRecord } from './load.ts'
export { readingRecord } from './source.ts'
export { checkRecordPlace, writeRecord, type AttachLevel, ATTACH_LEVELS } from './write.ts'
