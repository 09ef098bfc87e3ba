/** OpenSSL as the second opinion: on chains that it made, on those that we make, and on certificates of real chips. */
import { execFileSync, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import {
  AIK_CERTIFICATE,
  builtInEkRoots,
  type Certificate,
  decodeCertificate,
  verifyChain,
} from '@reprise/core/certificates'
import { nodeCrypto } from '@reprise/runner'
import { afterAll, describe, expect, test } from 'vitest'
import { certifyAk, type KeyKind, newAuthority, newKey, newRoot, YEAR_2026 } from './authority.ts'

const folder = mkdtempSync(join(tmpdir(), 'reprise-openssl-'))
afterAll(() => rmSync(folder, { recursive: true }))
const openssl = (...words: readonly string[]): void =>
  void execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' })

const CA =
  'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid'
const LEAF = `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=${AIK_CERTIFICATE}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid`
const DAY_MS = 86_400_000

interface Case {
  readonly name: string
  readonly key?: readonly string[]
  readonly digest?: readonly string[]
  readonly root?: string
  readonly between?: string
  readonly leaf?: string
  /** When it is asked whether it holds, in days from now. */
  readonly day?: number
  /** Signed by a key that is not the authority's. */
  readonly isForged?: boolean
  /** What is wrong with it, as we say it. */
  readonly problems: readonly string[]
  /** OpenSSL takes it all the same. */
  readonly isTakenByOpenssl?: boolean
}

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
const RSA = ['-newkey', 'rsa:2048']
const PSS = ['-sha256', '-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_mgf1_md:sha256']

const CASES: readonly Case[] = [
  { name: 'P-256 with SHA-256', problems: [] },
  {
    name: 'P-384 with SHA-384',
    key: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    digest: ['-sha384'],
    problems: [],
  },
  {
    name: 'P-521 with SHA-512',
    key: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-521'],
    digest: ['-sha512'],
    problems: [],
  },
  { name: 'RSA with SHA-256', key: RSA, problems: [] },
  { name: 'RSA with SHA-512', key: RSA, digest: ['-sha512'], problems: [] },
  {
    name: 'RSASSA-PSS with a salt as long as the hash',
    key: RSA,
    digest: [...PSS, '-sigopt', 'rsa_pss_saltlen:32'],
    problems: [],
  },
  {
    name: 'RSASSA-PSS with another salt',
    key: RSA,
    digest: [...PSS, '-sigopt', 'rsa_pss_saltlen:20'],
    problems: ['ALGORITHM', 'ALGORITHM'],
    isTakenByOpenssl: true,
  },
  { name: 'SHA-1', digest: ['-sha1'], problems: ['ALGORITHM', 'ALGORITHM'], isTakenByOpenssl: true },
  {
    name: 'a key that is too short',
    key: ['-newkey', 'rsa:1024'],
    problems: ['ALGORITHM', 'ALGORITHM'],
    isTakenByOpenssl: true,
  },
  { name: 'long after', day: 4000, problems: ['EXPIRED', 'EXPIRED', 'EXPIRED'] },
  { name: 'the day before', day: -1, problems: ['NOT_YET_VALID', 'NOT_YET_VALID', 'NOT_YET_VALID'] },
  { name: 'a path that is too long', root: CA.replace('CA:TRUE', 'CA:TRUE,pathlen:0'), problems: ['PATH_LENGTH'] },
  { name: 'a path that is just long enough', root: CA.replace('CA:TRUE', 'CA:TRUE,pathlen:1'), problems: [] },
  { name: 'an issuer that is no authority', between: LEAF, problems: ['NOT_A_CA', 'NOT_A_CA'] },
  {
    name: 'an authority whose key is not for certificates',
    between: CA.replace('keyCertSign', 'cRLSign'),
    problems: ['NOT_A_CA'],
  },
  { name: 'a signature by another key', isForged: true, problems: ['SIGNATURE'] },
  {
    name: 'names that are constrained',
    between: `${CA}\nnameConstraints=critical,permitted;dirName:allowed\n[allowed]\nCN=elsewhere`,
    problems: ['CRITICAL_EXTENSION'],
  },
  {
    name: 'a critical extension of nobody',
    leaf: `${LEAF}\n1.2.3.4=critical,DER:0500`,
    problems: ['CRITICAL_EXTENSION'],
  },
  { name: 'an extension of nobody', leaf: `${LEAF}\n1.2.3.4=DER:0500`, problems: [] },
  // OpenSSL has no purpose of attestation keys, so it is not asked for one.
  {
    name: 'a leaf for something else',
    leaf: LEAF.replace(AIK_CERTIFICATE, 'serverAuth'),
    problems: ['USAGE'],
    isTakenByOpenssl: true,
  },
  {
    name: 'an authority for something else',
    between: `${CA}\nextendedKeyUsage=serverAuth`,
    problems: ['USAGE'],
    isTakenByOpenssl: true,
  },
  { name: 'an authority for anything', between: `${CA}\nextendedKeyUsage=anyExtendedKeyUsage`, problems: [] },
]

/** Root, authority and leaf, each in its PEM file. */
function make({
  key = P256,
  digest = ['-sha256'],
  root = CA,
  between = CA,
  leaf = LEAF,
  isForged = false,
}: Case): void {
  const newKey = [...key, '-nodes', '-days', '30']
  writeFileSync(join(folder, 'root.cnf'), `[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\n${root}\n`)
  openssl(
    'req',
    '-x509',
    ...newKey,
    ...digest,
    '-config',
    'root.cnf',
    '-subj',
    '/CN=Root',
    '-keyout',
    'root.key',
    '-out',
    'root.pem',
  )
  const issue = (name: string, by: string, extensions: string): void => {
    writeFileSync(join(folder, `${name}.ext`), extensions)
    openssl(
      'req',
      '-new',
      ...newKey.slice(0, -2),
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    )
    const from = ['-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial', '-days', '30']
    openssl('x509', '-req', '-in', `${name}.csr`, ...from, ...digest, '-extfile', `${name}.ext`, '-out', `${name}.pem`)
  }
  issue('between', 'root', between)
  issue('leaf', 'between', leaf)
  if (!isForged) return
  const signed = readCertificate('leaf').der.slice()
  signed[signed.length - 1] ^= 1
  writeFileSync(join(folder, 'leaf.pem'), new X509Certificate(signed).toString())
}

function readCertificate(name: string): Certificate {
  return decodeCertificate(new Uint8Array(new X509Certificate(readFileSync(join(folder, `${name}.pem`))).raw))
}

describe('verifyChain and openssl verify', () => {
  test.each(CASES)('$name', async (each) => {
    make(each)
    const timeMs = Date.now() + (each.day ?? 1) * DAY_MS
    const chain = [readCertificate('leaf'), readCertificate('between')]
    const problems = await verifyChain(chain, readCertificate('root'), {
      crypto: nodeCrypto,
      usage: AIK_CERTIFICATE,
      timeMs,
    })
    expect(problems.map(({ code }) => code)).toEqual(each.problems)
    const seconds = String(Math.floor(timeMs / 1000))
    // Level 0 takes short keys and SHA-1: what is said of them is ours to say.
    const asked = [
      'verify',
      '-x509_strict',
      '-auth_level',
      '0',
      '-attime',
      seconds,
      '-CAfile',
      'root.pem',
      '-untrusted',
      'between.pem',
      'leaf.pem',
    ]
    const { status } = spawnSync('openssl', asked, { cwd: folder })
    expect(status === 0).toBe(each.problems.length === 0 || each.isTakenByOpenssl === true)
  })
})

describe('openssl verify', () => {
  const table = ({ der }: { readonly der: string }): Buffer => Buffer.from(der, 'base64')
  const write = (file: string, list: readonly Uint8Array[]): void =>
    writeFileSync(join(folder, file), list.map((der) => new X509Certificate(der).toString()).join(''))
  const verdict = (...words: readonly string[]): string => {
    const { stdout, stderr, status } = spawnSync('openssl', ['verify', ...words], { cwd: folder, encoding: 'utf8' })
    if (status === 0) return 'OK'
    return /unable to load|Could not (read|open|find)/i.test(stdout + stderr) ? 'unreadable' : 'refused'
  }

  test.each<KeyKind>(['P-256', 'P-384', 'P-521', 'RSA-2048'])(
    'takes what an authority with a key of %s issues',
    (kind) => {
      const root = newRoot('A root', { key: newKey(kind) })
      const between = newAuthority('An authority', root, { key: newKey(kind) })
      const statement = { akName: new Uint8Array(34), tier: 'firmware', ekName: new Uint8Array(34) } as const
      const leaf = certifyAk(between, { name: 'host-7.example.org', key: newKey().key, statement })
      write('our-root.pem', [root.der])
      write('our-between.pem', [between.der])
      write('our-leaf.pem', [leaf.der])
      const time = String(YEAR_2026 / 1000 + 1)
      const files = ['-CAfile', 'our-root.pem', '-untrusted', 'our-between.pem', 'our-leaf.pem']
      expect(verdict('-x509_strict', '-attime', time, ...files)).toBe('OK')
    },
  )

  const vectors = resolve(import.meta.dirname, '../../vectors/endorsement-certificates')
  test.each(readdirSync(vectors).filter((name) => name !== 'README.md'))(
    'says the same of %s, or the vector says why not',
    async (name) => {
      const { roots, intermediates } = await builtInEkRoots()
      write('makers.pem', roots.map(table))
      write('makers-between.pem', intermediates.map(table))
      const file = (of: string): Buffer => readFileSync(join(vectors, name, of))
      writeFileSync(join(folder, 'ek.der'), file('input.der'))
      const expected = JSON.parse(file('expected.json').toString()) as { readonly openssl: string }
      const options = ['-partial_chain', '-no_check_time', '-CAfile', 'makers.pem', '-untrusted', 'makers-between.pem']
      expect(verdict(...options, 'ek.der')).toBe(expected.openssl)
    },
  )
})
