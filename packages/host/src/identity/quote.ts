/** Quotes whose PCR values are known. Source: TCG TPM 2.0 Library rev 1.59, Part 3 §18.4 (TPM2_Quote). */

import {
  decodeTpmsAttest,
  equal,
  FIRMWARE_PCRS,
  hex,
  type PcrSelection,
  pcrDigest,
  TPM_ALG,
  TPM_ST,
} from '@reprise/core'
import { type ObjectEntity, Quote as TpmQuote, readPcrs, type Tpm } from '@reprise/tpm'
import { HostError } from '../error.ts'
import { hash } from '../hashing.ts'
import type { Quote } from '../signer/batcher.ts'

/** Where IMA measures every file that is opened, its register may change several times during a quote. */
const ATTEMPTS_MAX = 16

/**
 * Quotes SHA-256 PCRs 0 to 7, what a firmware measures of itself and of what it boots (TCG PC Client Platform Firmware Profile §3.3.4),
 * and those that are asked for. Values that were read once are good as long as the quoted digest is theirs, so a quote costs
 * one command.
 */
export class Quoter {
  readonly #tpm: Tpm
  readonly #ak: ObjectEntity
  #pcrs: Readonly<Record<string, string>> = {}
  #digest: Uint8Array = new Uint8Array()

  constructor(tpm: Tpm, ak: ObjectEntity) {
    this.#tpm = tpm
    this.#ak = ak
  }

  async quote(qualifyingData: Uint8Array, more: readonly number[] = []): Promise<Quote> {
    const pcrs = [...new Set([...FIRMWARE_PCRS, ...more])].toSorted((a, b) => a - b)
    const pcrSelect = [{ hash: TPM_ALG.SHA256, pcrs }]
    const request = { signHandle: this.#ak, qualifyingData, pcrSelect }
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { attest, signature } = await this.#tpm.execute(TpmQuote(request))
      const decoded = decodeTpmsAttest(attest)
      if (decoded.type !== TPM_ST.ATTEST_QUOTE || !equal(decoded.extraData, qualifyingData))
        throw new HostError('TPM_FAILED', { message: 'The TPM quoted something else than it was asked for.' })
      const quoted = decoded.attested.pcrDigest
      // The digest does not say of which registers it is.
      const isKnown = Object.keys(this.#pcrs).join() === pcrs.join() && equal(quoted, this.#digest)
      if (!isKnown) await this.#readPcrs(pcrSelect)
      // A register may have been extended between the quote and the reading: then quote again.
      if (!equal(quoted, this.#digest)) continue
      const { resetCount, restartCount, clock } = decoded.clockInfo
      return { attest, signature, pcrs: this.#pcrs, resetCount, restartCount, clock }
    }
    throw new HostError('TPM_FAILED', { message: `PCRs changed during each of ${ATTEMPTS_MAX} quotes.` })
  }

  async #readPcrs(selection: readonly PcrSelection[]): Promise<void> {
    const banks = await readPcrs(this.#tpm, selection)
    const digest = pcrDigest({ hash, algorithm: 'sha256', selection, banks })
    if (digest === undefined)
      throw new HostError('TPM_FAILED', { message: 'The TPM does not give all PCRs that are asked for.' })
    this.#digest = digest
    this.#pcrs = Object.fromEntries(Object.entries(banks.sha256 ?? {}).map(([index, value]) => [index, hex(value)]))
  }
}
