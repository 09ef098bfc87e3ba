/** What a host's TPM and its witnesses' TPMs keep of a release, and the image that it opens. Truth: spec/release.md. */

export {
  type Approval,
  approvalMessage,
  type LeaseApproval,
  type ShareApproval,
  type SignedApproval,
} from './approval.ts'
export {
  type BootState,
  CAP_PCR,
  CAP_UNTOUCHED,
  capBoot,
  pcrClause,
  readBootState,
  type Register,
} from './boot-state.ts'
export { checkCleanMarker, type CheckedMarker, signCleanMarker } from './clean-marker.ts'
export { HALF_BYTES, type WrappedKey } from './content-key.ts'
export {
  abandonGeneration,
  commitGeneration,
  contentKey,
  type Generation,
  generationRoot,
  type Generations,
  type GenerationStep,
  type Keeper,
  type LeaseRequest,
  openTpmHalf,
  type Prepared,
  prepareGeneration,
  type PrepareRequest,
  readGenerations,
  renewLease,
  retireGeneration,
  revertGeneration,
} from './generations.ts'
export { buildImage, makeFileSystem } from './image/build.ts'
export {
  type ImageFloors,
  type ImageManifest,
  type ImagePayload,
  isImageSignedBy,
  type PayloadKind,
  type SignedManifest,
} from './image/manifest.ts'
export { openImageFile } from './image/file-source.ts'
export { decryptImage, type ImageSource, inspectImage, openImage, type OpenImage } from './image/open-image.ts'
export { sealImage, type SealImageRequest } from './image/seal-image.ts'
export { IMAGE_PCR, imageDigest, measureImage, raiseImageFloors, readImageFloors } from './image/take.ts'
export {
  count,
  type CounterName,
  type Floor,
  INDEXES,
  openCounter,
  raiseFloor,
  readCounter,
  readFloor,
} from './indexes.ts'
export { generationFile } from './generation-file.ts'
export { decodeGenerations, encodeGenerations } from './generations-json.ts'
export { leaseKey, type PolicySigner } from './keys.ts'
export { type LeaseTerms, type Renewal } from './lease.ts'
export {
  type HeartbeatClock,
  type PriorShutdownSources,
  readPriorShutdown,
  type SystemFiles,
} from './prior-shutdown.ts'
export {
  combineEscrow,
  combineShares,
  type EscrowedShare,
  escrowHalf,
  isShare,
  keepShare,
  type KeptShare,
  openEscrow,
  openShare,
  SHARE_BYTES,
  type ShareDigests,
  type ShareScope,
  splitHalf,
} from './quorum-half.ts'
export { Secret } from './secret.ts'
export { type Opened, type PinnedTpm, readStorageKey, type Rule, type SealedObject } from './storage.ts'
export { systemFiles } from './system-files.ts'
export {
  breakGlassMessage,
  type BreakGlassRequest,
  openByApproval,
  openByOperators,
  type OperatorStatement,
  type TpmHalf,
} from './tpm-half.ts'
