/**
 * Keys and signatures as X.509 writes them, as `Crypto` takes them.
 *
 * Source: RFC 3279, RFC 4055, RFC 5480, RFC 5758. OIDs in `OID` are those of these documents.
 */
import { concat, equal } from '../bytes/index.ts'
import type { HashAlgorithm, PublicKey, SignatureScheme } from '../crypto.ts'
import { derError, encode, encodePositive, positive, sequence, TAG } from './der.ts'
import { encodeOid } from './oid.ts'

const RSA_ENCRYPTION = '1.2.840.113549.1.1.1'
/** STMicroelectronics marks endorsement keys with it: the key is the same. */
const RSAES_OAEP = '1.2.840.113549.1.1.7'
const RSASSA_PSS = '1.2.840.113549.1.1.10'
const EC_PUBLIC_KEY = '1.2.840.10045.2.1'

const CURVES = [
  { curve: 'P-256', oid: '1.2.840.10045.3.1.7', lengthBytes: 32 },
  { curve: 'P-384', oid: '1.3.132.0.34', lengthBytes: 48 },
  { curve: 'P-521', oid: '1.3.132.0.35', lengthBytes: 66 },
] as const

const SCHEMES: readonly { readonly oid: string; readonly scheme: SignatureScheme }[] = [
  { oid: '1.2.840.113549.1.1.5', scheme: { kind: 'rsassa', hash: 'sha1' } },
  { oid: '1.2.840.113549.1.1.11', scheme: { kind: 'rsassa', hash: 'sha256' } },
  { oid: '1.2.840.113549.1.1.12', scheme: { kind: 'rsassa', hash: 'sha384' } },
  { oid: '1.2.840.113549.1.1.13', scheme: { kind: 'rsassa', hash: 'sha512' } },
  { oid: '1.2.840.10045.4.3.2', scheme: { kind: 'ecdsa', hash: 'sha256' } },
  { oid: '1.2.840.10045.4.3.3', scheme: { kind: 'ecdsa', hash: 'sha384' } },
  { oid: '1.2.840.10045.4.3.4', scheme: { kind: 'ecdsa', hash: 'sha512' } },
]

const PSS_HASHES: readonly { readonly oid: string; readonly hash: HashAlgorithm; readonly saltBytes: number }[] = [
  { oid: '2.16.840.1.101.3.4.2.1', hash: 'sha256', saltBytes: 32 },
  { oid: '2.16.840.1.101.3.4.2.2', hash: 'sha384', saltBytes: 48 },
  { oid: '2.16.840.1.101.3.4.2.3', hash: 'sha512', saltBytes: 64 },
]
const MGF1 = '1.2.840.113549.1.1.8'

export interface Algorithm {
  readonly oid: string
  /** DER, whatever it is; absent when there is none. */
  readonly parameters?: Uint8Array
}

const NULL = new Uint8Array([0x05, 0x00])

/** Undefined for an algorithm that is not taken, MD5 among them. */
export function signatureScheme({ oid, parameters }: Algorithm): SignatureScheme | undefined {
  if (oid === RSASSA_PSS) return pssScheme(parameters)
  const scheme = SCHEMES.find((known) => known.oid === oid)?.scheme
  const isPlain = parameters === undefined || (scheme?.kind === 'rsassa' && equal(parameters, NULL))
  return isPlain ? scheme : undefined
}

/** RFC 4055 §3.1; only with MGF1 over the same hash and a salt as long as it, written out. */
function pssScheme(parameters: Uint8Array | undefined): SignatureScheme | undefined {
  if (parameters === undefined) return undefined
  const known = PSS_HASHES.find(({ hash }) => equal(parameters, pssParameters(hash)))
  return known && { kind: 'rsapss', hash: known.hash }
}

function pssParameters(hash: HashAlgorithm): Uint8Array {
  const { oid, saltBytes } = PSS_HASHES.find((known) => known.hash === hash) ?? unsupported(hash)
  const digest = encode(TAG.SEQUENCE, encodeOid(oid), NULL)
  return encode(
    TAG.SEQUENCE,
    encode(0xa0, digest),
    encode(0xa1, encode(TAG.SEQUENCE, encodeOid(MGF1), digest)),
    encode(0xa2, encodePositive(new Uint8Array([saltBytes]))),
  )
}

