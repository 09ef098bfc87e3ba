export { openBlobStore, refOf, type BlobSource, type BlobStore } from './store.ts'
