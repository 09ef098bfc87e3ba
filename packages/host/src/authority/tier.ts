/** The tier of a TPM, by the chain of its endorsement certificate and the table of `core` (spec/certificates.md §5). */

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { builtInEkRoots, decodeCertificate, type OwnEkRoot, TIERS, tierOfEk } from '@reprise/core/certificates'
import { nodeCrypto } from '../crypto.ts'
import { HostError } from '../error.ts'
import type { AuthorityWorld } from './authority.ts'
import { refusal } from './refusal.ts'

/** @param own - Roots of the operator, which go before the table. */
export function tierByRoots(own: readonly OwnEkRoot[]): AuthorityWorld['tierOf'] {
  return async ({ ekCertificate, ekIssuers: intermediates }) => {
    if (ekCertificate === null) return { tier: 'software', reason: 'the endorsement key has no certificate' }
    const table = await builtInEkRoots()
    const found = await tierOfEk(ekCertificate, { crypto: nodeCrypto, table, own, intermediates }).catch(
      (error: Error) => {
        throw refusal('EK_CERTIFICATE', `The certificates of the endorsement key cannot be read: ${error.message}`)
      },
    )
    if (found.kind === 'known')
      return { tier: found.tier, reason: `its endorsement key is certified by ${found.maker}` }
    return { tier: 'software', reason: 'no known maker certified its endorsement key' }
  }
}

/**
 * @param text - `TIER=FILE`, the file a root certificate, PEM or DER.
 * @throws {@link HostError} `CERTIFICATE`.
 */
export async function readEkRoot(text: string): Promise<OwnEkRoot> {
  const [, word = '', path = ''] = /^([a-z]+)=(.+)$/.exec(text) ?? []
  const tier = TIERS.find((known) => known === word)
  try {
    if (tier === undefined) throw new Error(`${TIERS.join(', ')} come before the =`)
    const { raw } = new X509Certificate(await readFile(path))
    return { tier, certificate: decodeCertificate(new Uint8Array(raw), 'endorsement') }
  } catch (cause) {
    const message = `${text} does not name a tier and a root certificate: ${(cause as Error).message}`
    throw new HostError('CERTIFICATE', { message, hint: 'It looks like hardware=maker-root.pem', cause })
  }
}
