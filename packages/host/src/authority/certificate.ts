/** The certificates that an authority issues: made by `core` (spec/certificates.md §3, §4), signed by its key. */

import type { PublicKey, SignatureScheme } from '@reprise/core'
import {
  akCertificateTbs,
  type AkStatement,
  authorityCertificateTbs,
  decodeCertificate,
  SERIAL_BYTES,
  signedCertificate,
} from '@reprise/core/certificates'
import { sha256 } from '../hashing.ts'
import type { AuthorityKey } from './key.ts'

export const SCHEME: SignatureScheme = { kind: 'ecdsa', hash: 'sha256' }
const ROOT_YEARS = 20
/** Clocks of hosts may be behind that of their authority. */
const BACKDATED_MS = 60 * 60 * 1000

interface Making {
  readonly now: Date
  readonly random: (lengthBytes: number) => Uint8Array
}

/** @returns The self-signed root certificate, DER. */
export async function makeRoot(key: AuthorityKey, name: string, { now, random }: Making): Promise<Uint8Array> {
  const notAfter = new Date(now)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + ROOT_YEARS)
  const tbs = authorityCertificateTbs({
    ...{ name, key: key.publicKey, pathLength: 0, serial: random(SERIAL_BYTES), scheme: SCHEME, sha256 },
    ...{ notBeforeMs: now.getTime() - BACKDATED_MS, notAfterMs: notAfter.getTime() },
  })
  return signedCertificate({ tbs, scheme: SCHEME, signature: await key.sign(tbs) })
}

/** @returns The certificate of an attestation key, DER, and its serial number. */
export async function makeAkCertificate(
  key: AuthorityKey,
  made: {
    readonly root: Uint8Array
    readonly hostName: string
    readonly akKey: PublicKey
    readonly statement: AkStatement
    readonly notAfter: Date
  },
  { now, random }: Making,
): Promise<{ readonly der: Uint8Array; readonly serial: Uint8Array }> {
  const { root, hostName, akKey, statement, notAfter } = made
  const tbs = akCertificateTbs({
    ...{ hostName, key: akKey, statement, issuer: decodeCertificate(root) },
    ...{ serial: random(SERIAL_BYTES), scheme: SCHEME, sha256 },
    ...{ notBeforeMs: now.getTime() - BACKDATED_MS, notAfterMs: notAfter.getTime() },
  })
  const der = signedCertificate({ tbs, scheme: SCHEME, signature: await key.sign(tbs) })
  return { der, serial: decodeCertificate(der).serial }
}
