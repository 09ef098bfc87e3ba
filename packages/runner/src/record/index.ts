export { loadRecord, type LoadedRecord } from './load.ts'
export { openFileSource, type FileSource } from './source.ts'
export { writeRecord, type AttachLevel, ATTACH_LEVELS } from './write.ts'
