export { ArchiveError, readTar, type ArchiveErrorCode, type ArchiveFile } from './archive/index.ts'
export {
  createWasi,
  isUntouched,
  NOTES_MAX,
  WASI_LIMITS,
  type CallSubject,
  type HostCall,
  type Note,
  type NoteCode,
  type SavedHost,
  type WasiFile,
  type WasiFunction,
  type WasiHost,
  type WasiLimits,
  type WasiMount,
  type WasiOptions,
  type WasiOutput,
  type WasiStart,
} from './wasi/index.ts'
export {
  decodeFrames,
  encodeEngineState,
  encodeFrames,
  pagesDiffer,
  takeChangedPages,
  UsedBlocks,
  type Activations,
  type PagesDiffer,
  type PageRange,
} from './state/index.ts'
export { Places, type Place, type Source } from './debug/index.ts'
export { Continuations, type KeptContinuation, type KeptStack } from './passes/continuations.ts'
export { WasmError, type WasmErrorCode } from './error.ts'
export {
  runGuest,
  WORKER_STACK_MB,
  type Guest,
  type GuestOptions,
  type GlobalState,
  type GuestStop,
  type SavedMemory,
  type Snapshot,
  type Stop as PauseStop,
} from './machine.ts'
export { nameFirstCalls, namesFirstCalls } from './passes/first-calls.ts'
export { dataOf, type ModuleData } from './passes/without-data.ts'
export { sectionPlaces, type SectionPlace } from './module/section-places.ts'
export { rewrite, type ModuleFacts, type RewriteOptions } from './passes/rewrite.ts'
export { MEMORY_LIMIT_PAGES_DEFAULT, REWRITER_VERSION, STACK_LIMIT_SLOTS_DEFAULT } from './passes/version.ts'
export type { TrapReason } from './trap.ts'
