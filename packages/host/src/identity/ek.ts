/**
 * The endorsement key, and the certificate by which a manufacturer vouches for it.
 *
 * Source: TCG EK Credential Profile for TPM Family 2.0 v2.5 §2.2 (NV indexes), Annex B (templates).
 */

import type { KeyObject } from 'node:crypto'
import { equal, type PublicArea, TPM_HT, toPublicKey } from '@reprise/core'
import {
  CreatePrimary,
  EK_P256,
  EK_P384,
  EK_RSA_2048,
  ENDORSEMENT,
  type LoadedObject,
  type ObjectEntity,
  openNvIndex,
  openObject,
  readHandles,
  readNv,
  type Tpm,
} from '@reprise/tpm'
import { keyObject } from '../crypto.ts'
import { EK_CERTIFICATE_BYTES_MAX, EK_ISSUERS_MAX } from '../enrolment/messages.ts'
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
/** Where chips that make their own EK certificates keep those of the issuers (§2.2.1.5). */
const ISSUER_INDEXES = { first: 0x01c00100, last: 0x01c001ff }
/** Persistent handles of endorsement keys (TCG Registry of Reserved TPM 2.0 Handles). */
const EK_HANDLES = { first: 0x81010000, last: 0x8101ffff }

/** Finds the EK with a certificate that fits it; without one, the P-256 EK. */
export async function readEndorsementKey(tpm: Tpm): Promise<EndorsementKey> {
  const indexes = await readHandles(tpm, TPM_HT.NV_INDEX)
  for (const { certificateIndex, template } of KINDS) {
    if (!indexes.includes(certificateIndex)) continue
    const [certificate] = derValues(await readIndex(tpm, certificateIndex))
    const key = certificate === undefined ? undefined : await certificateKey(certificate)
    if (key === undefined) continue
    await using ek = await openEk(tpm, [template], ({ public: area }) => keyObject(toPublicKey(area)).equals(key))
    if (ek !== undefined) return { name: ek.name, certificate }
  }
  await using key = await makePrimary(tpm, EK_P256)
  return { name: key.name, certificate: null }
}

/** Certificates of the EK certificate's issuers, as far as the TPM carries them. */
export async function readEkIssuers(tpm: Tpm): Promise<readonly Uint8Array[]> {
  const indexes = await readHandles(tpm, TPM_HT.NV_INDEX)
  const issuers: Uint8Array[] = []
  for (const index of indexes.filter((index) => index >= ISSUER_INDEXES.first && index <= ISSUER_INDEXES.last))
    issuers.push(...derValues(await readIndex(tpm, index)))
  return issuers.filter(({ length }) => length <= EK_CERTIFICATE_BYTES_MAX).slice(0, EK_ISSUERS_MAX)
}

/**
 * Opens the EK of that Name: a persistent one, else the one that its template makes.
 *
 * @returns Undefined when this TPM has none.
 */
export async function openEndorsementKey(
  tpm: Tpm,
  name: Uint8Array,
): Promise<(ObjectEntity & AsyncDisposable) | undefined> {
  const templates = KINDS.map(({ template }) => template)
  return await openEk(tpm, templates, (object) => equal(object.name, name))
}

/** By its own, empty authValue: an owner may have set one. */
async function readIndex(tpm: Tpm, index: number): Promise<Uint8Array> {
  const nvIndex = await openNvIndex(tpm, index)
  return await readNv(tpm, { authHandle: nvIndex, nvIndex })
}

/** NV indexes are padded and may hold several values; DER says how long each is. */
function derValues(bytes: Uint8Array): Uint8Array[] {
  const values: Uint8Array[] = []
  for (let at = 0; bytes[at] === 0x30 && bytes[at + 1] === 0x82;) {
    const end = at + 4 + ((bytes[at + 2] << 8) | bytes[at + 3])
    if (end > bytes.length) break
    values.push(bytes.slice(at, end))
    at = end
  }
  return values
}

/** Undefined for what is no certificate, or has a key of a kind that no EK here is. */
async function certificateKey(der: Uint8Array): Promise<KeyObject | undefined> {
  // Needed once, when an identity is made.
  const { decodeCertificate } = await import('@reprise/core/certificates')
  try {
    return keyObject(decodeCertificate(der, 'endorsement').key)
  } catch {
    return undefined
  }
}

async function openEk(
  tpm: Tpm,
  templates: readonly PublicArea[],
  isIt: (object: ObjectEntity) => boolean,
): Promise<(ObjectEntity & AsyncDisposable) | undefined> {
  for (const handle of await readHandles(tpm, TPM_HT.PERSISTENT)) {
    if (handle < EK_HANDLES.first || handle > EK_HANDLES.last) continue
    const object = await openObject(tpm, handle)
    if (isIt(object)) return { ...object, [Symbol.asyncDispose]: async () => undefined }
  }
  for (const inPublic of templates) {
    const made = await makeIfPossible(tpm, inPublic)
    if (made !== undefined && isIt(made)) return made
    await made?.flush()
  }
  return undefined
}

/** A certificate for a key that this TPM cannot make, such as one on P-384, is no use here. */
async function makeIfPossible(tpm: Tpm, inPublic: PublicArea): Promise<LoadedObject | undefined> {
  try {
    return await makePrimary(tpm, inPublic)
  } catch (error) {
    if (isUnsupported(error)) return undefined
    throw error
  }
}

async function makePrimary(tpm: Tpm, inPublic: PublicArea): Promise<LoadedObject> {
  return await tpm.execute(CreatePrimary({ primaryHandle: ENDORSEMENT, inPublic })).catch((cause: unknown) => {
    throw isWrongAuth(cause) ? locked('endorsement', 'its endorsement key cannot be made', cause) : cause
  })
}
