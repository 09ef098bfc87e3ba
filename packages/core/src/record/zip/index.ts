export { crc32 } from './crc32.ts'
export { ZIP_BYTES_MAX, ZIP_ENTRIES_MAX, ZIP_NAME_BYTES_MAX } from './format.ts'
export { bytesSource, openZip, type ZipEntry, type ZipSource } from './read.ts'
export { writeZip, type ZipInput } from './write.ts'
