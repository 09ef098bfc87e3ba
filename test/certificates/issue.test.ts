import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hex } from '@reprise/core'
import { AIK_CERTIFICATE, type AkStatement, decodeAkCertificate, verifyChain } from '@reprise/core/certificates'
import { afterAll, describe, expect, test } from 'vitest'
import { nodeCrypto } from '../record/node-crypto.ts'
import {
  certifyAk,
  type Issued,
  type KeyKind,
  newAuthority,
  newKey,
  newRoot,
  YEAR_2026,
  YEAR_2027,
} from './authority.ts'

const folder = mkdtempSync(join(tmpdir(), 'reprise-certificates-'))
afterAll(() => rmSync(folder, { recursive: true }))

const statement: AkStatement = {
  akName: new Uint8Array(34).fill(1),
  tier: 'firmware',
  ekName: new Uint8Array(34).fill(2),
  ekCertificate: new Uint8Array(32).fill(3),
}

function pem(...certificates: readonly Issued[]): string {
  const path = join(folder, `${hex(nodeCrypto.sha256(certificates[0].der))}-${certificates.length}.pem`)
  writeFileSync(path, certificates.map(({ der }) => new X509Certificate(der).toString()).join(''))
  return path
}

/** What OpenSSL says of the chain; EKU of attestation keys is no purpose that it knows. */
function opensslVerify(root: Issued, chain: readonly Issued[]): string {
  const [leaf, ...between] = chain
  const untrusted = between.length === 0 ? [] : ['-untrusted', pem(...between)]
  const time = String(YEAR_2026 / 1000 + 1)
  return execFileSync(
    'openssl',
    ['verify', '-x509_strict', '-attime', time, '-CAfile', pem(root), ...untrusted, pem(leaf)],
    {
      encoding: 'utf8',
    },
  )
}

describe.each<KeyKind>(['P-256', 'P-384', 'P-521', 'RSA-2048'])('an authority with a key of %s', (kind) => {
  const root = newRoot('A root', { key: newKey(kind) })
  const between = newAuthority('An authority', root, { key: newKey(kind) })
  const ak = newKey()
  const leaf = certifyAk(between, { name: 'host-7.example.org', key: ak.key, statement })

  test('issues what OpenSSL takes', () => {
    expect(opensslVerify(root, [leaf, between])).toMatch(/: OK/)
  })

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
