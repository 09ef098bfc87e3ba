/** Keys outside the TPM: those of operators and approvers, and the one that writes leases. Rules: spec/release.md §3.1. */

import { createECDH, createHash, createPrivateKey, hkdfSync, sign } from 'node:crypto'
import { type HashAlgorithm, hex, type PublicArea, type TpmSignature } from '@reprise/core'
import { externalSigner } from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import type { Secret } from './secret.ts'

export function hashWith(algorithm: HashAlgorithm, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(data).digest())
}

/** A P-256 key that signs for a policy. */
export interface PolicySigner {
  /** Public area, whose Name the policies have. */
  readonly area: PublicArea
  readonly sign: (message: Uint8Array) => TpmSignature
}

const POINT_BYTES = 65

/** @param point - Uncompressed, 65 bytes. */
export function signerArea(point: Uint8Array): PublicArea {
  if (point.length !== POINT_BYTES || point[0] !== 4)
    throw new RecoveryError('USAGE', { message: `${hex(point.subarray(0, 8))}… is no uncompressed point of P-256.` })
  return externalSigner({ kind: 'ec', curve: 'P-256', x: point.slice(1, 33), y: point.slice(33) })
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
/** Eight bytes more than the order has: FIPS 186-5, A.2.1 (extra random bits). */
const SCALAR_SEED_BYTES = 40

/**
 * The key that writes a lease index. It is derived from the opened halves, so that only a host that was released has it, and
 * a new generation has another one.
 */
export function leaseKey(root: Secret): PolicySigner {
  const seed = new Uint8Array(
    hkdfSync('sha256', root.bytes, new Uint8Array(), 'reprise/lease-key/v1', SCALAR_SEED_BYTES),
  )
  const scalar = (BigInt(`0x${hex(seed)}`) % (P256_ORDER - 1n)) + 1n
  seed.fill(0)
  const d = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex')
  try {
    const ecdh = createECDH('prime256v1')
    ecdh.setPrivateKey(d)
    const point = ecdh.getPublicKey()
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString('base64url'))
    const key = createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d: d.toString('base64url') }, format: 'jwk' })
    return {
      area: signerArea(new Uint8Array(point)),
      sign: (message) => ({
        scheme: { kind: 'ecdsa', hash: 'sha256' },
        signature: new Uint8Array(sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })),
      }),
    }
  } finally {
    d.fill(0)
  }
}
