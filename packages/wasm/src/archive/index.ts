export { ArchiveError, readTar, type ArchiveErrorCode, type ArchiveFile } from './tar.ts'
