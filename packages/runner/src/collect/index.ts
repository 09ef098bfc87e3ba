export { collect, collectAmong, planCollection, type CollectionPlan, type CollectionPolicy } from './collect.ts'
export { blobsOfManifest, createRunCache } from './runs.ts'
export { storeSizes, type BlobSizes, type StoreSizes } from './show.ts'
