/**
 * Templates of the keys that every host has, and of what it seals.
 *
 * Source: TCG EK Credential Profile for TPM Family 2.0 v2.5, Annex B (templates L-1, L-2, H-3; Policy A and B);
 * TCG TPM v2.0 Provisioning Guidance v1.0 (SRK).
 */

import {
  type EccPublicArea,
  fromHex,
  type KeyedHashPublicArea,
  type PublicArea,
  type PublicKey,
  type RsaPublicArea,
  TPM_ALG,
  TPM_ECC,
  TPMA_OBJECT,
} from '@reprise/core'
import { TpmError } from './error.ts'

const { fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, adminWithPolicy, noDA, restricted, decrypt, sign } =
  TPMA_OBJECT
const EMPTY = new Uint8Array()
const NULL = { scheme: TPM_ALG.NULL } as const
const ECDSA_SHA256 = { scheme: TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 } as const
const AES_128_CFB = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const
const AES_256_CFB = { algorithm: TPM_ALG.AES, keyBits: 256, mode: TPM_ALG.CFB } as const
const NO_CIPHER = { algorithm: TPM_ALG.NULL } as const

/** Policy A: PolicySecret(TPM_RH_ENDORSEMENT). */
const POLICY_A_SHA256 = fromHex('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa')
/** Policy B: Policy A, or what the NV index of the endorsement policy authorizes. */
const POLICY_B_SHA384 = fromHex(
  'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
)

/** L-1. Certificate at NV index 0x01c00002. Used in a policy session after PolicySecret(ENDORSEMENT). */
export const EK_RSA_2048: RsaPublicArea = {
  type: TPM_ALG.RSA,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: fixedTPM | fixedParent | sensitiveDataOrigin | adminWithPolicy | restricted | decrypt,
  authPolicy: POLICY_A_SHA256,
  parameters: { symmetric: AES_128_CFB, scheme: NULL, keyBits: 2048, exponent: 0 },
  unique: new Uint8Array(256),
}

/** L-2. Certificate at NV index 0x01c0000a. Used like L-1. */
export const EK_P256: EccPublicArea = {
  type: TPM_ALG.ECC,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: fixedTPM | fixedParent | sensitiveDataOrigin | adminWithPolicy | restricted | decrypt,
  authPolicy: POLICY_A_SHA256,
  parameters: { symmetric: AES_128_CFB, scheme: NULL, curveId: TPM_ECC.NIST_P256, kdf: NULL },
  unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
}

/** H-3. Certificate at NV index 0x01c00016. Used with its empty authValue. */
export const EK_P384: EccPublicArea = {
  type: TPM_ALG.ECC,
  nameAlg: TPM_ALG.SHA384,
  objectAttributes:
    fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | adminWithPolicy | restricted | decrypt,
  authPolicy: POLICY_B_SHA384,
  parameters: { symmetric: AES_256_CFB, scheme: NULL, curveId: TPM_ECC.NIST_P384, kdf: NULL },
  unique: { x: EMPTY, y: EMPTY },
}

/** Storage root key, the parent of what is sealed; persistent at 0x81000001 by custom. */
export const SRK_P256: EccPublicArea = {
  type: TPM_ALG.ECC,
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | noDA | restricted | decrypt,
  authPolicy: EMPTY,
  parameters: { symmetric: AES_128_CFB, scheme: NULL, curveId: TPM_ECC.NIST_P256, kdf: NULL },
  unique: { x: new Uint8Array(32), y: new Uint8Array(32) },
}

/**
 * A signing key on P-256 with ECDSA and SHA-256.
 *
 * @param unique - Different bytes give a different primary key; up to 32.
 */
function signingKey(attributes: number, unique: Uint8Array): EccPublicArea {
  return {
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | noDA | attributes | sign,
    authPolicy: EMPTY,
    parameters: { symmetric: NO_CIPHER, scheme: ECDSA_SHA256, curveId: TPM_ECC.NIST_P256, kdf: NULL },
    unique: { x: unique, y: EMPTY },
  }
}

/** Attestation key: restricted, so that it signs only what the TPM itself says. Attributes 0x50472. */
export function attestationKeyTemplate(unique: Uint8Array): EccPublicArea {
  return signingKey(restricted, unique)
}

/** A key that signs any digest. */
export function signingKeyTemplate(unique: Uint8Array = EMPTY): EccPublicArea {
  return signingKey(0, unique)
}

/** A sealed object; opened by its policy, or by its authValue when there is none. */
export function sealedTemplate(authPolicy: Uint8Array = EMPTY): KeyedHashPublicArea {
  return {
    type: TPM_ALG.KEYEDHASH,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: fixedTPM | fixedParent | noDA | (authPolicy.length === 0 ? userWithAuth : 0),
    authPolicy,
    parameters: { scheme: NULL },
    unique: EMPTY,
  }
}

/** Public area of a P-256 key outside the TPM: a signer that PolicySigned or PolicyAuthorize names. */
export function externalSigner(key: PublicKey): PublicArea {
  if (key.kind !== 'ec' || key.curve !== 'P-256')
    throw new TpmError('USAGE', { message: 'An external signer has a P-256 key.' })
  return {
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: userWithAuth | sign,
    authPolicy: EMPTY,
    parameters: { symmetric: NO_CIPHER, scheme: ECDSA_SHA256, curveId: TPM_ECC.NIST_P256, kdf: NULL },
    unique: { x: key.x, y: key.y },
  }
}
