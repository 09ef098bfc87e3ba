import { X509Certificate } from 'node:crypto'
import { AIK_CERTIFICATE, type AkStatement, decodeAkCertificate, verifyChain } from '@reprise/core/certificates'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '../record/node-crypto.ts'
import { certifyAk, type KeyKind, newAuthority, newKey, newRoot, YEAR_2026, YEAR_2027 } from './authority.ts'

const statement: AkStatement = {
  akName: new Uint8Array(34).fill(1),
  tier: 'firmware',
  ekName: new Uint8Array(34).fill(2),
  ekCertificate: new Uint8Array(32).fill(3),
}

describe.each<KeyKind>(['P-256', 'P-384', 'P-521', 'RSA-2048'])('an authority with a key of %s', (kind) => {
  const root = newRoot('A root', { key: newKey(kind) })
  const between = newAuthority('An authority', root, { key: newKey(kind) })
  const ak = newKey()
  const leaf = certifyAk(between, { name: 'host-7.example.org', key: ak.key, statement })

  test('issues what Node reads as the same', () => {
    const read = new X509Certificate(leaf.der)
    expect(read.checkIssued(new X509Certificate(between.der))).toBe(true)
    expect(read.verify(new X509Certificate(between.der).publicKey)).toBe(true)
    expect(read.subject).toBe('CN=host-7.example.org')
    // Node calls the extended key usage by the name of the other one.
    expect(read.keyUsage).toEqual([AIK_CERTIFICATE])
    expect(read.ca).toBe(false)
  })

  test('issues what is decoded as it was said', async () => {
    const read = decodeAkCertificate(leaf.der)
    expect(read).toMatchObject({ hostName: 'host-7.example.org', statement })
    expect(read.certificate.key).toEqual(ak.key)
    const chain = [read.certificate, between.certificate]
    const options = { crypto: nodeCrypto, usage: AIK_CERTIFICATE, timeMs: (YEAR_2026 + YEAR_2027) / 2 } as const
    expect(await verifyChain(chain, root.certificate, options)).toEqual([])
  })
})
