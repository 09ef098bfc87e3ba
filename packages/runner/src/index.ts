export { openBlobStore, type BlobStore } from './blobs/index.ts'
export {
  collect,
  planCollection,
  storeSizes,
  type BlobSizes,
  type CollectionPlan,
  type CollectionPolicy,
  type StoreSizes,
} from './collect/index.ts'
export { type Cause, type CriterionResult, type OutputDifference } from './compare/index.ts'
export { nodeCrypto } from './crypto.ts'
export {
  defineCommand,
  expectedModule,
  readHostRules,
  RUNTIMES,
  runtimeOf,
  type Definition,
  type Flags,
} from './definition/index.ts'
export {
  callSentence,
  difference,
  type Difference,
  type Fork,
  type MemoryDifference,
  type StepDifference,
  type StepFinding,
  type StepPlace,
} from './difference/index.ts'
export { readFailure, RunnerError, writeFailure, type RunnerErrorCode, type RunnerErrorKind } from './error.ts'
export { exportCel, exportRecord, exportRun } from './export/index.ts'
export { lookAtHost, ruleText, tierOf, type HostChange, type HostLook } from './host/index.ts'
export { openPlace, type BlobPlace, type BlobSources, type GatherProgress } from './gather/index.ts'
export type { KeepSnapshots } from './journal/index.ts'
export { expectModule, startEngineThreadEarly } from './machine/index.ts'
export { ATTACH_LEVELS, loadRecord, type AttachLevel, type LoadedRecord } from './record/index.ts'
export {
  repeat,
  repeatSegments,
  type FirstDivergence,
  type RepeatResult,
  type SegmentChoice,
  type SegmentsResult,
} from './repeat/index.ts'
export {
  buildRuntime,
  collectRuntimes,
  compareWithLock,
  encodeLock,
  exportRuntime,
  findRuntime,
  importRuntime,
  listRuntimes,
  planRuntimeCollection,
  readLock,
  readRecipe,
  recipeNames,
  runtimesPlace,
  scriptEnvironment,
  verifyRuntime,
  type BuildResult,
  type InstalledRuntime,
  type LockComparison,
  type RuntimeCollection,
} from './runtimes/index.ts'
export {
  adoptRun,
  alarmText,
  findRun,
  resume,
  run,
  cutOffRuns,
  showRun,
  warmRootOf,
  type AlarmReport,
  type ShownRun,
  type RunProgress,
  type RunRequest,
  type RunResult,
} from './run/index.ts'
export { recordsIn, verifyFile, verifyFiles, type VerifyPolicy } from './verify/index.ts'
export { REPRISE_VERSION } from './version.ts'
export { followedRuns, noteOutputs, writeBack, type WriteBackResult } from './write-back/index.ts'
