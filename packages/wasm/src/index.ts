export { ArchiveError, readTar, type ArchiveErrorCode, type ArchiveFile } from './archive/index.ts'
export {
  createWasi,
  NOTES_MAX,
  WASI_LIMITS,
  type Note,
  type NoteCode,
  type WasiFile,
  type WasiFunction,
  type WasiHost,
  type WasiLimits,
  type WasiMount,
  type WasiOptions,
  type WasiOutput,
} from './wasi/index.ts'
export { encodeEngineState, pageDiffers, takeChangedPages, type PageDiffers } from './state/index.ts'
