/** The tier of a TPM, by the chain of its endorsement certificate and the table of `core` (spec/certificates.md §5). */

import { randomBytes, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { builtInEkRoots, decodeCertificate, TIERS, tierOfEk } from '@reprise/core/certificates'
import { nodeCrypto } from '../crypto.ts'
import { HostError } from '../error.ts'
import type { AuthorityWorld } from './world.ts'
import type { EkRoot } from './events.ts'
import { refusal } from './refusal.ts'

export const tierByRoots: AuthorityWorld['tierOf'] = async ({ ekCertificate, ekIssuers: intermediates }, roots) => {
  if (ekCertificate === null) return { tier: 'software', reason: 'the endorsement key has no certificate' }
  const own = roots.map(({ tier, certificate }) => ({
    tier,
    certificate: decodeCertificate(certificate, 'endorsement'),
  }))
  const table = await builtInEkRoots()
  const found = await tierOfEk(ekCertificate, { crypto: nodeCrypto, table, own, intermediates }).catch(
    (error: Error) => {
      throw refusal('EK_CERTIFICATE', `The certificates of the endorsement key cannot be read: ${error.message}`)
    },
  )
  if (found.kind === 'known') return { tier: found.tier, reason: `its endorsement key is certified by ${found.maker}` }
  return { tier: 'software', reason: 'no known maker certified its endorsement key' }
}

/**
 * @param text - `TIER=FILE`, the file a root certificate, PEM or DER.
 * @throws {@link HostError} `CERTIFICATE`.
 */
export async function readEkRoot(text: string): Promise<EkRoot> {
  const [, word = '', path = ''] = /^([a-z]+)=(.+)$/.exec(text) ?? []
  const tier = TIERS.find((known) => known === word)
  try {
    if (tier === undefined) throw new Error(`${TIERS.join(', ')} come before the =`)
    const certificate = new Uint8Array(new X509Certificate(await readFile(path)).raw)
    decodeCertificate(certificate, 'endorsement')
    return { tier, certificate }
  } catch (cause) {
    const message = `${text} does not name a tier and a root certificate: ${(cause as Error).message}`
    throw new HostError('CERTIFICATE', { message, hint: 'It looks like hardware=maker-root.pem', cause })
  }
}

/** The world as it is. */
export const nodeWorld: AuthorityWorld = {
  now: () => new Date(),
  random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  tierOf: tierByRoots,
}
