/**
 * TPMS_NV_PUBLIC and the Name of an NV index, which TPMS_NV_CERTIFY_INFO carries.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 2 §13.5 (TPMS_NV_PUBLIC), Part 1 §16.
 */

import { ByteWriter, concat } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { hashAlgorithm } from './hash.ts'
import { decodeExactly } from './structure.ts'

export interface TpmsNvPublic {
  readonly nvIndex: number
  readonly nameAlg: number
  /** Bits of `TPMA_NV`; the TPM sets WRITTEN at the first write, which changes the Name. */
  readonly attributes: number
  readonly authPolicy: Uint8Array
  /** Size of the contents, in bytes. */
  readonly dataSize: number
}

export function decodeTpmsNvPublic(bytes: Uint8Array): TpmsNvPublic {
  return decodeExactly('TPMS_NV_PUBLIC', bytes, (reader) => ({
    nvIndex: reader.u32(),
    nameAlg: reader.u16(),
    attributes: reader.u32(),
    authPolicy: reader.tpm2b(),
    dataSize: reader.u16(),
  }))
}

export function encodeTpmsNvPublic(area: TpmsNvPublic): Uint8Array {
  return new ByteWriter()
    .u32(area.nvIndex)
    .u16(area.nameAlg)
    .u32(area.attributes)
    .tpm2b(area.authPolicy)
    .u16(area.dataSize)
    .done()
}

/** Name of an NV index: nameAlg ‖ H(TPMS_NV_PUBLIC). */
export function nvName(area: TpmsNvPublic, hash: Crypto['hash']): Uint8Array {
  return concat(new ByteWriter().u16(area.nameAlg).done(), hash(hashAlgorithm(area.nameAlg), encodeTpmsNvPublic(area)))
}
