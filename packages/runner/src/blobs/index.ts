export { readBlobSync } from './compressed.ts'
export { openBlobStore, refOf, type BlobSource, type BlobStore } from './store.ts'