/** @throws `RangeError` for a scheme that no certificate is signed with. */
export function algorithmOf(scheme: SignatureScheme): Algorithm {
  if (scheme.kind === 'rsapss') return { oid: RSASSA_PSS, parameters: pssParameters(scheme.hash) }
  const known = SCHEMES.find((each) => each.scheme.kind === scheme.kind && each.scheme.hash === scheme.hash)
  const { oid } = known ?? unsupported(`${scheme.kind} with ${scheme.hash}`)
  return scheme.kind === 'rsassa' ? { oid, parameters: NULL } : { oid }
}

function unsupported(what: string): never {
  throw new RangeError(`${what} does not sign certificates`)
}

/**
 * @param bits - The content of the BIT STRING.
 * @throws {@link EvidenceError} `STRUCTURE` for other keys than RSA and points, not compressed, of P-256, P-384 and P-521.
 */
export function decodeKey({ oid, parameters }: Algorithm, bits: Uint8Array): PublicKey {
  if (oid === EC_PUBLIC_KEY) {
    const known = CURVES.find((curve) => parameters !== undefined && equal(parameters, encodeOid(curve.oid)))
    if (known === undefined) throw derError('a key on a curve that is not taken')
    const { curve, lengthBytes } = known
    if (bits[0] !== 4 || bits.length !== 1 + 2 * lengthBytes) throw derError(`not a whole point of ${curve}`)
    return { kind: 'ec', curve, x: bits.slice(1, 1 + lengthBytes), y: bits.slice(1 + lengthBytes) }
  }
  if (oid !== RSA_ENCRYPTION && oid !== RSAES_OAEP) throw derError(`a key of the algorithm ${oid}`)
  const [modulus, exponent, ...more] = sequence(bits)
  if (exponent === undefined || more.length > 0) throw derError('not an RSA key')
  const e = positive(exponent)
  if (e.length > 4) throw derError('an RSA exponent beyond 32 bits')
  return { kind: 'rsa', modulus: positive(modulus).slice(), exponent: e.reduce((sum, byte) => sum * 256 + byte, 0) }
}

/** @returns The algorithm, and the content of the BIT STRING. */
export function encodeKey(key: PublicKey): { readonly algorithm: Algorithm; readonly bits: Uint8Array } {
  if (key.kind === 'ec') {
    const { oid } = CURVES.find(({ curve }) => curve === key.curve) ?? unsupported(key.curve)
    const algorithm = { oid: EC_PUBLIC_KEY, parameters: encodeOid(oid) }
    return { algorithm, bits: concat(new Uint8Array([4]), key.x, key.y) }
  }
  const { exponent } = key
  const e = new Uint8Array([exponent >>> 24, exponent >>> 16, exponent >>> 8, exponent])
  return {
    algorithm: { oid: RSA_ENCRYPTION, parameters: NULL },
    bits: encode(TAG.SEQUENCE, encodePositive(key.modulus), encodePositive(e)),
  }
}

/**
 * The signature in the form that `Crypto.verify` takes: ECDSA as r ‖ s of the curve's length.
 *
 * @throws {@link EvidenceError} `STRUCTURE` when it is no signature by that key.
 */
export function fromDerSignature(signature: Uint8Array, key: PublicKey): Uint8Array {
  if (key.kind === 'rsa') return signature
  const lengthBytes = fieldBytes(key)
  const numbers = sequence(signature).map(positive)
  if (numbers.length !== 2 || numbers.some((number) => number.length > lengthBytes))
    throw derError(`not a signature by a key on ${key.curve}`)
  const canonical = encode(TAG.SEQUENCE, ...numbers.map(encodePositive))
  if (!equal(canonical, signature)) throw derError('an ECDSA signature that is not DER')
  return concat(...numbers.flatMap((number) => [new Uint8Array(lengthBytes - number.length), number]))
}

/** The other way round. */
export function toDerSignature(signature: Uint8Array, scheme: SignatureScheme): Uint8Array {
  if (scheme.kind !== 'ecdsa') return signature
  const half = signature.length / 2
  return encode(TAG.SEQUENCE, encodePositive(signature.subarray(0, half)), encodePositive(signature.subarray(half)))
}

function fieldBytes(key: PublicKey & { readonly kind: 'ec' }): number {
  return (CURVES.find(({ curve }) => curve === key.curve) ?? unsupported(key.curve)).lengthBytes
}

export function equalKeys(a: PublicKey, b: PublicKey): boolean {
  return a.kind === b.kind && equal(encodeKey(a).bits, encodeKey(b).bits)
}
