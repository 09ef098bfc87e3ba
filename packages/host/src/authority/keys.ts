/**
 * Whether the keys of a host are what they must be: an endorsement key that only decrypts what makes sense to its
 * TPM, an attestation key that signs only what its TPM says, and a quote by the one in answer to the other.
 *
 * Source: spec/enrolment.md §4, §5; TCG TPM 2.0 Library rev 1.59, Part 2 §8.3 (TPMA_OBJECT); TCG EK Credential Profile v2.5 Annex B.
 */

import {
  attestationKey,
  type AttestationKey,
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  encodePcrSelection,
  enrolmentDigest,
  type EnrolmentProof,
  equal,
  objectName,
  pcrDigest,
  type PublicArea,
  toPublicKey,
  TPM_ALG,
  TPM_ECC,
  TPM_ST,
  TPMA_OBJECT,
  type TpmtPublic,
} from '@reprise/core'
import { decodeCertificate } from '@reprise/core/certificates'
import { keyObject, nodeCrypto } from '../crypto.ts'
import type { EnrolQuote, EnrolRequest } from '../enrolment/messages.ts'
import { hash, sha256 } from '../hashing.ts'
import { refusal } from './refusal.ts'

export interface HostKeys {
  readonly ak: AttestationKey
  readonly ek: TpmtPublic
  readonly ekName: Uint8Array
}

/** @throws {@link HostError} `ENROLMENT_REFUSED`: `EK_UNFIT`, `EK_CERTIFICATE`, `AK_UNFIT`. */
export function readHostKeys(request: EnrolRequest): HostKeys {
  const ek = attempt('EK_UNFIT', () => endorsementKey(request.ekPublic))
  const ak = attempt('AK_UNFIT', () => {
    const key = attestationKey(request.akPublic, nodeCrypto)
    keyObject(key.key)
    return key
  })
  const { ekCertificate } = request
  if (ekCertificate !== null && !isFor(ekCertificate, ek)) {
    throw refusal(
      'EK_CERTIFICATE',
      'The certificate of the endorsement key is for another key, or cannot be read.',
      'The TPM carries a certificate that is not its own.',
    )
  }
  return { ak, ek, ekName: objectName(ek, hash) }
}

function isFor(certificate: Uint8Array, area: TpmtPublic): boolean {
  try {
    return keyObject(decodeCertificate(certificate, 'endorsement').key).equals(keyObject(toPublicKey(area)))
  } catch {
    return false
  }
}

function attempt<T>(code: 'EK_UNFIT' | 'AK_UNFIT', read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw refusal(
      code,
      `${code === 'EK_UNFIT' ? 'The endorsement key' : 'The attestation key'} cannot be taken: ${(error as Error).message}.`,
    )
  }
}

const SET = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'adminWithPolicy', 'restricted', 'decrypt'] as const

/** @throws Error saying what is wrong with it. */
function endorsementKey(tpmtPublic: Uint8Array): TpmtPublic {
  const area = decodeTpmtPublic(tpmtPublic)
  for (const attribute of SET)
    if ((area.objectAttributes & TPMA_OBJECT[attribute]) === 0) throw new Error(`${attribute} is clear`)
  if ((area.objectAttributes & TPMA_OBJECT.sign) !== 0) throw new Error('sign is set')
  if (!isKnownKind(area))
    throw new Error('it is neither RSA-2048, RSA-3072 or RSA-4096 nor on P-256 or P-384, with AES in CFB mode')
  // Points that are not on their curve, moduli that are none.
  keyObject(toPublicKey(area))
  return area
}

function isKnownKind(area: PublicArea): boolean {
  if (area.type === TPM_ALG.KEYEDHASH) return false
  const { symmetric, scheme } = area.parameters
  if (symmetric.algorithm !== TPM_ALG.AES || symmetric.mode !== TPM_ALG.CFB) return false
  if (![128, 256].includes(symmetric.keyBits) || scheme.scheme !== TPM_ALG.NULL) return false
  if (![TPM_ALG.SHA256, TPM_ALG.SHA384].some((algorithm) => algorithm === area.nameAlg)) return false
  if (area.type === TPM_ALG.ECC)
    return [TPM_ECC.NIST_P256, TPM_ECC.NIST_P384].some((curve) => curve === area.parameters.curveId)
  const { keyBits, exponent } = area.parameters
  return [2048, 3072, 4096].includes(keyBits) && (exponent === 0 || exponent === 65537)
}

/**
 * Whether the attestation key quoted, in answer to this very challenge.
 *
 * @throws {@link HostError} `ENROLMENT_REFUSED`: `QUOTE`.
 */
export async function checkQuote(ak: AttestationKey, quote: EnrolQuote, proof: EnrolmentProof): Promise<void> {
  const why = await whyNot(ak, quote, proof).catch((error: Error) => error.message)
  if (why !== undefined) throw refusal('QUOTE', `The quote does not hold: ${why}.`)
}

async function whyNot(ak: AttestationKey, quote: EnrolQuote, proof: EnrolmentProof): Promise<string | undefined> {
  const attest = decodeTpmsAttest(quote.attest)
  const { scheme, signature } = decodeTpmtSignature(quote.signature)
  if (scheme.kind !== ak.scheme.kind || scheme.hash !== ak.scheme.hash) return "its scheme is not the key's"
  if (!(await nodeCrypto.verify({ key: ak.key, scheme, message: quote.attest, signature })))
    return 'its signature is not by this attestation key'
  if (attest.type !== TPM_ST.ATTEST_QUOTE) return 'it is another kind of attestation'
  if (!equal(attest.qualifiedSigner, ak.qualifiedName))
    return 'its key is not a primary key of the endorsement hierarchy'
  if (!equal(attest.extraData, enrolmentDigest(proof, sha256)))
    return 'it was made for another authority, request, name or secret'
  return whyNotPcrs(attest.attested, quote)
}

function whyNotPcrs(
  {
    pcrSelect,
    pcrDigest: quoted,
  }: { readonly pcrSelect: Parameters<typeof encodePcrSelection>[0]; readonly pcrDigest: Uint8Array },
  { pcrs }: EnrolQuote,
): string | undefined {
  const indexes = Object.keys(pcrs.sha256).map(Number)
  const selection = [{ hash: TPM_ALG.SHA256, pcrs: indexes.toSorted((a, b) => a - b) }]
  if (!equal(encodePcrSelection(pcrSelect), encodePcrSelection(selection))) return 'it is over other registers'
  const digest = pcrDigest({ hash, algorithm: 'sha256', selection, banks: pcrs })
  return digest !== undefined && equal(digest, quoted) ? undefined : 'the values of its registers are others'
}
