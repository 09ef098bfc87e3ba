/**
 * The certificates that an authority issues. Format: spec/enrolment.md §2.
 *
 * Source: RFC 5280; TCG Credential Profile EK and Platform (the purpose tcg-kp-AIKCertificate).
 */

import { AsnConvert, AsnEnumeratedConverter, AsnProp, AsnPropTypes, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectKeyIdentifier,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509'
import type { KeyObject } from 'node:crypto'
import type { Tier } from '@reprise/core'
import { sha256 } from '../hashing.ts'
import type { AuthorityKey } from './key.ts'

const SERIAL_BYTES = 16
const COMMON_NAME = '2.5.4.3'
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const TCG_KP_AIK_CERTIFICATE = '2.23.133.8.3'
const AK_EXTENSION = '2.25.27532532571571011065495027818602258615'
const ROOT_YEARS = 20
/** Clocks of hosts may be behind that of their authority. */
const BACKDATED_MS = 60 * 60 * 1000

const TIERS: Readonly<Record<Tier, number>> = { software: 0, firmware: 1, hardware: 2 }

/** Value of the extension that ties a certificate to TPM keys. */
class AkBinding {
  version = 1
  akName = new OctetString()
  tier = 0
  ekName = new OctetString()
  ekCertificate?: OctetString
}
AsnProp({ type: AsnPropTypes.Integer })(AkBinding.prototype, 'version')
AsnProp({ type: OctetString })(AkBinding.prototype, 'akName')
AsnProp({ type: AsnPropTypes.Enumerated, converter: AsnEnumeratedConverter })(AkBinding.prototype, 'tier')
AsnProp({ type: OctetString })(AkBinding.prototype, 'ekName')
AsnProp({ type: OctetString, optional: true })(AkBinding.prototype, 'ekCertificate')

/** What a certificate says of a host. */
export interface AkSubject {
  readonly name: string
  readonly publicKey: KeyObject
  readonly akName: Uint8Array
  readonly tier: Tier
  readonly ekName: Uint8Array
  /** SHA-256 of the EK certificate's DER. */
  readonly ekCertificate: Uint8Array | null
}

/** @returns The self-signed root certificate, DER. @param made.serial - 16 bytes, positive. */
export async function makeRoot(
  key: AuthorityKey,
  made: { readonly name: string; readonly serial: Uint8Array; readonly now: Date },
): Promise<Uint8Array> {
  const notAfter = new Date(made.now)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + ROOT_YEARS)
  const usage = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature
  const subject = nameOf(made.name)
  return await signed(key, {
    ...{ serial: made.serial, issuer: subject, subject, publicKey: key.publicKey },
    ...{ notBefore: backdated(made.now), notAfter },
    extensions: [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true, pathLenConstraint: 0 })),
      extension(id_ce_keyUsage, true, new KeyUsage(usage)),
      extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(keyIdentifier(key.publicKey))),
    ],
  })
}

/** @returns The certificate of an attestation key, DER. @param made.serial - 16 bytes, positive. */
export async function makeAkCertificate(
  key: AuthorityKey,
  made: {
    readonly root: Uint8Array
    readonly subject: AkSubject
    readonly serial: Uint8Array
    readonly now: Date
    readonly notAfter: Date
  },
): Promise<Uint8Array> {
  const { root, subject, serial, now, notAfter } = made
  const issuer = AsnConvert.parse(root, Certificate).tbsCertificate.subject
  const keyIdentifierOfRoot = new KeyIdentifier(keyIdentifier(key.publicKey))
  return await signed(key, {
    ...{ serial, issuer, subject: nameOf(subject.name), publicKey: subject.publicKey },
    ...{ notBefore: backdated(now), notAfter },
    extensions: [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
      extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([TCG_KP_AIK_CERTIFICATE])),
      extension(
        id_ce_authorityKeyIdentifier,
        false,
        new AuthorityKeyIdentifier({ keyIdentifier: keyIdentifierOfRoot }),
      ),
      extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(keyIdentifier(subject.publicKey))),
      extension(AK_EXTENSION, false, bindingOf(subject)),
    ],
  })
}

function bindingOf(subject: AkSubject): AkBinding {
  const binding = new AkBinding()
  binding.akName = new OctetString(subject.akName)
  binding.tier = TIERS[subject.tier]
  binding.ekName = new OctetString(subject.ekName)
  if (subject.ekCertificate !== null) binding.ekCertificate = new OctetString(subject.ekCertificate)
  return binding
}

async function signed(
  key: AuthorityKey,
  made: {
    readonly serial: Uint8Array
    readonly issuer: Name
    readonly subject: Name
    readonly publicKey: KeyObject
    readonly notBefore: Date
    readonly notAfter: Date
    readonly extensions: readonly Extension[]
  },
): Promise<Uint8Array> {
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 })
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: buffer(made.serial),
    signature: algorithm,
    issuer: made.issuer,
    validity: new Validity({ notBefore: made.notBefore, notAfter: made.notAfter }),
    subject: made.subject,
    subjectPublicKeyInfo: AsnConvert.parse(spkiOf(made.publicKey), SubjectPublicKeyInfo),
    extensions: new Extensions([...made.extensions]),
  })
  const signature = await key.sign(new Uint8Array(AsnConvert.serialize(tbsCertificate)))
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: buffer(signature),
  })
  return new Uint8Array(AsnConvert.serialize(certificate))
}

function nameOf(commonName: string): Name {
  const attribute = new AttributeTypeAndValue({
    type: COMMON_NAME,
    value: new AttributeValue({ utf8String: commonName }),
  })
  return new Name([new RelativeDistinguishedName([attribute])])
}

function extension(extnID: string, critical: boolean, value: object): Extension {
  return new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })
}

/** The leftmost 160 bits of the SHA-256 of the key (RFC 7093 §2, method 1). */
function keyIdentifier(publicKey: KeyObject): ArrayBuffer {
  const { subjectPublicKey } = AsnConvert.parse(spkiOf(publicKey), SubjectPublicKeyInfo)
  return buffer(sha256(new Uint8Array(subjectPublicKey)).subarray(0, 20))
}

function spkiOf(publicKey: KeyObject): Uint8Array {
  return publicKey.export({ type: 'spki', format: 'der' })
}

/** Certificates count in seconds. */
function backdated(now: Date): Date {
  return new Date(Math.floor((now.getTime() - BACKDATED_MS) / 1000) * 1000)
}

/** A copy that is alone in its buffer, as the library wants it. */
function buffer(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer
}

/** 16 random bytes of a positive number without a leading zero byte (RFC 5280 §4.1.2.2). */
export function serialNumber(random: (lengthBytes: number) => Uint8Array): Uint8Array {
  const serial = random(SERIAL_BYTES).slice()
  serial[0] = (serial[0] & 0x7f) | 0x40
  return serial
}
