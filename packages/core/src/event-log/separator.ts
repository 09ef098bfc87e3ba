/** Separators by their digests: a log may call any event a separator, and a separator anything. */

import { EvidenceError } from '../error.ts'
import type { BankHash, BankName } from './bank.ts'
import { u32le } from './little-endian.ts'

interface Bank {
  readonly bank: BankName
  readonly hash: BankHash
}

/** Firmware Profile §10.4.1: EV_SEPARATOR is the digest of 00000000 or of ffffffff. */
export function separators(bank: Bank): Uint8Array[] {
  return [digestOfU32(bank, 0), digestOfU32(bank, 0xffffffff)]
}

/** Firmware Profile §10.4.1: after an error it is the digest of 1, and the data says which error. */
export function errorSeparator(bank: Bank): Uint8Array {
  return digestOfU32(bank, 1)
}

function digestOfU32({ bank, hash }: Bank, value: number): Uint8Array {
  const digest = hash(bank, u32le(value))
  if (digest === undefined)
    throw new EvidenceError('STRUCTURE', { message: `there is no hash for bank ${bank} here`, data: { bank } })
  return digest
}
