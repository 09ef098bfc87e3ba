/**
 * Sharing a secret with a TPM's decryption key, for salted sessions and credentials.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §24 (credential protection), Annexes B (RSA) and C (ECC).
 */

import { constants, createECDH, createPublicKey, publicEncrypt } from 'node:crypto'
import {
  ByteWriter,
  concat,
  digestLengthBytes,
  hashAlgorithm,
  type PublicKey,
  toPublicKey,
  type TpmtPublic,
  utf8,
} from '@reprise/core'
import { TpmError } from '../error.ts'
import { kdfe } from '../hashing.ts'

/** `IDENTITY` for credentials, `SECRET` for salts. */
export type SecretLabel = 'IDENTITY' | 'SECRET'

const CURVES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const

export interface SharedSecret {
  /** As long as a digest of the key's nameAlg. */
  readonly seed: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET's contents, from which the TPM gets the seed. */
  readonly encrypted: Uint8Array
}

/** @throws {@link TpmError} `USAGE` for a point that is not on its curve. */
export function shareSecret(
  area: TpmtPublic,
  label: SecretLabel,
  random: (lengthBytes: number) => Uint8Array,
): SharedSecret {
  const key = toPublicKey(area)
  const algorithm = hashAlgorithm(area.nameAlg)
  const lengthBytes = digestLengthBytes(area.nameAlg)
  if (key.kind === 'rsa') {
    const seed = random(lengthBytes)
    const encrypted = publicEncrypt(
      {
        key: rsaKey(key),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: algorithm,
        oaepLabel: utf8(`${label}\0`),
      },
      seed,
    )
    return { seed, encrypted: new Uint8Array(encrypted) }
  }
  const exchange = createECDH(CURVES[key.curve])
  const point = exchange.generateKeys()
  const half = key.x.length
  const ephemeral = { x: point.subarray(1, 1 + half), y: point.subarray(1 + half) }
  const z = computeZ(() => exchange.computeSecret(concat(Uint8Array.of(4), key.x, key.y)))
  const seed = kdfe({ algorithm, z, label, partyU: ephemeral.x, partyV: key.x, lengthBits: 8 * lengthBytes })
  return { seed, encrypted: new ByteWriter().tpm2b(ephemeral.x).tpm2b(ephemeral.y).done() }
}

function computeZ(compute: () => Uint8Array): Uint8Array {
  try {
    return compute()
  } catch (cause) {
    throw new TpmError('USAGE', { message: 'The key to share a secret with is not a point on its curve.', cause })
  }
}

function rsaKey(key: PublicKey & { readonly kind: 'rsa' }): ReturnType<typeof createPublicKey> {
  const exponent = new ByteWriter().u32(key.exponent).done()
  const e = exponent.subarray(exponent.findIndex((byte) => byte !== 0))
  const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  return createPublicKey({ key: { kty: 'RSA', n: base64url(key.modulus), e: base64url(e) }, format: 'jwk' })
}
