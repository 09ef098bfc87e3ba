/**
 * PCR selections and the digest over the selected registers.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 2 §10.6.2 (TPMS_PCR_SELECTION), §10.9.7 (TPML_PCR_SELECTION), Part 3 §18.4 (pcrDigest).
 */

import { concat, type ByteReader, ByteWriter } from '../bytes/index.ts'
import type { Crypto, HashAlgorithm } from '../crypto.ts'
import { hashAlgorithm, isHashAlg } from './hash.ts'
import { decodeExactly, structureError } from './structure.ts'

/** HASH_COUNT of no known TPM is larger. */
export const PCR_SELECTIONS_MAX = 16
/** PCR_SELECT_MIN of the PC Client profile, in bytes: 24 registers. */
const SIZEOF_SELECT_DEFAULT = 3
const SIZEOF_SELECT_MAX = 4

/** TPMS_PCR_SELECTION: registers of one bank, ascending. */
export interface PcrSelection {
  /** TPM_ALG number of the bank. */
  readonly hash: number
  readonly pcrs: readonly number[]
  /** Length of the bit map, in bytes; 3 unless the TPM said otherwise. */
  readonly sizeofSelect?: number
}

/** PCR values by bank and register. */
export type PcrBanks = { readonly [bank in HashAlgorithm]?: { readonly [pcr: number]: Uint8Array } }

/** TPML_PCR_SELECTION. Two selections that are equal as bytes are the same selection; order of banks counts. */
export function encodePcrSelection(selection: readonly PcrSelection[]): Uint8Array {
  if (selection.length > PCR_SELECTIONS_MAX) throw structureError(`${selection.length} PCR banks selected`)
  const writer = new ByteWriter().u32(selection.length)
  for (const { hash, pcrs, sizeofSelect = SIZEOF_SELECT_DEFAULT } of selection) {
    const bits = new Uint8Array(sizeofSelect)
    for (const pcr of pcrs) {
      if (!Number.isInteger(pcr) || pcr < 0 || pcr >= 8 * sizeofSelect) throw structureError(`there is no PCR ${pcr}`)
      bits[pcr >> 3] |= 1 << (pcr & 7)
    }
    writer.u16(hash).u8(sizeofSelect).raw(bits)
  }
  return writer.done()
}

export function decodePcrSelection(bytes: Uint8Array): readonly PcrSelection[] {
  return decodeExactly('TPML_PCR_SELECTION', bytes, readPcrSelection)
}

/** Reads a TPML_PCR_SELECTION out of a larger structure. */
export function readPcrSelection(reader: ByteReader): readonly PcrSelection[] {
  const count = reader.u32()
  if (count > PCR_SELECTIONS_MAX) throw structureError(`TPML_PCR_SELECTION of ${count} banks`)
  const selection: PcrSelection[] = []
  for (let i = 0; i < count; i++) {
    const hash = reader.u16()
    const sizeofSelect = reader.u8()
    if (sizeofSelect < SIZEOF_SELECT_DEFAULT || sizeofSelect > SIZEOF_SELECT_MAX)
      throw structureError(`sizeofSelect of ${sizeofSelect} bytes`)
    const bits = reader.raw(sizeofSelect)
    const pcrs: number[] = []
    for (let pcr = 0; pcr < 8 * sizeofSelect; pcr++) if ((bits[pcr >> 3] >> (pcr & 7)) & 1) pcrs.push(pcr)
    selection.push({ hash, pcrs, sizeofSelect })
  }
  return selection
}

/**
 * The digest that a TPM quotes, and that PolicyPCR compares, for a selection of registers.
 *
 * @param digest.algorithm - Hash of the signing scheme (quotes) or of the policy session, not of the bank.
 * @param digest.selection - In the order the TPM returned it. Order of the banks changes the digest.
 * @returns Undefined when a selected register has no value in `banks`.
 */
export function pcrDigest(digest: {
  readonly hash: Crypto['hash']
  readonly algorithm: HashAlgorithm
  readonly selection: readonly PcrSelection[]
  readonly banks: PcrBanks
}): Uint8Array | undefined {
  const values: Uint8Array[] = []
  for (const { hash, pcrs } of digest.selection) {
    const bank = isHashAlg(hash) ? digest.banks[hashAlgorithm(hash)] : undefined
    for (const pcr of pcrs) {
      const value = bank?.[pcr]
      if (value === undefined) return undefined
      values.push(value)
    }
  }
  return digest.hash(digest.algorithm, concat(...values))
}
