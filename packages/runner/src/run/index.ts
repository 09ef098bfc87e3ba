export { drive } from './drive.ts'
export { blobPaths, run, type RunProgress, type RunRequest, type RunResult } from './run.ts'
