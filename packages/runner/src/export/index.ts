export { exportRecord } from './record.ts'
