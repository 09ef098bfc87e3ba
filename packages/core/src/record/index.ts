export * from './types.ts'
export * from './limits.ts'
export { blobsOf, useBlob, type BlobUse, type BlobUses } from './blobs.ts'
export { decodeBlobRef, decodeComputation } from './computation.ts'
export { crateOf } from './crate.ts'
export {
  decodeAttempt,
  decodeEnvironment,
  decodeHost,
  decodeOutcome,
  decodeRecordDocument,
  hostEntryNames,
  logEntryName,
} from './document.ts'
export {
  assembleRecord,
  ATTESTATIONS_ENTRY,
  blobEntryName,
  carriedLogs,
  CHECKPOINTS_ENTRY,
  CRATE_ENTRY,
  evidenceEntryNames,
  RECORD_ENTRY,
  requiredEntryNames,
  SNAPSHOTS_ENTRY,
  type AttachedBlob,
  type RecordParts,
} from './entries.ts'
export {
  attestationLineDecoder,
  decodeAttestation,
  decodeCheckpoint,
  decodeCheckpointLine,
  decodeSnapshot,
  decodeSnapshotLine,
  encodeLine,
  readLines,
} from './lines.ts'
/** The words that decoders of other formats are written in, too. */
export * as shape from './shape.ts'
export { decodeBootStatement, decodeCounterStatement } from './statements.ts'
export { decodeManifest, decodeManifestBytes, encodeManifest, manifestBlobs } from './snapshot.ts'
export * from './zip/index.ts'
