export { recordsIn } from './records-in.ts'
export { verifyFile, type VerifyPolicy } from './verify-file.ts'
export { verifyFiles } from './verify-files.ts'
