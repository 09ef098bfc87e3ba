export { exportRecord } from './record.ts'
export { exportRun } from './run.ts'
