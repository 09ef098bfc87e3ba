export {
  decodeTpmsAttest,
  encodeTpmsAttest,
  readTimeInfo,
  type TpmsAttest,
  type TpmsAttestFields,
  type TpmsCertifyInfo,
  type TpmsClockInfo,
  type TpmsNvCertifyInfo,
  type TpmsQuoteInfo,
  type TpmsSessionAuditInfo,
  type TpmsTimeAttestInfo,
  type TpmsTimeInfo,
} from './attest.ts'
export { type AuditedExchange, commandParameterHash, responseParameterHash, sessionAuditDigest } from './audit.ts'
export {
  STARTUP_CLEAR_ORDERLY,
  TPM_ALG,
  TPM_CAP,
  TPM_CC,
  TPM_ECC,
  TPM_EO,
  TPM_GENERATED_VALUE,
  TPM_HT,
  TPM_PT,
  TPM_RH,
  TPM_SE,
  TPM_ST,
  TPM_SU,
  TPMA_NV,
  TPMA_OBJECT,
  TPMA_SESSION,
  type TpmCommandName,
} from './constants.ts'
export { digestLengthBytes, hashAlg, hashAlgorithm } from './hash.ts'
export { decodeTpmsNvPublic, encodeTpmsNvPublic, nvName, type TpmsNvPublic } from './nv.ts'
export {
  decodePcrSelection,
  encodePcrSelection,
  type PcrBanks,
  pcrDigest,
  type PcrSelection,
  readPcrSelection,
} from './pcr.ts'
export {
  decodeTpmtPublic,
  type EccPublicArea,
  encodeTpmtPublic,
  type KeyedHashPublicArea,
  objectName,
  type PublicArea,
  qualifiedName,
  type RsaPublicArea,
  toPublicKey,
  type TpmtPublic,
  type TpmtScheme,
  type TpmtSymDefObject,
} from './public.ts'
export { decodeResponseCode, type ResponseCode } from './response-code.ts'
export { decodeTpmtSignature, encodeTpmtSignature, type TpmSignature } from './signature.ts'
export { decodeStartupClear, STARTUP_CLEAR_REQUEST, startupClearExchange } from './startup.ts'
export { TPM_STRUCTURE_BYTES_MAX } from './structure.ts'
