/** Node's cryptography, as `core` wants it handed in. */
import { constants, createHash, createPublicKey, hash, verify, type KeyObject } from 'node:crypto'
import type { Crypto, PublicKey } from '@reprise/core'

/** Keys are few and used often: importing one costs more than a verification with it. */
const keys = new WeakMap<PublicKey, KeyObject>()

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}

/** The key as Node has it; made once for each. */
export function keyObject(key: PublicKey): KeyObject {
  const known = keys.get(key)
  if (known !== undefined) return known
  const jwk =
    key.kind === 'ec'
      ? { kty: 'EC', crv: key.curve, x: base64url(key.x), y: base64url(key.y) }
      : { kty: 'RSA', n: base64url(key.modulus), e: base64url(exponentBytes(key.exponent)) }
  const object = createPublicKey({ key: jwk, format: 'jwk' })
  keys.set(key, object)
  return object
}

function exponentBytes(exponent: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(exponent)
  return bytes.subarray(bytes.findIndex((byte) => byte !== 0))
}

const SHA256_BYTES = 32

/** As text, then into an array of V8's own heap: half the time of a buffer, which is memory outside it. */
function sha256(data: Uint8Array): Uint8Array {
  const text = hash('sha256', data, 'latin1')
  const digest = new Uint8Array(SHA256_BYTES)
  for (let i = 0; i < SHA256_BYTES; i++) digest[i] = text.charCodeAt(i)
  return digest
}

export const nodeCrypto: Crypto = {
  sha256,
  sha256Stream() {
    const stream = createHash('sha256')
    return { update: (data) => void stream.update(data), digest: () => stream.digest() }
  },
  hash: (algorithm, data) => (algorithm === 'sha256' ? sha256(data) : hash(algorithm, data, 'buffer')),
  verify({ key, scheme, message, signature }) {
    try {
      const object = keyObject(key)
      switch (scheme.kind) {
        case 'ecdsa':
          return verify(scheme.hash, message, { key: object, dsaEncoding: 'ieee-p1363' }, signature)
        case 'rsassa':
          return verify(scheme.hash, message, { key: object, padding: constants.RSA_PKCS1_PADDING }, signature)
        default:
          return verify(scheme.hash, message, { key: object, padding: constants.RSA_PKCS1_PSS_PADDING }, signature)
      }
    } catch {
      return false // A point that is not on its curve, a modulus of no bits: a key that cannot be used.
    }
  },
}
