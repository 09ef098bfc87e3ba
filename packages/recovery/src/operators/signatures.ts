/** ECDSA on P-256 with SHA-256, as operators, approver and image signer use it: 64 bytes, r ‖ s. */
import { verify, type KeyObject } from 'node:crypto'
import { fromHex } from '@reprise/core'
import { keyObject } from '@reprise/host/crypto'

/** Somebody who signs. The key itself may be in a file, or in a device. */
export interface Signer {
  /** Uncompressed point of P-256, hex. */
  readonly point: string
  /** @returns r ‖ s, 64 bytes, over SHA-256 of the message. */
  readonly sign: (message: Uint8Array) => Uint8Array
}

export const SIGNATURE_BYTES = 64

/** @param point - Uncompressed, hex. A point that is not on the curve verifies nothing. */
export function verifierOf(point: string): (message: Uint8Array, signature: Uint8Array) => boolean {
  const bytes = fromHex(point)
  let key: KeyObject | undefined
  return (message, signature) => {
    try {
      key ??= keyObject({ kind: 'ec', curve: 'P-256', x: bytes.subarray(1, 33), y: bytes.subarray(33) })
      return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)
    } catch {
      return false
    }
  }
}
