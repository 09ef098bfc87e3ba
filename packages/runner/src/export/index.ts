export { exportCel } from './cel.ts'
export { exportRecord } from './record.ts'
export { exportRun } from './run.ts'
