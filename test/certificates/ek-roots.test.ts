import { hash, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { hex } from '@reprise/core'
import {
  builtInEkRoots,
  decodeCertificate,
  EK_CERTIFICATE,
  findChain,
  tierOfEk,
  verifyChain,
} from '@reprise/core/certificates'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '../record/node-crypto.ts'

const vectors = resolve(import.meta.dirname, '../../vectors/endorsement-certificates')
const names = readdirSync(vectors).filter((name) => name !== 'README.md')
const table = await builtInEkRoots()
const entries = [...table.roots, ...table.intermediates]
const input = (name: string): Uint8Array => readFileSync(join(vectors, name, 'input.der'))

interface Expected {
  readonly strict: boolean
  readonly tier: string
  readonly maker?: string
  readonly problems?: readonly string[]
}
const expected = (name: string): Expected =>
  JSON.parse(readFileSync(join(vectors, name, 'expected.json'), 'utf8')) as Expected

describe('tierOfEk', () => {
  test.each(names)('says of %s what its chain says', async (name) => {
    const { tier, maker, problems } = expected(name)
    const answer = await tierOfEk(input(name), { crypto: nodeCrypto, table })
    if (answer.kind === 'known') expect({ tier: answer.tier, maker: answer.maker }).toEqual({ tier, maker })
    else {
      expect(tier).toBe('unknown')
      expect(answer.tier).toBe('software')
      expect([...new Set(answer.problems.map(({ code }) => code))]).toEqual(problems)
    }
  })

  test.each(names)('takes %s strictly exactly when it is DER', (name) => {
    const strictly = (): unknown => decodeCertificate(input(name))
    if (expected(name).strict) expect(strictly()).toBeDefined()
    else expect(strictly).toThrow(/DER/)
  })

  test('says for a root of the reader what the reader says', async () => {
    const answer = await tierOfEk(input('infineon-ecc'), { crypto: nodeCrypto, table })
    const entry = table.roots.find(({ sha256 }) => answer.kind === 'known' && sha256 === answer.root)
    const certificate = decodeCertificate(Buffer.from(entry?.der ?? '', 'base64'), 'endorsement')
    const own = [{ certificate, tier: 'firmware' as const }]
    expect(await tierOfEk(input('infineon-ecc'), { crypto: nodeCrypto, table, own })).toMatchObject({
      kind: 'known',
      tier: 'firmware',
      why: 'the trust policy says so',
    })
  })

  test('knows no certificate of which one bit was changed', async () => {
    const der = new Uint8Array(input('infineon-rsa'))
    for (const at of [40, 200, 400, 600, 900, 1100]) {
      const changed = der.slice()
      changed[at] ^= 0x10
      const answer = await tierOfEk(changed, { crypto: nodeCrypto, table }).catch(
        (error: { code: string }) => error.code,
      )
      expect(answer === 'STRUCTURE' || (typeof answer === 'object' && answer.kind === 'unknown')).toBe(true)
    }
  })

  test('takes padding of zeros or ones after the certificate, and nothing else', async () => {
    const der = input('infineon-ecc')
    const padded = (byte: number): Uint8Array => new Uint8Array([...der, ...Array.from({ length: 99 }, () => byte)])
    for (const byte of [0, 0xff])
      expect(await tierOfEk(padded(byte), { crypto: nodeCrypto, table })).toMatchObject({ tier: 'hardware' })
    await expect(tierOfEk(padded(1), { crypto: nodeCrypto, table })).rejects.toMatchObject({ code: 'STRUCTURE' })
  })
})

describe('the table of roots', () => {
  test('decodes as Node does', () => {
    for (const { der } of entries) {
      const ours = decodeCertificate(Buffer.from(der, 'base64'), 'endorsement')
      const nodes = new X509Certificate(Buffer.from(der, 'base64'))
      expect(hex(ours.serial).replace(/^(00)+/, '')).toBe(nodes.serialNumber.toLowerCase().replace(/^(00)+/, ''))
      expect(ours.notBeforeMs).toBe(nodes.validFromDate.getTime())
      expect(ours.notAfterMs).toBe(nodes.validToDate.getTime())
      expect(ours.extensions.basicConstraints?.isCa ?? false).toBe(nodes.ca)
      expect(hex(ours.spki)).toBe(hex(nodes.publicKey.export({ type: 'spki', format: 'der' })))
    }
  })

  test('names each certificate by its digest and subject', () => {
    for (const { der, sha256, subject } of entries) {
      expect(hash('sha256', Buffer.from(der, 'base64'))).toBe(sha256)
      expect(decodeCertificate(Buffer.from(der, 'base64'), 'endorsement').subject.key).toBe(subject)
    }
    expect(new Set(entries.map(({ sha256 }) => sha256)).size).toBe(entries.length)
  })

  test('says of every root who made it and why it has its tier', () => {
    for (const { maker } of table.roots) expect(table.makers[maker]?.why).toMatch(/\w+/)
  })

  test('holds no intermediate that no root stands behind', async () => {
    const pool = {
      find: (key: string) =>
        [
          ...table.roots.map((root) => ({ root, isRoot: true })),
          ...table.intermediates.map((root) => ({ root, isRoot: false })),
        ]
          .filter(({ root }) => root.subject === key)
          .map(({ root, isRoot }) => ({
            certificate: decodeCertificate(Buffer.from(root.der, 'base64'), 'endorsement'),
            isRoot,
          })),
    }
    for (const { der } of table.intermediates) {
      const certificate = decodeCertificate(Buffer.from(der, 'base64'), 'endorsement')
      // An authority need not say what it is for: then it is judged as the issuer that it is.
      const usage = EK_CERTIFICATE
      const found = await findChain(certificate, pool, { crypto: nodeCrypto, usage, allowSha1: true })
      if ('problems' in found)
        expect(found.problems.every(({ code, index }) => code === 'USAGE' && index === 0)).toBe(true)
      else
        expect(await verifyChain(found.chain, found.root, { crypto: nodeCrypto, usage, allowSha1: true })).toEqual([])
    }
  })
})
