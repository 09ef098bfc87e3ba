/** Quotes as evidence in files: is this statement quoted by that attestation key? Source: TPM 2.0 Library rev 1.59, Part 3 §18.4. */
import {
  decodeTpmsAttest,
  decodeTpmtPublic,
  decodeTpmtSignature,
  equal,
  hex,
  objectName,
  type PcrBanks,
  pcrDigest,
  TPM_ALG,
  TPM_ST,
  type TpmsClockInfo,
  TPMA_OBJECT,
  toPublicKey,
} from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import type { RegisterValue } from '../plan/boots.ts'

/** TPMS_ATTEST and TPMT_SIGNATURE as the TPM gave them. */
export interface QuoteBytes {
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

export type QuoteCheck =
  | { readonly kind: 'holds'; readonly clockInfo: TpmsClockInfo }
  | { readonly kind: 'broken'; readonly why: string }

/** TPM Name of an attestation key, hex. @throws EvidenceError for bytes that are no public area. */
export function akName(akPublic: Uint8Array): string {
  return hex(objectName(decodeTpmtPublic(akPublic), nodeCrypto.hash))
}

/** Attributes without which a key signs what its TPM never saw. */
const RESTRICTED_SIGNER = TPMA_OBJECT.fixedTPM | TPMA_OBJECT.restricted | TPMA_OBJECT.sign

/** @param akPublic - TPMT_PUBLIC; that it is the right one is the caller's to know. */
export async function checkQuote(
  { attest, signature }: QuoteBytes,
  {
    akPublic,
    statement,
    registers,
  }: {
    readonly akPublic: Uint8Array
    readonly statement: Uint8Array
    /** Undefined: whatever was quoted. Else exactly these. */
    readonly registers?: readonly RegisterValue[]
  },
): Promise<QuoteCheck> {
  const broken = (why: string): QuoteCheck => ({ kind: 'broken', why })
  try {
    const area = decodeTpmtPublic(akPublic)
    if ((area.objectAttributes & RESTRICTED_SIGNER) !== RESTRICTED_SIGNER)
      return broken('the key is no restricted key that signs inside one TPM')
    const { scheme, signature: raw } = decodeTpmtSignature(signature)
    const holds = await nodeCrypto.verify({ key: toPublicKey(area), scheme, message: attest, signature: raw })
    if (!holds) return broken('the signature does not hold')
    const quote = decodeTpmsAttest(attest)
    if (quote.type !== TPM_ST.ATTEST_QUOTE) return broken('the TPM attested something else than registers')
    if (!equal(quote.extraData, statement)) return broken('another statement was quoted')
    if (registers !== undefined) {
      const selection = [{ hash: TPM_ALG.SHA256, pcrs: registers.map(({ pcr }) => pcr) }]
      const [quoted] = quote.attested.pcrSelect
      const isOnly = quote.attested.pcrSelect.length === 1 && quoted.hash === TPM_ALG.SHA256
      if (!isOnly || quoted.pcrs.join() !== selection[0].pcrs.join()) return broken('other registers were quoted')
      const banks: PcrBanks = { sha256: Object.fromEntries(registers.map(({ pcr, value }) => [pcr, value])) }
      const digest = pcrDigest({ hash: nodeCrypto.hash, algorithm: scheme.hash, selection, banks })
      if (digest === undefined || !equal(digest, quote.attested.pcrDigest))
        return broken('the registers had other values')
    }
    return { kind: 'holds', clockInfo: quote.clockInfo }
  } catch (error) {
    return broken((error as Error).message)
  }
}
