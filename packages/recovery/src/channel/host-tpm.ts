/** A TPM as a channel wants it: quotes whose register values are known. */

import { decodeTpmsAttest, equal, pcrDigest, TPM_ALG, TPM_ST } from '@reprise/core'
import { type ObjectEntity, Quote, readPcrs, type Tpm } from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { hashWith } from '../sealing/keys.ts'
import type { HostId } from '../types.ts'
import type { HostTpm, RegisterQuote } from './channel.ts'

/** Where IMA measures every file that is opened, a register may change several times during a quote. */
const ATTEMPTS_MAX = 16
const SELECTIONS_MAX = 16

interface KnownRegisters {
  readonly values: ReadonlyMap<number, Uint8Array>
  readonly digest: Uint8Array
}

/** @param ak - A primary key of the endorsement hierarchy: of others the TPM tells counts and clock only in disguise. */
export function hostTpm(tpm: Tpm, { host, ak }: { readonly host: HostId; readonly ak: ObjectEntity }): HostTpm {
  const known = new Map<string, KnownRegisters>()

  async function read(pcrs: readonly number[]): Promise<KnownRegisters> {
    const selection = [{ hash: TPM_ALG.SHA256, pcrs }]
    const banks = await readPcrs(tpm, selection)
    const digest = pcrDigest({ hash: hashWith, algorithm: 'sha256', selection, banks })
    if (digest === undefined) throw failed('The TPM does not give all registers that are asked for.')
    return { values: new Map(pcrs.map((pcr) => [pcr, banks.sha256?.[pcr] ?? new Uint8Array()])), digest }
  }

  async function quote(statement: Uint8Array, pcrs: readonly number[]): Promise<RegisterQuote> {
    const request = { signHandle: ak, qualifyingData: statement, pcrSelect: [{ hash: TPM_ALG.SHA256, pcrs }] }
    const key = pcrs.join()
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { attest, signature } = await tpm.execute(Quote(request))
      const decoded = decodeTpmsAttest(attest)
      if (decoded.type !== TPM_ST.ATTEST_QUOTE || !equal(decoded.extraData, statement))
        throw failed('The TPM quoted something else than it was asked for.')
      let registers = known.get(key)
      // Values that were read once are good as long as the quoted digest is theirs, so a quote costs one command.
      if (registers === undefined || !equal(registers.digest, decoded.attested.pcrDigest)) {
        registers = await read(pcrs)
        // Peers choose the registers: only one of the roster that wants to spend memory names many choices.
        if (known.size >= SELECTIONS_MAX) known.clear()
        known.set(key, registers)
      }
      // A register may have been extended between the quote and the reading: then quote again.
      if (equal(registers.digest, decoded.attested.pcrDigest)) return { attest, signature, registers: registers.values }
    }
    throw failed(`Registers changed during each of ${ATTEMPTS_MAX} quotes.`)
  }

  return { host, akPublic: ak.public.raw, quote }
}

function failed(message: string): RecoveryError {
  return new RecoveryError('TPM', { message, hint: 'Look whether something measures into the registers of the plan.' })
}
