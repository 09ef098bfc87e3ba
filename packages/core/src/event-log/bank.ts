/**
 * PCR banks as event logs name them. Format: spec/event-log.md §1.
 *
 * Source: TCG Algorithm Registry rev 1.34, table 3; TCG PC Client Platform Firmware Profile 1.06 §10.
 */

import type { HashAlgorithm } from '../crypto.ts'

export type BankName = HashAlgorithm | 'sm3_256'

/**
 * The hash of a bank; undefined where the caller does not have it, as a page that has no SM3. The bank is then noted and
 * left out, never guessed.
 */
export type BankHash = (bank: BankName, data: Uint8Array) => Uint8Array | undefined

/** PCR values by bank and register, such as a quote gives. */
export type BankValues = { readonly [bank in BankName]?: { readonly [pcr: number]: Uint8Array } }

export const BANKS: readonly { readonly alg: number; readonly name: BankName; readonly lengthBytes: number }[] = [
  { alg: 0x0004, name: 'sha1', lengthBytes: 20 },
  { alg: 0x000b, name: 'sha256', lengthBytes: 32 },
  { alg: 0x000c, name: 'sha384', lengthBytes: 48 },
  { alg: 0x000d, name: 'sha512', lengthBytes: 64 },
  { alg: 0x0012, name: 'sm3_256', lengthBytes: 32 },
]

/** Registers of the PC Client profile. */
export const PCR_COUNT = 24

export function bankLengthBytes(bank: BankName): number {
  return BANKS.find(({ name }) => name === bank)?.lengthBytes ?? 0
}

/** What a register holds after TPM2_Startup(CLEAR): zeros, but ones where only a dynamic launch may reset it. */
export function startValue(bank: BankName, pcr: number, locality = 0): Uint8Array {
  const value = new Uint8Array(bankLengthBytes(bank))
  if (pcr >= 17 && pcr <= 22) value.fill(0xff)
  if (pcr === 0) value[value.length - 1] = locality
  return value
}
