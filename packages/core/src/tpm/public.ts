/**
 * TPMT_PUBLIC: the public area of an object, its Name, and the key in it.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 2 §12.2.4 (TPMT_PUBLIC), §11.1.7 (TPMT_SYM_DEF_OBJECT), §11.2 (schemes);
 * Part 1 §16 (Names).
 */

import { type ByteReader, ByteWriter, concat } from '../bytes/index.ts'
import type { Crypto, PublicKey } from '../crypto.ts'
import { TPM_ALG, TPM_ECC } from './constants.ts'
import { hashAlgorithm, isHashAlg } from './hash.ts'
import { decodeExactly, structureError } from './structure.ts'

/** TPMT_SYM_DEF_OBJECT; AES is the only cipher understood. */
export type TpmtSymDefObject =
  | { readonly algorithm: typeof TPM_ALG.NULL }
  | { readonly algorithm: typeof TPM_ALG.AES; readonly keyBits: number; readonly mode: number }

/** TPMT_RSA_SCHEME, TPMT_ECC_SCHEME, TPMT_KDF_SCHEME, TPMT_KEYEDHASH_SCHEME: `hashAlg` and `count` where the scheme has them. */
export interface TpmtScheme {
  readonly scheme: number
  readonly hashAlg?: number
  readonly count?: number
}

interface PublicHead {
  /** TPM_ALG number; objects without a Name (TPM_ALG_NULL) are not supported. */
  readonly nameAlg: number
  /** Bits of `TPMA_OBJECT`. */
  readonly objectAttributes: number
  readonly authPolicy: Uint8Array
}

export interface EccPublicArea extends PublicHead {
  readonly type: typeof TPM_ALG.ECC
  readonly parameters: {
    readonly symmetric: TpmtSymDefObject
    readonly scheme: TpmtScheme
    readonly curveId: number
    readonly kdf: TpmtScheme
  }
  readonly unique: { readonly x: Uint8Array; readonly y: Uint8Array }
}

export interface RsaPublicArea extends PublicHead {
  readonly type: typeof TPM_ALG.RSA
  readonly parameters: {
    readonly symmetric: TpmtSymDefObject
    readonly scheme: TpmtScheme
    readonly keyBits: number
    /** 0 stands for 65537. */
    readonly exponent: number
  }
  readonly unique: Uint8Array
}

export interface KeyedHashPublicArea extends PublicHead {
  readonly type: typeof TPM_ALG.KEYEDHASH
  readonly parameters: { readonly scheme: TpmtScheme }
  readonly unique: Uint8Array
}

/** A public area by its fields: also the template that TPM2_Create and TPM2_CreatePrimary take. */
export type PublicArea = EccPublicArea | RsaPublicArea | KeyedHashPublicArea

/** TPMT_PUBLIC as received: its fields, and the bytes that its Name hashes. */
export type TpmtPublic = PublicArea & { readonly raw: Uint8Array }

/** @throws {@link EvidenceError} `STRUCTURE` unless the bytes are exactly one ECC, RSA or KEYEDHASH public area. */
export function decodeTpmtPublic(bytes: Uint8Array): TpmtPublic {
  return decodeExactly('TPMT_PUBLIC', bytes, (reader) => ({ ...readPublicArea(reader), raw: bytes }))
}

function readPublicArea(reader: ByteReader): PublicArea {
  const type = reader.u16()
  const nameAlg = reader.u16()
  if (!isHashAlg(nameAlg)) throw structureError(`TPMT_PUBLIC with nameAlg 0x${nameAlg.toString(16)} is not supported`)
  const head: PublicHead = { nameAlg, objectAttributes: reader.u32(), authPolicy: reader.tpm2b() }
  switch (type) {
    case TPM_ALG.ECC: {
      const parameters = {
        symmetric: readSymmetric(reader),
        scheme: readScheme(reader),
        curveId: reader.u16(),
        kdf: readScheme(reader),
      }
      return { type, ...head, parameters, unique: { x: reader.tpm2b(), y: reader.tpm2b() } }
    }
    case TPM_ALG.RSA: {
      const parameters = {
        symmetric: readSymmetric(reader),
        scheme: readScheme(reader),
        keyBits: reader.u16(),
        exponent: reader.u32(),
      }
      return { type, ...head, parameters, unique: reader.tpm2b() }
    }
    case TPM_ALG.KEYEDHASH:
      return { type, ...head, parameters: { scheme: readScheme(reader) }, unique: reader.tpm2b() }
    default:
      throw structureError(`TPMT_PUBLIC of type 0x${type.toString(16)} is not supported`)
  }
}

function readSymmetric(reader: ByteReader): TpmtSymDefObject {
  const algorithm = reader.u16()
  if (algorithm === TPM_ALG.NULL) return { algorithm }
  if (algorithm !== TPM_ALG.AES)
    throw structureError(`symmetric algorithm 0x${algorithm.toString(16)} is not supported`)
  return { algorithm, keyBits: reader.u16(), mode: reader.u16() }
}

const HASH_SCHEMES: ReadonlySet<number> = new Set([
  TPM_ALG.RSASSA,
  TPM_ALG.RSAPSS,
  TPM_ALG.OAEP,
  TPM_ALG.ECDSA,
  TPM_ALG.ECDH,
  TPM_ALG.HMAC,
])

