export { drive, type Driver, type Ended, type Measured } from './drive.ts'
export { blobPaths, MAX_LAG_MS, run, type RunProgress, type RunRequest, type RunResult } from './run.ts'
