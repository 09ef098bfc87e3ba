export { recordsIn } from './records-in.ts'
export { verifyFile, type VerifyPolicy } from './verify-file.ts'
export { verifyFiles, type FileVerdict } from './verify-files.ts'
