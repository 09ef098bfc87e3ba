/** Whether a chain of certificates is this host's own, up to that root. Rules: spec/certificates.md §2, §3. */

import { decodeTpmtPublic, equal, hex, objectName, toPublicKey } from '@reprise/core'
import {
  AIK_CERTIFICATE,
  type Certificate,
  decodeAkCertificate,
  decodeCertificate,
  verifyChain,
} from '@reprise/core/certificates'
import type { Tier } from '@reprise/core/certificates'
import { keyObject, nodeCrypto } from '../crypto.ts'
import { HostError } from '../error.ts'
import { hash, sha256 } from '../hashing.ts'
import type { Enrolment } from '../signer/protocol.ts'

/** What there is to say of a chain that holds. */
export interface ChainFacts {
  /** SHA-256 of the root's SubjectPublicKeyInfo: what an authority is known by. */
  readonly authority: Uint8Array
  readonly authorityName: string
  readonly hostName: string
  readonly tier: Tier
  /** Hex. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
}

/** @throws {@link HostError} `CERTIFICATE` for a root that is none. */
export function authorityId(root: Uint8Array): Uint8Array {
  return sha256(reading(() => decodeCertificate(root)).spki)
}

/**
 * Periods of validity are not looked at: a certificate that is over still says what it said.
 *
 * @param akPublic - TPMT_PUBLIC of this host's AK.
 * @throws {@link HostError} `CERTIFICATE` saying what does not hold.
 */
export async function checkChain({ root, certificates }: Enrolment, akPublic: Uint8Array): Promise<ChainFacts> {
  if (certificates.length === 0) throw wrong('there is none')
  const top = reading(() => decodeCertificate(root))
  const leaf = reading(() => decodeAkCertificate(certificates[0]))
  const chain = [leaf.certificate, ...certificates.slice(1).map((der) => reading(() => decodeCertificate(der)))]
  const ak = decodeTpmtPublic(akPublic)
  const isOurs = keyObject(leaf.certificate.key).equals(keyObject(toPublicKey(ak)))
  if (!isOurs || !equal(leaf.statement.akName, objectName(ak, hash)))
    throw wrong('it is for another attestation key than this host has')
  const [problem] = await verifyChain(chain, top, { crypto: nodeCrypto, usage: AIK_CERTIFICATE })
  if (problem !== undefined) throw wrong(`certificate ${problem.index}: ${problem.message}`)
  return { authority: sha256(top.spki), authorityName: nameOf(top), ...leafFacts(leaf) }
}

function leafFacts({ certificate, hostName, statement }: ReturnType<typeof decodeAkCertificate>) {
  const { serial, notBeforeMs, notAfterMs } = certificate
  const period = { notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs) }
  return { hostName, tier: statement.tier, serial: hex(serial), ...period }
}

function nameOf({ commonName, subject }: Certificate): string {
  return commonName ?? subject.text
}

function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw wrong((cause as Error).message, cause)
  }
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
