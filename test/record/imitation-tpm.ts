/**
 * A key that signs what a TPM would have signed: real structures, real signatures, no TPM. Its
 * signatures are a function of key and message, so that vectors come out the same each time.
 */
import { createECDH, createHmac, createPrivateKey, sign } from 'node:crypto'
import {
  concat,
  encodeTpmtPublic,
  encodeTpmtSignature,
  objectName,
  pcrDigest,
  qualifiedName,
  decodeTpmtPublic,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPM_ST,
  TPMA_OBJECT,
  utf8,
  type PcrBanks,
  type PcrSelection,
  type PublicArea,
  type TpmsAttestFields,
  type TpmsClockInfo,
} from '@reprise/core'
import { nodeCrypto } from './node-crypto.ts'

const { hash, sha256 } = nodeCrypto

export interface ImitationTpm {
  /** TPMT_PUBLIC */
  readonly publicArea: Uint8Array
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
  /** @returns TPMT_SIGNATURE */
  readonly sign: (message: Uint8Array) => Uint8Array
}

const { fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign: signs } = TPMA_OBJECT
export const AK_ATTRIBUTES = fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | noDA | restricted | signs

export interface KeyShape {
  readonly attributes?: number
  readonly parent?: number
  readonly scheme?: number
}

/** An ECDSA P-256 attestation key whose private number is a hash of `seed`. */
export function eccTpm(seed: string, shape: KeyShape = {}): ImitationTpm {
  const secret = scalar(sha256(utf8(seed)))
  const point = pointOf(secret)
  const area: PublicArea = {
    type: TPM_ALG.ECC,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: shape.attributes ?? AK_ATTRIBUTES,
    authPolicy: new Uint8Array(),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme: shape.scheme ?? TPM_ALG.ECDSA, hashAlg: TPM_ALG.SHA256 },
      curveId: TPM_ECC.NIST_P256,
      kdf: { scheme: TPM_ALG.NULL },
    },
    unique: { x: point.subarray(1, 33), y: point.subarray(33) },
  }
  return tpm(area, shape, (message) =>
    encodeTpmtSignature({ scheme: { kind: 'ecdsa', hash: 'sha256' }, signature: signEcdsa(secret, message) }),
  )
}

/** An RSASSA attestation key. */
export function rsaTpm(pkcs8Base64: string): ImitationTpm {
  const key = createPrivateKey({ key: Buffer.from(pkcs8Base64, 'base64'), format: 'der', type: 'pkcs8' })
  const modulus = Buffer.from(key.export({ format: 'jwk' }).n as string, 'base64url')
  const area: PublicArea = {
    type: TPM_ALG.RSA,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes: AK_ATTRIBUTES,
    authPolicy: new Uint8Array(),
    parameters: {
      symmetric: { algorithm: TPM_ALG.NULL },
      scheme: { scheme: TPM_ALG.RSASSA, hashAlg: TPM_ALG.SHA256 },
      keyBits: modulus.length * 8,
      exponent: 0,
    },
    unique: modulus,
  }
  return tpm(area, {}, (message) =>
    encodeTpmtSignature({ scheme: { kind: 'rsassa', hash: 'sha256' }, signature: sign('sha256', message, key) }),
  )
}

function tpm(area: PublicArea, shape: KeyShape, signs: ImitationTpm['sign']): ImitationTpm {
  const publicArea = encodeTpmtPublic(area)
  const name = objectName(decodeTpmtPublic(publicArea), hash)
  const parent = shape.parent ?? TPM_RH.ENDORSEMENT
  return { publicArea, name, qualifiedName: qualifiedName({ parent, name, hash }), sign: signs }
}

/** A quote over a SHA-256 bank, before it is signed. */
export function quoteFields(
  tpm: ImitationTpm,
  quote: {
    readonly extraData: Uint8Array
    readonly clockInfo: TpmsClockInfo
    readonly pcrs: Readonly<Record<string, Uint8Array>>
  },
): TpmsAttestFields {
  const selection: PcrSelection[] = [{ hash: TPM_ALG.SHA256, pcrs: Object.keys(quote.pcrs).map(Number) }]
  const banks: PcrBanks = { sha256: quote.pcrs }
  return {
    type: TPM_ST.ATTEST_QUOTE,
    qualifiedSigner: tpm.qualifiedName,
    extraData: quote.extraData,
    clockInfo: quote.clockInfo,
    firmwareVersion: 0x2020031200120000n,
    attested: {
      pcrSelect: selection,
      pcrDigest: pcrDigest({ hash, algorithm: 'sha256', selection, banks }) as Uint8Array,
    },
  }
}

/** FIPS 186-5: order of P-256. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const toBytes = (number: bigint): Uint8Array => Buffer.from(number.toString(16).padStart(64, '0'), 'hex')
const scalar = (bytes: Uint8Array): bigint => (toNumber(bytes) % (ORDER - 1n)) + 1n

function pointOf(secret: bigint): Uint8Array {
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(toBytes(secret))
  return ecdh.getPublicKey()
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let factor = base % ORDER, rest = exponent; rest > 0n; rest >>= 1n, factor = (factor * factor) % ORDER)
    if (rest & 1n) result = (result * factor) % ORDER
  return result
}

/** ECDSA with a nonce that is an HMAC of the message, in the spirit of RFC 6979. @returns r ‖ s. */
function signEcdsa(secret: bigint, message: Uint8Array): Uint8Array {
  const nonce = scalar(createHmac('sha256', toBytes(secret)).update(message).digest())
  const r = toNumber(pointOf(nonce).subarray(1, 33)) % ORDER
  const s = (power(nonce, ORDER - 2n) * (toNumber(sha256(message)) + r * secret)) % ORDER
  return concat(toBytes(r), toBytes(s))
}

/** The other signature that a verifier takes for the same key and message: (r, n - s). */
export function otherEcdsa(signature: Uint8Array): Uint8Array {
  return concat(signature.subarray(0, 32), toBytes(ORDER - toNumber(signature.subarray(32))))
}
