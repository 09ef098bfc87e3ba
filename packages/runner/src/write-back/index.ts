export { followedRuns, noteOutputs } from './output-index.ts'
export {
  writeBack,
  type Conflict,
  type WriteBackRequest,
  type WriteBackResult,
  type WrittenOutput,
} from './write-back.ts'
