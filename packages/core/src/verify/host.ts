/** The hosts of a record: their attestation keys and endorsement certificates. Format: spec/record.md §2, §6. */
import { hex } from '../bytes/index.ts'
import type { Crypto, PublicKey, SignatureScheme } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import { hostId } from '../measure/index.ts'
import { EVIDENCE_BYTES_MAX, type RecordDocument } from '../record/index.ts'
import {
  decodeTpmtPublic,
  objectName,
  qualifiedName,
  toPublicKey,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPMA_OBJECT,
  type TpmtPublic,
} from '../tpm/index.ts'
import type { OpenedRecord } from './open.ts'

/** An attestation key that is fit to be one. */
export interface AttestationKey {
  /** Name of the key, Part 1 §16. */
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
  readonly hostId: Uint8Array
  readonly key: PublicKey
  readonly scheme: SignatureScheme
}

/** One for each host of the document; undefined for a key that is missing or unfit. */
export async function readHosts(
  record: OpenedRecord,
  document: RecordDocument,
  crypto: Crypto,
): Promise<(AttestationKey | undefined)[]> {
  const keys: (AttestationKey | undefined)[] = []
  const names = new Set<string>()
  for (const [i, { ak, ek }] of document.hosts.entries()) {
    const key = await readKey(record, ak, crypto)
    if (key !== undefined && names.has(hex(key.name)))
      record.findings.add('AK_PUBLIC', ak, 'the key is that of another host')
    if (key !== undefined) names.add(hex(key.name))
    keys.push(key)
    if (ek !== null) await checkCertificate(record, { document, crypto, ek, host: i })
  }
  return keys
}

async function readKey(record: OpenedRecord, name: string, crypto: Crypto): Promise<AttestationKey | undefined> {
  const entry = record.entries.get(name)
  if (entry === undefined) return undefined
  try {
    return attestationKey(await entry.bytes(EVIDENCE_BYTES_MAX), crypto)
  } catch (error) {
    record.findings.addError(error, 'AK_PUBLIC', name)
    return undefined
  }
}

/**
 * @param tpmtPublic - TPMT_PUBLIC as the TPM gave it.
 * @throws {@link EvidenceError} `STRUCTURE` for a key that a TPM would let sign what others give it, that could have been made
 *   outside, or whose algorithms are not among the two that are taken.
 */
export function attestationKey(tpmtPublic: Uint8Array, crypto: Crypto): AttestationKey {
  const area = decodeTpmtPublic(tpmtPublic)
  if (area.nameAlg !== TPM_ALG.SHA256) throw unfit('its Name is not over SHA-256')
  checkAttributes(area.objectAttributes)
  const scheme = schemeOf(area)
  const name = objectName(area, crypto.hash)
  return {
    name,
    // Part 1 §16: an AK is a primary key of the endorsement hierarchy. Elsewhere a TPM obfuscates its clock.
    qualifiedName: qualifiedName({ parent: TPM_RH.ENDORSEMENT, name, hash: crypto.hash }),
    hostId: hostId(name, crypto.sha256),
    key: toPublicKey(area),
    scheme,
  }
}

const ATTRIBUTES_SET = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'] as const

function checkAttributes(attributes: number): void {
  for (const attribute of ATTRIBUTES_SET) {
    if ((attributes & TPMA_OBJECT[attribute]) === 0) throw unfit(`${attribute} is clear`)
  }
  if ((attributes & TPMA_OBJECT.decrypt) !== 0) throw unfit('decrypt is set')
}

const RSA_BITS_MIN = 2048

function schemeOf(area: TpmtPublic): SignatureScheme {
  if (area.type === TPM_ALG.ECC) {
    const { curveId, scheme } = area.parameters
    if (curveId === TPM_ECC.NIST_P256 && scheme.scheme === TPM_ALG.ECDSA && scheme.hashAlg === TPM_ALG.SHA256)
      return { kind: 'ecdsa', hash: 'sha256' }
  }
  if (area.type === TPM_ALG.RSA) {
    const { keyBits, exponent, scheme } = area.parameters
    const isStrong = keyBits >= RSA_BITS_MIN && (exponent === 0 || exponent === 65537)
    if (isStrong && scheme.scheme === TPM_ALG.RSASSA && scheme.hashAlg === TPM_ALG.SHA256)
      return { kind: 'rsassa', hash: 'sha256' }
  }
  throw unfit('it is neither ECDSA over P-256 with SHA-256 nor RSASSA of at least 2048 bits with SHA-256')
}

function unfit(why: string): EvidenceError {
  return new EvidenceError('STRUCTURE', { message: `this is no attestation key: ${why}` })
}

async function checkCertificate(
  record: OpenedRecord,
  { document, crypto, ek, host }: { document: RecordDocument; crypto: Crypto; ek: string; host: number },
): Promise<void> {
  const entry = record.entries.get(ek)
  if (entry === undefined) return
  try {
    const digest = hex(crypto.sha256(await entry.bytes(EVIDENCE_BYTES_MAX)))
    const attempts = document.attempts.filter((attempt) => attempt.host === host)
    if (attempts.every(({ environment }) => environment.ekCertificate === digest)) return
    record.findings.add('EK_CERTIFICATE', ek, `the certificate has digest ${digest}, the environment names another one`)
  } catch (error) {
    record.findings.addError(error, 'EK_CERTIFICATE', ek)
  }
}
