/** Whether a chain of certificates is this host's own, up to that root. */

import { createHash, X509Certificate } from 'node:crypto'
import { decodeTpmtPublic, hex, toPublicKey } from '@reprise/core'
import { keyObject } from '../crypto.ts'
import { HostError } from '../error.ts'
import type { Enrolment } from '../signer/protocol.ts'

/** What there is to say of a chain that holds. */
export interface ChainFacts {
  /** SHA-256 of the root's SubjectPublicKeyInfo: what an authority is known by. */
  readonly authority: Uint8Array
  readonly authorityName: string
  readonly hostName: string
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
}

/** @throws {@link HostError} `CERTIFICATE` for a root that is none. */
export function authorityId(root: Uint8Array): Uint8Array {
  return spkiDigest(readCertificate(root, 'the root'))
}

/**
 * @param own.akPublic - TPMT_PUBLIC of this host's AK.
 * @throws {@link HostError} `CERTIFICATE` saying what does not hold.
 */
export function checkChain({ root, certificates }: Enrolment, own: { readonly akPublic: Uint8Array }): ChainFacts {
  const top = readCertificate(root, 'the root')
  const chain = certificates.map((der, i) => readCertificate(der, `certificate ${i}`))
  const [leaf] = chain
  if (leaf === undefined) throw wrong('there is none')
  if (!leaf.publicKey.equals(keyObject(toPublicKey(decodeTpmtPublic(own.akPublic)))))
    throw wrong('it is for another attestation key than this host has')
  for (const [i, certificate] of chain.entries()) {
    const issuer = chain[i + 1] ?? top
    if (!issuer.ca || !certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey))
      throw wrong(`certificate ${i} was not issued by the one above it`)
  }
  if (!top.ca || !top.verify(top.publicKey)) throw wrong('the root is not a self-signed authority')
  return {
    authority: spkiDigest(top),
    authorityName: commonName(top),
    hostName: commonName(leaf),
    serial: leaf.serialNumber.toLowerCase(),
    notBefore: leaf.validFromDate,
    notAfter: leaf.validToDate,
  }
}

function readCertificate(der: Uint8Array, what: string): X509Certificate {
  try {
    return new X509Certificate(der)
  } catch (cause) {
    throw wrong(`${what} is not X.509: ${(cause as Error).message}`, cause)
  }
}

function spkiDigest({ publicKey }: X509Certificate): Uint8Array {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return new Uint8Array(createHash('sha256').update(spki).digest())
}

function commonName({ subject }: X509Certificate): string {
  return /^CN=(.*)$/m.exec(subject ?? '')?.[1] ?? ''
}

function wrong(why: string, cause?: unknown): HostError {
  return new HostError('CERTIFICATE', {
    message: `The certificate of the attestation key does not hold: ${why}.`,
    hint: 'Nothing was kept. Enrol again: reprise host enroll',
    cause,
  })
}

/** As it is printed and given: `sha256:` and the digest. */
export function fingerprint(authority: Uint8Array): string {
  return `sha256:${hex(authority)}`
}
