export { createWasi, type WasiFunction, type WasiHost } from './host.ts'
export { type Note, type NoteCode, NOTES_MAX } from './notes.ts'
export {
  WASI_LIMITS,
  type SavedHost,
  type WasiFile,
  type WasiLimits,
  type WasiMount,
  type WasiOptions,
  type WasiStart,
} from './options.ts'
export { isUntouched } from './state.ts'
export { type WasiOutput } from './outputs.ts'
export { type CallSubject, type HostCall } from './trace.ts'
