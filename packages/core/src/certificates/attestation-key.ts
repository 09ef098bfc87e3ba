/**
 * The certificate by which an authority vouches for an attestation key: profile, decoding and making.
 * Format: spec/certificates.md §3.
 */
import { equal } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import { type Certificate, decodeCertificate } from './certificate.ts'
import { AIK_CERTIFICATE } from './chain.ts'
import { derError, encode, encodePositive, sequence, TAG } from './der.ts'
import { type Tier, TIERS } from './tier.ts'

/** Our own extension; an OID from a random UUID (ITU-T X.667). */
export const AK_STATEMENT = '2.25.27532532571571011065495027818602258615'

/** A Name is nameAlg and digest; that of an attestation key is over SHA-256. */
const AK_NAME_BYTES = 34
/** With SHA-256, SHA-384 (endorsement keys on P-384 have it) or SHA-512. */
const EK_NAME_BYTES = [34, 50, 66]
const DIGEST_BYTES = 32

/** What the authority says besides the key and the host's name. */
export interface AkStatement {
  /** Name of the attestation key, TPM 2.0 Part 1 §16. */
  readonly akName: Uint8Array
  readonly tier: Tier
  /** Name of the endorsement key that it activated the attestation key with. */
  readonly ekName: Uint8Array
  /** SHA-256 of the endorsement certificate; absent when there was none. */
  readonly ekCertificate?: Uint8Array
}

export interface AkCertificate {
  readonly certificate: Certificate
  /** The host's name as the authority knows it. */
  readonly hostName: string
  readonly statement: AkStatement
}

const HOST_NAME_BYTES_MAX = 64

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT` for anything but a certificate of this profile. */
export function decodeAkCertificate(der: Uint8Array): AkCertificate {
  const certificate = decodeCertificate(der)
  const { commonName, extensions } = certificate
  const { basicConstraints, keyUsage, extendedKeyUsage } = extensions
  const isCritical = (oid: string): boolean => extensions.all.some((each) => each.oid === oid && each.critical)
  if (commonName === undefined || !isHostName(commonName)) throw unfit('its subject is no name of a host')
  if (basicConstraints?.isCa !== false || !isCritical('2.5.29.19')) throw unfit('it is not said not to be an authority')
  if (keyUsage?.all !== 'digitalSignature' || !isCritical('2.5.29.15'))
    throw unfit('its key is not for signatures alone')
  if (extendedKeyUsage?.length !== 1 || extendedKeyUsage[0] !== AIK_CERTIFICATE)
    throw unfit('it is not for an attestation key')
  if (extensions.subjectKeyId === undefined || extensions.authorityKeyId === undefined)
    throw unfit('it lacks the identifiers of the keys')
  const statement = extensions.all.find(({ oid }) => oid === AK_STATEMENT)
  if (statement === undefined) throw unfit('it says nothing about key and tier')
  return { certificate, hostName: commonName, statement: decodeAkStatement(statement.value) }
}

/** Printable, no white space at either end, at most {@link HOST_NAME_BYTES_MAX} characters. */
export function isHostName(name: string): boolean {
  return /^[!-~](?:[ -~]*[!-~])?$/.test(name) && name.length <= HOST_NAME_BYTES_MAX
}

function unfit(why: string): EvidenceError {
  return new EvidenceError('STRUCTURE', { message: `no certificate of an attestation key: ${why}` })
}

/** @throws {@link EvidenceError} `STRUCTURE` unless the bytes are exactly what {@link encodeAkStatement} makes. */
export function decodeAkStatement(bytes: Uint8Array): AkStatement {
  const [version, akName, tier, ekName, ekCertificate] = sequence(bytes)
  if (version?.tag !== TAG.INTEGER || version.content.length !== 1 || version.content[0] !== 1)
    throw derError('a statement of another version than 1')
  const statement: AkStatement = {
    akName: octets(akName, [AK_NAME_BYTES]),
    tier: TIERS[tier?.tag === TAG.ENUMERATED && tier.content.length === 1 ? tier.content[0] : -1],
    ekName: octets(ekName, EK_NAME_BYTES),
    ...(ekCertificate && { ekCertificate: octets(ekCertificate, [DIGEST_BYTES]) }),
  }
  if (statement.tier === undefined || !equal(encodeAkStatement(statement), bytes))
    throw derError('not exactly a statement')
  return statement
}

function octets(
  element: { readonly tag: number; readonly content: Uint8Array } | undefined,
  lengthsBytes: readonly number[],
): Uint8Array {
  if (element?.tag !== TAG.OCTET_STRING || !lengthsBytes.includes(element.content.length))
    throw derError(`a statement without its ${lengthsBytes.join(' or ')} bytes`)
  return element.content
}

export function encodeAkStatement({ akName, tier, ekName, ekCertificate }: AkStatement): Uint8Array {
  return encode(
    TAG.SEQUENCE,
    encodePositive(new Uint8Array([1])),
    encode(TAG.OCTET_STRING, akName),
    encode(TAG.ENUMERATED, new Uint8Array([TIERS.indexOf(tier)])),
    encode(TAG.OCTET_STRING, ekName),
    ...(ekCertificate === undefined ? [] : [encode(TAG.OCTET_STRING, ekCertificate)]),
  )
}
