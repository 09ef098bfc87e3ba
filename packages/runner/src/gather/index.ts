export { gatherBlobs, gatherSnapshot, type BlobSources, type GatherProgress } from './gather.ts'
export { openPlace, type BlobPlace } from './places.ts'
