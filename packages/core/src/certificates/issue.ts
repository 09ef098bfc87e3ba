/**
 * Making certificates: the part to be signed, and the certificate once it is signed. Whoever holds the key signs; nothing
 * here does. Format: spec/certificates.md §3, §4.
 */
import { OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AuthorityKeyIdentifier,
  BasicConstraints,
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
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509'
import type { PublicKey, Sha256, SignatureScheme } from '../crypto.ts'
import { assert } from '../error.ts'
import { type Algorithm, algorithmOf, encodeKey, toDerSignature } from './algorithms.ts'
import { AK_STATEMENT, type AkStatement, encodeAkStatement, isHostName } from './attestation-key.ts'
import { type Certificate, joinCertificate } from './certificate.ts'
import { AIK_CERTIFICATE } from './chain.ts'
import { sequence } from './der.ts'
import { nameOf } from './names.ts'
import { parse, serialize } from './parse.ts'

export const SERIAL_BYTES = 16

interface Common {
  /** {@link SERIAL_BYTES} random bytes; the first bit is cleared and one set, so that it is positive and keeps its length. */
  readonly serial: Uint8Array
  /** Of the subject. */
  readonly key: PublicKey
  /** Milliseconds since 1970; whole seconds count. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** How the issuer signs. */
  readonly scheme: SignatureScheme
  readonly sha256: Sha256
}

/** @returns TBSCertificate of an attestation key, DER: what the authority signs. */
export function akCertificateTbs(
  request: Common & { readonly hostName: string; readonly issuer: Certificate; readonly statement: AkStatement },
): Uint8Array {
  const { hostName, issuer, statement } = request
  assert(isHostName(hostName), 'the name of a host is printable and of at most 64 characters')
  return tbs(request, {
    subject: nameOf(hostName),
    issuer,
    extensions: [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
      extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([AIK_CERTIFICATE])),
      new Extension({ extnID: AK_STATEMENT, extnValue: new OctetString(encodeAkStatement(statement)) }),
    ],
  })
}

/**
 * @param request.issuer - Left out for a root, which is signed by its own key.
 * @param request.pathLength - How many authorities may stand between this one and a leaf; 0 for one that certifies hosts itself.
 * @returns TBSCertificate of an authority, DER.
 */
export function authorityCertificateTbs(
  request: Common & { readonly name: string; readonly issuer?: Certificate; readonly pathLength: number },
): Uint8Array {
  const { name, issuer, pathLength } = request
  return tbs(request, {
    subject: nameOf(name),
    issuer,
    extensions: [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true, pathLenConstraint: pathLength })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)),
    ],
  })
}

/**
 * @param signature - As `Crypto.verify` takes it: ECDSA is r ‖ s.
 * @returns The certificate, DER.
 */
export function signedCertificate(signed: {
  readonly tbs: Uint8Array
  readonly scheme: SignatureScheme
  readonly signature: Uint8Array
}): Uint8Array {
  const { tbs, scheme, signature } = signed
  return joinCertificate(tbs, serialize(identifier(algorithmOf(scheme))), toDerSignature(signature, scheme))
}

/** RFC 7093 §2 (1): the leftmost 160 bits of SHA-256 over the key's bits. */
function keyIdentifier(key: PublicKey, sha256: Sha256): KeyIdentifier {
  return new KeyIdentifier(sha256(encodeKey(key).bits).slice(0, 20))
}

function tbs(
  { serial, key, notBeforeMs, notAfterMs, scheme, sha256 }: Common,
  more: { readonly subject: Name; readonly issuer: Certificate | undefined; readonly extensions: readonly Extension[] },
): Uint8Array {
  assert(serial.length === SERIAL_BYTES, `a serial number has ${SERIAL_BYTES} bytes`)
  const positive = serial.slice()
  positive[0] = (positive[0] & 0x7f) | 0x40
  const subjectKeyId = keyIdentifier(key, sha256)
  const issuerKeyId = more.issuer?.extensions.subjectKeyId
  const { algorithm, bits } = encodeKey(key)
  return serialize(
    new TBSCertificate({
      version: Version.v3,
      serialNumber: positive.buffer,
      signature: identifier(algorithmOf(scheme)),
      issuer: more.issuer === undefined ? more.subject : subjectOf(more.issuer),
      validity: new Validity({ notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs) }),
      subject: more.subject,
      subjectPublicKeyInfo: new SubjectPublicKeyInfo({
        algorithm: identifier(algorithm),
        subjectPublicKey: bits.slice().buffer,
      }),
      extensions: new Extensions([
        ...more.extensions,
        extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(subjectKeyId)),
        extension(
          id_ce_authorityKeyIdentifier,
          false,
          new AuthorityKeyIdentifier({
            keyIdentifier: issuerKeyId === undefined ? subjectKeyId : new KeyIdentifier(issuerKeyId),
          }),
        ),
      ]),
    }),
  )
}

/** The issuer's subject exactly as it stands in its certificate. */
function subjectOf({ tbs }: Certificate): Name {
  // version, serialNumber, signature, issuer, validity, subject
  return parse(Name, sequence(tbs)[5].raw, 'strict')
}

function extension(oid: string, critical: boolean, value: object): Extension {
  return new Extension({ extnID: oid, critical, extnValue: new OctetString(serialize(value)) })
}

function identifier({ oid, parameters }: Algorithm): AlgorithmIdentifier {
  return new AlgorithmIdentifier({
    algorithm: oid,
    ...(parameters !== undefined && { parameters: parameters.slice().buffer }),
  })
}
