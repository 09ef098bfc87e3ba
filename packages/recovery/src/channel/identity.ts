/**
 * The TLS key of a process: drawn when it starts, in memory only. Its certificate says nothing; quotes say whose key it is.
 * Truth: spec/channel.md §2.
 */

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { concat, fromHex, type PublicKey, type SignatureScheme } from '@reprise/core'
import { authorityCertificateTbs, SERIAL_BYTES, signedCertificate } from '@reprise/core/certificates'
import { sha256 } from './statement.ts'

export interface TlsIdentity {
  /** PEM, as `tls.createServer` takes them. */
  readonly key: string
  readonly cert: string
  /** The same for `tls.connect`. */
  readonly context: SecureContext
  /** SHA-256 of its SubjectPublicKeyInfo. */
  readonly keyDigest: Uint8Array
}

const SCHEME: SignatureScheme = { kind: 'ecdsa', hash: 'sha256' }
/** Nobody looks at them: OpenSSL wants some. */
const VALID_MS = { before: 86_400_000, after: 10 * 365 * 86_400_000 }

export function drawIdentity(): TlsIdentity {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
  const point: PublicKey = {
    ...{ kind: 'ec', curve: 'P-256' },
    ...{ x: new Uint8Array(Buffer.from(x, 'base64url')), y: new Uint8Array(Buffer.from(y, 'base64url')) },
  }
  const now = Date.now()
  const tbs = authorityCertificateTbs({
    ...{ name: 'reprise peer', key: point, pathLength: 0, scheme: SCHEME, sha256 },
    ...{ serial: new Uint8Array(randomBytes(SERIAL_BYTES)) },
    ...{ notBeforeMs: now - VALID_MS.before, notAfterMs: now + VALID_MS.after },
  })
  const signature = new Uint8Array(sign('sha256', tbs, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
  const der = signedCertificate({ tbs, scheme: SCHEME, signature })
  const cert = `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const context = createSecureContext({ key, cert, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' })
  return { key, cert, context, keyDigest: tlsKeyDigest(publicKey) ?? new Uint8Array() }
}

/** SubjectPublicKeyInfo of a key on P-256 before the coordinates of its point, which is uncompressed: RFC 5480 §2. */
const SPKI_HEAD = fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004')

/** SHA-256 of SubjectPublicKeyInfo; undefined for a key that is not on P-256. */
export function tlsKeyDigest(key: KeyObject): Uint8Array | undefined {
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return undefined
  // OpenSSL takes ten times as long for the DER.
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return sha256(concat(SPKI_HEAD, Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')))
}

let own: TlsIdentity | undefined

/** The one of this process. */
export function processIdentity(): TlsIdentity {
  return (own ??= drawIdentity())
}
