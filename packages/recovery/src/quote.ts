/**
 * Attestation keys of hosts and what they quoted: over channels, in files and in logs alike. Source: TPM 2.0 Library rev 1.59,
 * Part 2 §10.12 (TPMS_ATTEST), Part 3 §18.4 (TPM2_Quote); rules: spec/channel.md §4.
 */

import {
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  equal,
  hex,
  objectName,
  pcrDigest,
  type PublicKey,
  qualifiedName,
  TPM_ALG,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
  type TpmsAttest,
  type TpmSignature,
  toPublicKey,
} from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import type { RegisterValue } from './plan/boots.ts'

/** TPMS_ATTEST and TPMT_SIGNATURE as the TPM gave them. */
export interface Quote {
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

export interface AttestationKey {
  readonly key: PublicKey
  /** TPM Name. */
  readonly name: Uint8Array
  /** As a primary key of the endorsement hierarchy: of others a TPM disguises counts, clock and firmware. */
  readonly qualifiedName: Uint8Array
  /** It signs nothing that its TPM did not make, and never left it. */
  readonly isFit: boolean
}

const { fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign, decrypt } = TPMA_OBJECT
const NEEDED = fixedTPM | fixedParent | sensitiveDataOrigin | restricted | sign

/** By TPMT_PUBLIC, hex: to read a key costs a tenth of an attestation, and more of a verification. */
const kept = new Map<string, AttestationKey>()
const KEPT_MAX = 1024

/** @param akPublic - TPMT_PUBLIC. @throws EvidenceError for bytes that are none. */
export function readAttestationKey(akPublic: Uint8Array): AttestationKey {
  const known = kept.get(hex(akPublic))
  if (known !== undefined) return known
  const area = decodeTpmtPublic(akPublic)
  const { hash } = nodeCrypto
  const name = objectName(area, hash)
  return {
    ...{ key: toPublicKey(area), name, qualifiedName: qualifiedName({ parent: TPM_RH.ENDORSEMENT, name, hash }) },
    isFit: (area.objectAttributes & NEEDED) === NEEDED && (area.objectAttributes & decrypt) === 0,
  }
}

/** A key that proved to be worth it; what strangers show is never kept. */
export function keepAttestationKey(akPublic: Uint8Array, key: AttestationKey): void {
  kept.set(hex(akPublic), key)
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value ?? '')
}

/** TPM Name of an attestation key, hex. @throws EvidenceError for bytes that are no public area. */
export function akName(akPublic: Uint8Array): string {
  return hex(readAttestationKey(akPublic).name)
}

/** What a quote can fail by, in the order in which it is looked at; the text is for people. */
export const QUOTE_FAULTS = {
  structure: 'it is nothing that a TPM made',
  key: 'the key is no restricted key that signs inside one TPM',
  hash: 'it is not signed with SHA-256',
  signature: 'the signature does not hold',
  type: 'the TPM attested something else than registers',
  statement: 'another statement was quoted',
  signer: 'the key is no primary key of the endorsement hierarchy',
  registers: 'other registers were quoted',
  values: 'the registers had other values',
} as const
export type QuoteFault = keyof typeof QUOTE_FAULTS

export type QuoteCheck =
  | { readonly kind: 'holds'; readonly attest: TpmsAttest }
  | { readonly kind: 'broken'; readonly by: QuoteFault; readonly why: string }

export interface ExpectedQuote {
  /** The qualifying data. */
  readonly statement: Uint8Array
  /** Ascending: exactly these, with these values. Undefined: whatever was quoted. */
  readonly registers?: readonly RegisterValue[]
}

/** @param akPublic - TPMT_PUBLIC; that it is the right one is the caller's to know. */
export function checkQuote(
  quote: Quote,
  { akPublic, ...expected }: ExpectedQuote & { readonly akPublic: Uint8Array },
): QuoteCheck {
  let key: AttestationKey
  try {
    key = readAttestationKey(akPublic)
  } catch (error) {
    return broken('structure', error)
  }
  const checked = checkQuoteBy(key, quote, expected)
  if (checked.kind === 'holds') keepAttestationKey(akPublic, key)
  return checked
}

/** As {@link checkQuote}, by a key that was read. */
export function checkQuoteBy(key: AttestationKey, quote: Quote, { statement, registers }: ExpectedQuote): QuoteCheck {
  let attest: TpmsAttest
  let signed: TpmSignature
  try {
    attest = decodeTpmsAttest(quote.attest)
    signed = decodeTpmtSignature(quote.signature)
  } catch (error) {
    return broken('structure', error)
  }
  const { scheme, signature } = signed
  if (!key.isFit) return broken('key')
  if (scheme.hash !== 'sha256') return broken('hash')
  if (nodeCrypto.verify({ key: key.key, scheme, message: quote.attest, signature }) !== true) return broken('signature')
  if (attest.type !== TPM_ST.ATTEST_QUOTE) return broken('type')
  if (!equal(attest.extraData, statement)) return broken('statement')
  if (!equal(attest.qualifiedSigner, key.qualifiedName)) return broken('signer')
  if (registers === undefined) return { kind: 'holds', attest }
  const [selection, ...others] = attest.attested.pcrSelect
  const pcrs = registers.map(({ pcr }) => pcr)
  const isExact = others.length === 0 && selection?.hash === TPM_ALG.SHA256 && selection.pcrs.join() === pcrs.join()
  if (!isExact) return broken('registers')
  const digest = pcrDigest({
    ...{ hash: nodeCrypto.hash, algorithm: 'sha256', selection: attest.attested.pcrSelect },
    banks: { sha256: Object.fromEntries(registers.map(({ pcr, value }) => [pcr, value])) },
  })
  if (digest === undefined || !equal(digest, attest.attested.pcrDigest)) return broken('values')
  return { kind: 'holds', attest }
}

function broken(by: QuoteFault, cause?: unknown): QuoteCheck {
  const why = QUOTE_FAULTS[by]
  return { kind: 'broken', by, why: cause === undefined ? why : `${why}: ${(cause as Error).message}` }
}