function readScheme(reader: ByteReader): TpmtScheme {
  const scheme = reader.u16()
  if (scheme === TPM_ALG.NULL || scheme === TPM_ALG.RSAES) return { scheme }
  if (HASH_SCHEMES.has(scheme)) return { scheme, hashAlg: reader.u16() }
  if (scheme === TPM_ALG.ECDAA) return { scheme, hashAlg: reader.u16(), count: reader.u16() }
  throw structureError(`scheme 0x${scheme.toString(16)} is not supported`)
}

/** The bytes of a public area or template. */
export function encodeTpmtPublic(area: PublicArea): Uint8Array {
  const writer = new ByteWriter().u16(area.type).u16(area.nameAlg).u32(area.objectAttributes).tpm2b(area.authPolicy)
  switch (area.type) {
    case TPM_ALG.ECC:
      writeSymmetric(writer, area.parameters.symmetric)
      writeScheme(writer, area.parameters.scheme)
      writer.u16(area.parameters.curveId)
      writeScheme(writer, area.parameters.kdf)
      return writer.tpm2b(area.unique.x).tpm2b(area.unique.y).done()
    case TPM_ALG.RSA:
      writeSymmetric(writer, area.parameters.symmetric)
      writeScheme(writer, area.parameters.scheme)
      return writer.u16(area.parameters.keyBits).u32(area.parameters.exponent).tpm2b(area.unique).done()
    case TPM_ALG.KEYEDHASH:
      writeScheme(writer, area.parameters.scheme)
      return writer.tpm2b(area.unique).done()
  }
}

function writeSymmetric(writer: ByteWriter, symmetric: TpmtSymDefObject): void {
  writer.u16(symmetric.algorithm)
  if (symmetric.algorithm === TPM_ALG.AES) writer.u16(symmetric.keyBits).u16(symmetric.mode)
}

function writeScheme(writer: ByteWriter, { scheme, hashAlg, count }: TpmtScheme): void {
  writer.u16(scheme)
  if (hashAlg !== undefined) writer.u16(hashAlg)
  if (count !== undefined) writer.u16(count)
}

/** Name of an object, Part 1 §16: nameAlg ‖ H(TPMT_PUBLIC). 34 bytes with SHA-256. */
export function objectName(area: TpmtPublic, hash: Crypto['hash']): Uint8Array {
  return nameOf(area.nameAlg, area.raw, hash)
}

function nameOf(nameAlg: number, bytes: Uint8Array, hash: Crypto['hash']): Uint8Array {
  return concat(Uint8Array.of(nameAlg >> 8, nameAlg), hash(hashAlgorithm(nameAlg), bytes))
}

/**
 * Qualified Name, Part 1 §16: nameAlg ‖ H(qualified Name of the parent ‖ Name), with the object's own nameAlg.
 *
 * @param qualified.parent - The hierarchy's handle for a primary object (its Name is its handle), else the parent's qualified Name.
 */
export function qualifiedName(qualified: {
  readonly parent: number | Uint8Array
  readonly name: Uint8Array
  readonly hash: Crypto['hash']
}): Uint8Array {
  const { parent, name, hash } = qualified
  if (name.length < 2) throw structureError(`a Name of ${name.length} bytes`)
  const nameAlg = (name[0] << 8) | name[1]
  const parentName = typeof parent === 'number' ? new ByteWriter().u32(parent).done() : parent
  return nameOf(nameAlg, concat(parentName, name), hash)
}

const CURVES: ReadonlyMap<number, { readonly curve: 'P-256' | 'P-384' | 'P-521'; readonly lengthBytes: number }> =
  new Map([
    [TPM_ECC.NIST_P256, { curve: 'P-256', lengthBytes: 32 }],
    [TPM_ECC.NIST_P384, { curve: 'P-384', lengthBytes: 48 }],
    [TPM_ECC.NIST_P521, { curve: 'P-521', lengthBytes: 66 }],
  ])

/**
 * The key of an ECC or RSA object; coordinates are padded to the length of the curve's field.
 *
 * @throws {@link EvidenceError} `STRUCTURE` for objects without a key and for curves that `Crypto` does not have.
 */
export function toPublicKey(area: PublicArea): PublicKey {
  if (area.type === TPM_ALG.RSA) {
    if (area.unique.length !== area.parameters.keyBits / 8)
      throw structureError(`RSA modulus of ${area.unique.length} bytes in a key of ${area.parameters.keyBits} bits`)
    return { kind: 'rsa', modulus: area.unique, exponent: area.parameters.exponent || 65537 }
  }
  if (area.type !== TPM_ALG.ECC) throw structureError('a KEYEDHASH object has no public key')
  const known = CURVES.get(area.parameters.curveId)
  if (known === undefined) throw structureError(`curve 0x${area.parameters.curveId.toString(16)} is not supported`)
  const { curve, lengthBytes } = known
  return { kind: 'ec', curve, x: padded(area.unique.x, lengthBytes), y: padded(area.unique.y, lengthBytes) }
}

function padded(number: Uint8Array, lengthBytes: number): Uint8Array {
  if (number.length === 0 || number.length > lengthBytes)
    throw structureError(`a coordinate of ${number.length} bytes on a curve of ${lengthBytes}`)
  return concat(new Uint8Array(lengthBytes - number.length), number)
}
