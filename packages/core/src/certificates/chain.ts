/**
 * Chains of certificates: does this key speak for that root? Rules: spec/certificates.md §2.
 *
 * Source: RFC 5280 §6.1, without policies and names: a chain that constrains either by a critical extension is refused.
 */
import { equal } from '../bytes/index.ts'
import type { Crypto, PublicKey } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import { type Certificate, signatureOf } from './certificate.ts'
import { UNDERSTOOD, UNDERSTOOD_ENDORSEMENT } from './extensions.ts'

/** Certificates of a chain without its root. */
export const CHAIN_LENGTH_MAX = 6

/** tcg-kp-AIKCertificate, tcg-kp-EKCertificate: TCG OID registry; anyExtendedKeyUsage: RFC 5280 §4.2.1.12. */
export const AIK_CERTIFICATE = '2.23.133.8.3'
export const EK_CERTIFICATE = '2.23.133.8.1'
const ANY_USAGE = '2.5.29.37.0'

export type ChainProblemCode =
  | 'ISSUER' // it is not issued by the next one
  | 'SIGNATURE' // its signature is not that of the next one's key
  | 'ALGORITHM' // its signature is of a kind that is not taken
  | 'NOT_YET_VALID'
  | 'EXPIRED'
  | 'NOT_A_CA' // it may not issue certificates, and did
  | 'PATH_LENGTH' // more certificates below it than it allows
  | 'USAGE' // it is for something else
  | 'CRITICAL_EXTENSION' // it says something that must be understood and is not
  | 'LENGTH' // the chain is too long

export interface ChainProblem {
  readonly code: ChainProblemCode
  /** 0 is the leaf; the root comes after the last one. */
  readonly index: number
  readonly message: string
}

export interface ChainOptions {
  readonly crypto: Crypto
  /** What the leaf must be for. Authorities that limit their use must allow it too. */
  readonly usage: typeof AIK_CERTIFICATE | typeof EK_CERTIFICATE
  /** Milliseconds since 1970; left out, periods of validity are not looked at. */
  readonly timeMs?: number
  /** Signatures with SHA-1, by keys of chip makers alone: those of chips until about 2016. */
  readonly allowSha1?: boolean
}

/**
 * Checks a chain as it stands.
 *
 * @param chain - Leaf first, each issued by the next, the last one by the root.
 * @param root - Trusted as it is: nobody checks who issued it.
 * @returns Everything that is wrong with it.
 */
export async function verifyChain(
  chain: readonly Certificate[],
  root: Certificate,
  options: ChainOptions,
): Promise<ChainProblem[]> {
  const problems: ChainProblem[] = []
  const add = (code: ChainProblemCode, index: number, message: string): void =>
    void problems.push({ code, index, message })
  if (chain.length === 0 || chain.length > CHAIN_LENGTH_MAX) {
    add('LENGTH', 0, `a chain of ${chain.length} certificates; it has 1 to ${CHAIN_LENGTH_MAX}`)
    return problems
  }
  const all = [...chain, root]
  for (const [i, certificate] of all.entries()) {
    checkPeriod(certificate, i, options, add)
    checkCritical(certificate, i, options, add)
    checkUsage(certificate, i, options, add)
    if (i > 0) checkAuthority(certificate, i, all, add)
    if (i < chain.length)
      for (const [code, message] of await checkIssued(certificate, all[i + 1], options)) add(code, i, message)
  }
  return problems
}

type Add = (code: ChainProblemCode, index: number, message: string) => void

/** Whether one certificate is issued by another: by its name, its key's name and its key. */
async function checkIssued(
  certificate: Certificate,
  issuer: Certificate,
  { crypto, allowSha1 = false }: ChainOptions,
): Promise<[ChainProblemCode, string][]> {
  const { authorityKeyId } = certificate.extensions
  const { subjectKeyId } = issuer.extensions
  const problems: [ChainProblemCode, string][] = []
  if (certificate.issuer.key !== issuer.subject.key)
    problems.push(['ISSUER', `issued by ${certificate.issuer.text}, not by ${issuer.subject.text}`])
  else if (authorityKeyId !== undefined && subjectKeyId !== undefined && !equal(authorityKeyId, subjectKeyId))
    problems.push(['ISSUER', `issued with another key of ${issuer.subject.text}`])
  const { scheme, tbs } = certificate
  if (scheme === undefined || (scheme.hash === 'sha1' && !allowSha1))
    return [
      ...problems,
      ['ALGORITHM', `signed with ${scheme === undefined ? 'an algorithm that is not taken' : 'SHA-1'}`],
    ]
  if (isWeak(issuer.key))
    return [...problems, ['ALGORITHM', `signed with an RSA key of less than ${RSA_BITS_MIN} bits`]]
  if (!(await isSignedBy(certificate, issuer, { crypto, scheme, tbs })))
    problems.push(['SIGNATURE', `not signed by the key of ${issuer.subject.text}`])
  return problems
}

