/**
 * The endorsement key, and the certificate by which a manufacturer vouches for it.
 *
 * Source: TCG EK Credential Profile for TPM Family 2.0 v2.5 §2.2 (NV indexes), Annex B (templates).
 */

import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { type PublicArea, TPM_HT, toPublicKey } from '@reprise/core'
import {
  CreatePrimary,
  EK_P256,
  EK_P384,
  EK_RSA_2048,
  ENDORSEMENT,
  type LoadedObject,
  openNvIndex,
  openObject,
  readHandles,
  readNv,
  type Tpm,
} from '@reprise/tpm'
import { isUnsupported, isWrongAuth, locked } from './unfit.ts'

export interface EndorsementKey {
  readonly name: Uint8Array
  /** X.509 DER, when its key is the EK's. */
  readonly certificate: Uint8Array | null
}

/** The small keys first: a chip needs many seconds to make the RSA key anew. */
const KINDS = [
  { certificateIndex: 0x01c0000a, template: EK_P256 },
  { certificateIndex: 0x01c00016, template: EK_P384 },
  { certificateIndex: 0x01c00002, template: EK_RSA_2048 },
]
/** Persistent handles of endorsement keys (TCG Registry of Reserved TPM 2.0 Handles). */
const EK_HANDLES = { first: 0x81010000, last: 0x8101ffff }

/** Finds the EK with a certificate that fits it; without one, the P-256 EK. */
export async function readEndorsementKey(tpm: Tpm): Promise<EndorsementKey> {
  const indexes = await readHandles(tpm, TPM_HT.NV_INDEX)
  for (const { certificateIndex, template } of KINDS) {
    if (!indexes.includes(certificateIndex)) continue
    const nvIndex = await openNvIndex(tpm, certificateIndex)
    // By its own, empty authValue: an owner may have set one.
    const certificate = trimDer(await readNv(tpm, { authHandle: nvIndex, nvIndex }))
    const name = await findKey(tpm, template, certificateKey(certificate))
    if (name !== undefined) return { name, certificate }
  }
  await using key = await makePrimary(tpm, EK_P256)
  return { name: key.name, certificate: null }
}

/** NV indexes are padded; DER says how long it is. */
function trimDer(bytes: Uint8Array): Uint8Array {
  const lengthBytes = bytes[1] === 0x82 ? 4 + ((bytes[2] << 8) | bytes[3]) : bytes.length
  return bytes.slice(0, lengthBytes)
}

/** Undefined for what OpenSSL does not read, such as keys marked as RSAES-OAEP. */
function certificateKey(der: Uint8Array): KeyObject | undefined {
  try {
    return new X509Certificate(der).publicKey
  } catch {
    return undefined
  }
}

/** Name of this TPM's EK with that key: a persistent one, else the one that the template makes. */
async function findKey(tpm: Tpm, template: PublicArea, key: KeyObject | undefined): Promise<Uint8Array | undefined> {
  if (key === undefined) return undefined
  for (const handle of await readHandles(tpm, TPM_HT.PERSISTENT)) {
    if (handle < EK_HANDLES.first || handle > EK_HANDLES.last) continue
    const object = await openObject(tpm, handle)
    if (keyOf(object.public).equals(key)) return object.name
  }
  try {
    await using made = await makePrimary(tpm, template)
    return keyOf(made.public).equals(key) ? made.name : undefined
  } catch (error) {
    // A certificate for a key that this TPM cannot make, such as one on P-384, is no use here.
    if (isUnsupported(error)) return undefined
    throw error
  }
}

async function makePrimary(tpm: Tpm, inPublic: PublicArea): Promise<LoadedObject> {
  return await tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic })).catch((cause: unknown) => {
    throw isWrongAuth(cause) ? locked('endorsement', 'its endorsement key cannot be made', cause) : cause
  })
}

function keyOf(area: PublicArea): KeyObject {
  const key = toPublicKey(area)
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  if (key.kind === 'ec')
    return createPublicKey({ key: { kty: 'EC', crv: key.curve, x: base64(key.x), y: base64(key.y) }, format: 'jwk' })
  const exponent = Buffer.alloc(4)
  exponent.writeUInt32BE(key.exponent)
  const e = base64(exponent.subarray(exponent.findIndex((byte) => byte !== 0)))
  return createPublicKey({ key: { kty: 'RSA', n: base64(key.modulus), e }, format: 'jwk' })
}
