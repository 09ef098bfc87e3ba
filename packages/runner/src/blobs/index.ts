export { COMPRESSED, contentBytesOf, corrupt, readBlobSync, readCompressed } from './compressed.ts'
export { readPins, storeBusy, type LivePins } from './pins.ts'
export {
  onDiskBytes,
  openBlobStore,
  refOf,
  streamBlob,
  type BlobSource,
  type BlobStore,
  type KeptBlob,
} from './store.ts'
