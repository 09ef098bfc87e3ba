/** Keys, authorities and certificates for tests, made with the functions that authorities use. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { PublicKey, SignatureScheme } from '@reprise/core'
import {
  akCertificateTbs,
  type AkStatement,
  authorityCertificateTbs,
  type Certificate,
  decodeCertificate,
  signedCertificate,
} from '@reprise/core/certificates'
import { nodeCrypto } from '../record/node-crypto.ts'

const { sha256 } = nodeCrypto

export interface Signer {
  readonly key: PublicKey
  readonly scheme: SignatureScheme
  /** In the form of `Crypto.verify`. */
  readonly sign: (message: Uint8Array) => Uint8Array
}

export interface Issued extends Signer {
  readonly der: Uint8Array
  readonly certificate: Certificate
}

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'RSA-2048'

const HASHES = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512' } as const

export function newKey(kind: KeyKind = 'P-256'): Signer {
  if (kind === 'RSA-2048') return signer(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey)
  return signer(generateKeyPairSync('ec', { namedCurve: kind }).privateKey)
}

export function signer(privateKey: KeyObject): Signer {
  const key = publicKey(privateKey)
  const scheme: SignatureScheme =
    key.kind === 'rsa' ? { kind: 'rsassa', hash: 'sha256' } : { kind: 'ecdsa', hash: HASHES[key.curve] }
  return {
    key,
    scheme,
    sign: (message) => sign(scheme.hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  }
}

function publicKey(privateKey: KeyObject): PublicKey {
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' })
  const bytes = (text: string | undefined): Uint8Array => new Uint8Array(Buffer.from(text ?? '', 'base64url'))
  return jwk.kty === 'RSA'
    ? { kind: 'rsa', modulus: bytes(jwk.n), exponent: 65537 }
    : { kind: 'ec', curve: jwk.crv as 'P-256', x: bytes(jwk.x), y: bytes(jwk.y) }
}

export const YEAR_2026 = Date.UTC(2026, 0, 1)
export const YEAR_2027 = Date.UTC(2027, 0, 1)

interface Period {
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
  /** 16 bytes; else of the name. */
  readonly serial?: Uint8Array
  /** What a dishonest issuer changes before it signs. */
  readonly edit?: (tbs: Uint8Array) => Uint8Array
  /** Another signer than the issuer. */
  readonly signedBy?: Signer
}

function common(
  from: Signer,
  subject: Signer,
  name: string,
  period: Period,
): Parameters<typeof authorityCertificateTbs>[0] {
  return {
    name,
    pathLength: 0,
    serial: period.serial ?? sha256(Buffer.from(name)).subarray(0, 16),
    key: subject.key,
    scheme: from.scheme,
    notBeforeMs: period.notBeforeMs ?? YEAR_2026,
    notAfterMs: period.notAfterMs ?? YEAR_2027,
    sha256,
  }
}

function issue(made: Uint8Array, by: Signer, subject: Signer, { edit, signedBy = by }: Period): Issued {
  const tbs = edit === undefined ? made : edit(made)
  const der = signedCertificate({ tbs, scheme: by.scheme, signature: signedBy.sign(tbs) })
  return { ...subject, der, certificate: decodeCertificate(der, 'endorsement') }
}

export function newRoot(
  name: string,
  more: Period & { readonly key?: Signer; readonly pathLength?: number } = {},
): Issued {
  const key = more.key ?? newKey()
  const tbs = authorityCertificateTbs({ ...common(key, key, name, more), pathLength: more.pathLength ?? 2 })
  return issue(tbs, key, key, more)
}

export function newAuthority(
  name: string,
  by: Issued,
  more: Period & { readonly key?: Signer; readonly pathLength?: number } = {},
): Issued {
  const key = more.key ?? newKey()
  const { pathLength = 1 } = more
  const tbs = authorityCertificateTbs({ ...common(by, key, name, more), pathLength, issuer: by.certificate })
  return issue(tbs, by, key, more)
}

export function certifyAk(
  by: Issued,
  host: { readonly name: string; readonly key: PublicKey; readonly statement: AkStatement },
  period: Period = {},
  /** Who has the key of the host, where it signs. */
  subject: Signer = { ...by, key: host.key },
): Issued {
  const { name: hostName, statement } = host
  const tbs = akCertificateTbs({
    ...common(by, subject, hostName, period),
    hostName,
    statement,
    issuer: by.certificate,
  })
  return issue(tbs, by, subject, period)
}
