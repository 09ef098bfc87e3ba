/** Naming an authority by its root: a certificate in a file, or a fingerprint. */

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fromHex } from '@reprise/core'
import { HostError } from '../error.ts'
import { authorityId } from './chain.ts'

const FINGERPRINT = /^sha256:([0-9a-f]{64})$/

/**
 * @param text - `sha256:` and the SHA-256 of the root's SubjectPublicKeyInfo in hex; or the path of the root, PEM or DER.
 * @returns That digest.
 * @throws {@link HostError} `AUTHORITY_UNKNOWN`.
 */
export async function readAuthorityRoot(text: string): Promise<Uint8Array> {
  const [, digest] = FINGERPRINT.exec(text) ?? []
  if (digest !== undefined) return fromHex(digest)
  try {
    return authorityId(new Uint8Array(new X509Certificate(await readFile(text)).raw))
  } catch (cause) {
    throw new HostError('AUTHORITY_UNKNOWN', {
      message: `${text} is neither sha256:HEX nor a file with a root certificate: ${(cause as Error).message}`,
      hint: 'reprise authority show prints the fingerprint, and where the root is.',
      cause,
    })
  }
}
