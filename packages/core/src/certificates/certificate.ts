/**
 * X.509 certificates, decoded exactly, as data. Format: spec/certificates.md §1.
 *
 * Source: RFC 5280 §4; TCG EK Credential Profile 2.5 for what endorsement certificates may look like.
 */
import { AlgorithmIdentifier, Name, SubjectPublicKeyInfo, Validity } from '@peculiar/asn1-x509'
import { equal } from '../bytes/index.ts'
import type { PublicKey, SignatureScheme } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import { type Algorithm, decodeKey, fromDerSignature, signatureScheme } from './algorithms.ts'
import {
  checkDer,
  derError,
  type DerProfile,
  type Element,
  elements,
  encode,
  readElement,
  sequence,
  TAG,
} from './der.ts'
import { decodeExtensions, type Extensions } from './extensions.ts'
import { commonName, describeName, type DistinguishedName } from './names.ts'
import { parse } from './parse.ts'

/** The largest endorsement certificates of chips have some 2,000 bytes. */
export const CERTIFICATE_BYTES_MAX = 8192

export interface Certificate {
  /** Exactly the certificate, without padding. */
  readonly der: Uint8Array
  /** The part that is signed. */
  readonly tbs: Uint8Array
  /** Content of the INTEGER. */
  readonly serial: Uint8Array
  readonly subject: DistinguishedName
  readonly commonName: string | undefined
  readonly issuer: DistinguishedName
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly key: PublicKey
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
  /** Undefined for an algorithm that is not taken. */
  readonly scheme: SignatureScheme | undefined
  /** As X.509 writes it. */
  readonly signature: Uint8Array
  readonly extensions: Extensions
}

/**
 * @param profile - `endorsement` takes what real chips hand out besides DER: see {@link DerProfile}, and bytes of
 *   padding after the certificate or the header of a TPM 1.2 before it.
 * @throws {@link EvidenceError} `STRUCTURE` unless the bytes are exactly one X.509 certificate of version 3 with a key that is
 *   taken; `LIMIT` beyond {@link CERTIFICATE_BYTES_MAX}.
 */
export function decodeCertificate(bytes: Uint8Array, profile: DerProfile = 'strict'): Certificate {
  if (bytes.length > CERTIFICATE_BYTES_MAX)
    throw new EvidenceError('LIMIT', {
      message: `a certificate of ${bytes.length} bytes; at most ${CERTIFICATE_BYTES_MAX} are read`,
    })
  const der = profile === 'endorsement' ? unpadded(bytes) : bytes
  checkDer(der, profile)
  // The skeleton is read by hand, since a library that reads a field as absent does not say so; it reads what hangs on it.
  const [tbs, algorithm, signature] = exactly(sequence(der), [TAG.SEQUENCE, TAG.SEQUENCE, TAG.BIT_STRING])
  if (signature.content[0] !== 0) throw derError('a signature that is not whole bytes')
  const fields = tbsFields(tbs)
  if (!equal(algorithm.raw, fields.algorithm.raw)) throw derError('two signature algorithms that differ')
  const subject = parse(Name, fields.subject.raw, profile)
  const info = parse(SubjectPublicKeyInfo, fields.spki.raw, profile)
  return {
    der,
    tbs: tbs.raw,
    serial: fields.serial.content,
    subject: describeName(subject),
    commonName: commonName(subject),
    issuer: describeName(parse(Name, fields.issuer.raw, profile)),
    ...readValidity(parse(Validity, fields.validity.raw, profile)),
    key: decodeKey(algorithmOf(info.algorithm), new Uint8Array(info.subjectPublicKey)),
    spki: fields.spki.raw,
    scheme: signatureScheme(algorithmOf(parse(AlgorithmIdentifier, algorithm.raw, profile))),
    signature: signature.content.subarray(1),
    extensions: decodeExtensions(fields.extensions, profile),
  }
}

const EXPLICIT_VERSION = 0xa0
const EXPLICIT_EXTENSIONS = 0xa3
const VERSION_3 = 2

interface TbsFields {
  readonly serial: Element
  readonly algorithm: Element
  readonly issuer: Element
  readonly validity: Element
  readonly subject: Element
  readonly spki: Element
  readonly extensions: readonly Element[]
}

/** Unique identifiers, which nothing has used since version 2, are not taken. */
function tbsFields(tbs: Element): TbsFields {
  const { SEQUENCE, INTEGER } = TAG
  const tags = [EXPLICIT_VERSION, INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, EXPLICIT_EXTENSIONS]
  const [version, serial, algorithm, issuer, validity, subject, spki, explicit] = exactly(elements(tbs.content), tags)
  const [number] = exactly(elements(version.content), [INTEGER])
  if (number.content.length !== 1 || number.content[0] !== VERSION_3) throw derError('a version other than 3')
  return { serial, algorithm, issuer, validity, subject, spki, extensions: sequence(explicit.content) }
}

function exactly(list: readonly Element[], tags: readonly number[]): readonly Element[] {
  if (list.length !== tags.length || list.some(({ tag }, i) => tag !== tags[i]))
    throw derError('not exactly the fields of an X.509 certificate of version 3 with extensions')
  return list
}

function readValidity({ notBefore, notAfter }: Validity): {
  readonly notBeforeMs: number
  readonly notAfterMs: number
} {
  const [notBeforeMs, notAfterMs] = [notBefore.getTime().getTime(), notAfter.getTime().getTime()]
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) throw derError('a time that is none')
  return { notBeforeMs, notAfterMs }
}

function algorithmOf({ algorithm, parameters }: AlgorithmIdentifier): Algorithm {
  return { oid: algorithm, ...(parameters instanceof ArrayBuffer && { parameters: new Uint8Array(parameters) }) }
}

/** TCG PC Client Implementation Specification 1.21 §7.4: TCG_PCCLIENT_STORED_CERT, TCG_FULL_CERT. */
const STORED_CERTIFICATE = [0x10, 0x01, 0x00]
const FULL_CERTIFICATE = [0x10, 0x02]

/** The certificate alone: an NV index is filled up with zeros or ones, and one for a TPM 1.2 begins with a header. */
function unpadded(bytes: Uint8Array): Uint8Array {
  const hasHeader =
    STORED_CERTIFICATE.every((byte, i) => bytes[i] === byte) &&
    FULL_CERTIFICATE.every((byte, i) => bytes[5 + i] === byte)
  const from = hasHeader ? bytes.subarray(7) : bytes
  const { raw } = readElement(from)
  const padding = from.subarray(raw.length)
  if (padding.some((byte) => byte !== padding[0]) || (padding.length > 0 && padding[0] !== 0 && padding[0] !== 0xff))
    throw derError(`${padding.length} bytes after the certificate that are no padding`)
  return raw
}

/** The signature in the form of `Crypto.verify`. */
export function signatureOf({ signature }: Certificate, issuer: PublicKey): Uint8Array {
  return fromDerSignature(signature, issuer)
}

/** A certificate of what was signed. @param signature - In the form of X.509. */
export function joinCertificate(tbs: Uint8Array, algorithm: Uint8Array, signature: Uint8Array): Uint8Array {
  return encode(TAG.SEQUENCE, tbs, algorithm, encode(TAG.BIT_STRING, new Uint8Array(1), signature))
}
