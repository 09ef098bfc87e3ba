/** Approved boots, as values of registers. Rules: spec/release.md §3.2. */

import { type PcrBanks, pcrDigest, TPM_ALG } from '@reprise/core'
import { PcrExtend, type PolicyClause, readPcrs, type Tpm } from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { RESETTABLE_PCRS } from '../plan/boots.ts'
import { hashWith } from './keys.ts'
import { sha256, tagged } from './words.ts'

/** Value of one register in the SHA-256 bank. */
export interface Register {
  readonly pcr: number
  /** 32 bytes. */
  readonly value: Uint8Array
}

/** The registers of an approved boot, ascending; none that changes between boot and release. */
export type BootState = readonly Register[]

/** Extended when a half was opened, so that it is not opened again in this boot. */
export const CAP_PCR = 14
const PCR_MAX = 23

/** The cap register as firmware leaves it; where a shim measures into 14, the plan says what. */
export const CAP_UNTOUCHED: Register = { pcr: CAP_PCR, value: new Uint8Array(32) }

/** @throws {@link RecoveryError} `USAGE` for registers that cannot carry a policy. */
export function pcrClause(state: BootState, cap?: Register): PolicyClause {
  const registers = cap === undefined ? state : [...state, cap]
  const pcrs = registers.map(({ pcr }) => pcr).toSorted((a, b) => a - b)
  const bad = pcrs.find((pcr, i) => RESETTABLE_PCRS.includes(pcr) || pcr < 0 || pcr > PCR_MAX || pcr === pcrs[i - 1])
  if (state.length === 0 || bad !== undefined) {
    throw new RecoveryError('USAGE', {
      message: bad === undefined ? 'A boot is approved by no register at all.' : `PCR ${bad} cannot stand in a policy.`,
      hint: 'Name each register once, and none of 16 and 23, which anybody resets.',
    })
  }
  const selection = [{ hash: TPM_ALG.SHA256, pcrs }]
  const banks: PcrBanks = { sha256: Object.fromEntries(registers.map(({ pcr, value }) => [pcr, value])) }
  const digest = pcrDigest({ hash: hashWith, algorithm: 'sha256', selection, banks })
  if (digest === undefined) throw new TypeError('a register without value')
  return { kind: 'pcr', pcrs: selection, pcrDigest: digest }
}

/** The registers as they are now. */
export async function readBootState(tpm: Tpm, pcrs: readonly number[]): Promise<BootState> {
  const ascending = pcrs.toSorted((a, b) => a - b)
  const { sha256: bank = {} } = await readPcrs(tpm, [{ hash: TPM_ALG.SHA256, pcrs: ascending }])
  return ascending.map((pcr) => ({ pcr, value: bank[pcr] }))
}

/** Whether the TPM half can be opened no more in this boot. */
export async function capBoot(tpm: Tpm, pcr = CAP_PCR): Promise<void> {
  await tpm.execute(PcrExtend({ pcrHandle: pcr, digests: { sha256: sha256(tagged('reprise/cap/v1').done()) } }))
}
