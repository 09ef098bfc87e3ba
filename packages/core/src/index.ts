export * from './bytes/index.ts'
export * from './merkle/index.ts'
export type { Crypto, HashAlgorithm, PublicKey, Sha256, SignatureScheme } from './crypto.ts'
export { assert, EvidenceError, RepriseError, type CoreErrorCode, type ErrorDetails } from './error.ts'