const RSA_BITS_MIN = 2048

function isWeak(key: PublicKey): boolean {
  return key.kind === 'rsa' && 8 * key.modulus.length - (Math.clz32(key.modulus[0]) - 24) < RSA_BITS_MIN
}

async function isSignedBy(
  certificate: Certificate,
  { key }: Certificate,
  { crypto, scheme, tbs }: { crypto: Crypto; scheme: NonNullable<Certificate['scheme']>; tbs: Uint8Array },
): Promise<boolean> {
  if ((scheme.kind === 'ecdsa') !== (key.kind === 'ec')) return false
  try {
    return await crypto.verify({ key, scheme, message: tbs, signature: signatureOf(certificate, key) })
  } catch (error) {
    if (error instanceof EvidenceError) return false
    throw error
  }
}

function checkPeriod({ notBeforeMs, notAfterMs }: Certificate, i: number, { timeMs }: ChainOptions, add: Add): void {
  if (timeMs === undefined) return
  if (timeMs < notBeforeMs) add('NOT_YET_VALID', i, `not valid before ${iso(notBeforeMs)}`)
  if (timeMs > notAfterMs) add('EXPIRED', i, `not valid after ${iso(notAfterMs)}`)
}

function iso(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}

function checkCritical({ extensions }: Certificate, i: number, { usage }: ChainOptions, add: Add): void {
  const understood = usage === EK_CERTIFICATE ? UNDERSTOOD_ENDORSEMENT : UNDERSTOOD
  for (const { oid, critical } of extensions.all)
    if (critical && !(understood as readonly string[]).includes(oid))
      add('CRITICAL_EXTENSION', i, `the critical extension ${oid} is not understood`)
}

/** The leaf must be for it; an authority that says nothing is for everything. */
function checkUsage({ extensions }: Certificate, i: number, { usage }: ChainOptions, add: Add): void {
  const { extendedKeyUsage } = extensions
  if (extendedKeyUsage === undefined) {
    if (i === 0) add('USAGE', i, `not said to be for ${usage}`)
    return
  }
  const isForIt = extendedKeyUsage.includes(usage) || (i > 0 && extendedKeyUsage.includes(ANY_USAGE))
  if (!isForIt) add('USAGE', i, `for ${extendedKeyUsage.join(', ')}, not for ${usage}`)
}

function checkAuthority({ extensions }: Certificate, i: number, all: readonly Certificate[], add: Add): void {
  const { basicConstraints, keyUsage } = extensions
  if (basicConstraints?.isCa !== true) add('NOT_A_CA', i, 'may not issue certificates')
  if (keyUsage?.keyCertSign === false) add('NOT_A_CA', i, 'its key is not for signing certificates')
  // RFC 5280 §4.2.1.9: certificates that are issued by themselves do not count, nor does the leaf.
  const below = all.slice(1, i).filter(({ issuer, subject }) => issuer.key !== subject.key).length
  const { pathLength } = basicConstraints ?? {}
  if (pathLength !== undefined && below > pathLength)
    add('PATH_LENGTH', i, `${below} authorities below it, and ${pathLength} allowed`)
}

export interface ChainPool {
  /** Those whose subject has this key, trusted or not. */
  readonly find: (subjectKey: string) => readonly { readonly certificate: Certificate; readonly isRoot: boolean }[]
}

/** Certificates that are tried as issuers in one search: makers reuse names, nobody reuses them often. */
const TRIES_MAX = 64

/**
 * Looks for a chain from a certificate to a root, over what the pool holds.
 *
 * @returns The first that holds; else the problems of the one that came closest, `ISSUER` when there was none at all.
 */
export async function findChain(
  leaf: Certificate,
  pool: ChainPool,
  options: ChainOptions,
): Promise<
  | { readonly chain: readonly Certificate[]; readonly root: Certificate }
  | { readonly problems: readonly ChainProblem[] }
> {
  let closest: ChainProblem[] | undefined
  let tries = 0
  const queue: Certificate[][] = [[leaf]]
  for (let chain = queue.shift(); chain !== undefined; chain = queue.shift()) {
    const last = chain[chain.length - 1]
    for (const { certificate, isRoot } of pool.find(last.issuer.key)) {
      if (++tries > TRIES_MAX || chain.includes(certificate)) continue
      if (isRoot) {
        const problems = await verifyChain(chain, certificate, options)
        if (problems.length === 0) return { chain, root: certificate }
        if (closest === undefined || problems.length < closest.length) closest = problems
      } else if (chain.length < CHAIN_LENGTH_MAX) queue.push([...chain, certificate])
    }
  }
  const message = `no chain from ${leaf.issuer.text} to a root that is known`
  return { problems: closest ?? [{ code: 'ISSUER', index: 0, message }] }
}
