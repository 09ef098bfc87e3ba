/** X.509 certificates: those of real TPMs, and one of an authority for an attestation key. */
import { strictEqual } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { bytesSource, EvidenceError, openZip } from '@reprise/core'
import {
  builtInEkRoots,
  CERTIFICATE_BYTES_MAX,
  decodeAkCertificate,
  decodeCertificate,
  tierOfEk,
  type Certificate,
} from '@reprise/core/certificates'
import { nodeCrypto } from '../../record/node-crypto.ts'
import { mutateBytes } from '../mutate.ts'
import { pick } from '../random.ts'
import { unlessRefused, type FuzzTarget } from '../target.ts'

const vectors = resolve(import.meta.dirname, '../../../vectors')

/** Endorsement certificates, and those of hosts and authorities that stand in records. */
async function readSamples(): Promise<Uint8Array[]> {
  const folder = resolve(vectors, 'endorsement-certificates')
  const ofTpms = readdirSync(folder)
    .filter((name) => name !== 'README.md')
    .map((name) => new Uint8Array(readFileSync(resolve(folder, name, 'input.der'))))
  const record = new Uint8Array(readFileSync(resolve(vectors, 'record/enrolled/input.reprise')))
  const entries = await openZip(bytesSource(record))
  const certificates = entries.filter(({ name }) => /^evidence\/.*certificate.*\.der$/.test(name))
  if (certificates.length === 0) throw new Error('the enrolled record has no certificates')
  return [...ofTpms, ...(await Promise.all(certificates.map((entry) => entry.bytes(CERTIFICATE_BYTES_MAX))))]
}

/** All that is read of it but its signature. */
function read(certificate: Certificate): string {
  const isLeftOut = (key: string): boolean => ['der', 'signature', 'scheme'].includes(key)
  return JSON.stringify(certificate, (key, value: unknown) => (isLeftOut(key) ? undefined : value))
}

export const certificates: FuzzTarget = {
  name: 'certificate',
  claim: 'a changed certificate is refused, or what was signed of it is the same bytes, or no maker vouches for it',
  byDay: 1500,
  async prepare() {
    const table = await builtInEkRoots()
    const originals = await readSamples()
    const signed = new Map(
      originals.flatMap((bytes) => {
        const certificate = unlessRefused(EvidenceError, () => decodeCertificate(bytes, 'endorsement'))
        return certificate === undefined ? [] : [[Buffer.from(certificate.tbs).toString('hex'), read(certificate)]]
      }),
    )
    return async (random) => {
      const bytes = mutateBytes(random, pick(random, originals), originals)
      unlessRefused(EvidenceError, () => decodeAkCertificate(bytes))
      unlessRefused(EvidenceError, () => decodeCertificate(bytes, 'strict'))
      const certificate = unlessRefused(EvidenceError, () => decodeCertificate(bytes, 'endorsement'))
      if (certificate === undefined) return
      const known = signed.get(Buffer.from(certificate.tbs).toString('hex'))
      if (known !== undefined) return strictEqual(read(certificate), known, 'the same signed bytes say something else')
      const { kind } = await tierOfEk(bytes, { crypto: nodeCrypto, table })
      strictEqual(kind, 'unknown', 'a maker vouches for what it never signed')
    }
  },
}
