/** `Crypto` over node:crypto, for tests of `core`. */
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto'
import type { Crypto, HashAlgorithm, PublicKey } from '@reprise/core'

const hash = (algorithm: HashAlgorithm, data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash(algorithm).update(data).digest())

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

function keyObject(key: PublicKey): KeyObject {
  if (key.kind === 'ec')
    return createPublicKey({
      key: { kty: 'EC', crv: key.curve, x: base64url(key.x), y: base64url(key.y) },
      format: 'jwk',
    })
  const exponent = Buffer.from(key.exponent.toString(16).padStart(6, '0'), 'hex')
  return createPublicKey({ key: { kty: 'RSA', n: base64url(key.modulus), e: base64url(exponent) }, format: 'jwk' })
}

const keys = new WeakMap<PublicKey, KeyObject>()

export const nodeCrypto: Crypto = {
  sha256: (data) => hash('sha256', data),
  sha256Stream() {
    const stream = createHash('sha256')
    return { update: (data) => void stream.update(data), digest: () => new Uint8Array(stream.digest()) }
  },
  hash,
  verify({ key, scheme, message, signature }) {
    try {
      const object = keys.get(key) ?? keyObject(key)
      keys.set(key, object)
      return verify(scheme.hash, message, { key: object, dsaEncoding: 'ieee-p1363' }, signature)
    } catch {
      return false
    }
  },
}
