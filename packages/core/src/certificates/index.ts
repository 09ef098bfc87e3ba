export {
  AK_STATEMENT,
  type AkCertificate,
  type AkStatement,
  decodeAkCertificate,
  decodeAkStatement,
  encodeAkStatement,
  isHostName,
} from './attestation-key.ts'
export { type Certificate, CERTIFICATE_BYTES_MAX, decodeCertificate } from './certificate.ts'
export {
  AIK_CERTIFICATE,
  CHAIN_LENGTH_MAX,
  type ChainOptions,
  type ChainPool,
  type ChainProblem,
  type ChainProblemCode,
  EK_CERTIFICATE,
  findChain,
  verifyChain,
} from './chain.ts'
export type { DerProfile } from './der.ts'
export {
  builtInEkRoots,
  type EkRootsFile,
  type EkTier,
  type OwnEkRoot,
  tierOfEk,
  type TierOptions,
} from './ek-roots.ts'
export { equalKeys } from './algorithms.ts'
export { akCertificateTbs, authorityCertificateTbs, SERIAL_BYTES, signedCertificate } from './issue.ts'
export { type DistinguishedName } from './names.ts'
export {
  authorityId,
  readRevocationList,
  REVOCATION_LIST_BYTES_MAX,
  revocationOf,
  type RevocationList,
  type Revoked,
} from './revocations.ts'
export {
  isAkName,
  type KnownKey,
  NO_POLICY,
  readTrustPolicy,
  type PolicyList,
  TRUST_POLICY_BYTES_MAX,
  type TrustPolicy,
} from './trust-policy.ts'
export { lowerTier, type Measurer, MEASURERS, type Tier, TIERS } from './tier.ts'
