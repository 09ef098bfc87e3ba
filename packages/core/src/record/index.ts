export * from './types.ts'
export * from './limits.ts'
export { blobsOf, type BlobUse } from './blobs.ts'
export { decodeBlobRef, decodeComputation } from './computation.ts'
export { crateOf } from './crate.ts'
export {
  decodeAttempt,
  decodeEnvironment,
  decodeHost,
  decodeOutcome,
  decodeRecordDocument,
  hostEntryNames,
} from './document.ts'
export {
  assembleRecord,
  ATTESTATIONS_ENTRY,
  blobEntryName,
  CHECKPOINTS_ENTRY,
  CRATE_ENTRY,
  RECORD_ENTRY,
  requiredEntryNames,
  type AttachedBlob,
  type RecordParts,
} from './entries.ts'
export {
  decodeAttestation,
  decodeAttestationLine,
  decodeCheckpoint,
  decodeCheckpointLine,
  encodeLine,
  readLines,
} from './lines.ts'
export * from './zip/index.ts'
