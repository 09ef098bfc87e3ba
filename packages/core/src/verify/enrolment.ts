/**
 * Who vouches for the attestation keys of a record: certificates, revocation, tier. Format: spec/record.md §6.9, spec/certificates.md.
 * Loaded for records that have certificates alone: decoding them takes a library.
 */
import { equal, hex } from '../bytes/index.ts'
import {
  AIK_CERTIFICATE,
  type AkCertificate,
  builtInEkRoots,
  type Certificate,
  type ChainProblem,
  decodeAkCertificate,
  decodeCertificate,
  equalKeys,
  lowerTier,
  revocationOf,
  type Tier,
  tierOfEk,
  type TrustPolicy,
  verifyChain,
} from '../certificates/index.ts'
import type { Crypto } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import { EVIDENCE_BYTES_MAX, type RecordDocument } from '../record/index.ts'
import type { FindingCode } from './findings.ts'
import type { AttestationKey } from './host.ts'
import type { OpenedRecord } from './open.ts'
import type { UsableList } from './trust.ts'

/** What certificates say of a host. */
export type Certified =
  /** By an authority that the reader trusts; what is wrong with the time is a finding already. */
  | {
      readonly kind: 'trusted'
      readonly hostName: string
      readonly root: Certificate
      readonly tier: Tier
      readonly isTimely: boolean
    }
  /** They fit, and the reader does not know who issued them. */
  | { readonly kind: 'unknown'; readonly authority: string }
  /** They do not fit; a finding says why. */
  | { readonly kind: 'wrong' }

export interface CertificateContext {
  readonly document: RecordDocument
  readonly crypto: Crypto
  readonly trust: TrustPolicy | undefined
  /** In date. */
  readonly lists: readonly UsableList[]
}

interface Host {
  readonly index: number
  readonly key: AttestationKey
  /** The reader knows the key by its Name: then it does not depend on the authority's word. */
  readonly isPinned: boolean
}

/** Checks the certificates of one host that has some. */
export async function checkCertificates(
  record: OpenedRecord,
  host: Host,
  context: CertificateContext,
): Promise<Certified> {
  const names = context.document.hosts[host.index].certificates
  const read = await readCertificates(record, names)
  if (read === undefined) return { kind: 'wrong' }
  const { ak, chain } = read
  if (!(await belongsTo(record, { ak, name: names[0], host, context }))) return { kind: 'wrong' }
  const { root, problems } = await findRoot(chain, context)
  for (const { code, index, message } of problems)
    record.findings.add('CERTIFICATE_CHAIN', names[index] ?? 'the root', `${code}: ${message}`)
  if (problems.length > 0) return { kind: 'wrong' }
  if (root === undefined) return { kind: 'unknown', authority: issuerOf(chain[chain.length - 1]) }
  checkRevocation(record, { ak, chain, root, path: names[0], lists: context.lists })
  return {
    kind: 'trusted',
    hostName: ak.hostName,
    root,
    tier: await tierOf(record, { ak, host, context }),
    isTimely: checkTime(record, { chain: [...chain, root], names, host, context }),
  }
}

/** By name, which anybody can take, and by the key's identifier, which tells two of one name apart. */
function issuerOf({ issuer, extensions: { authorityKeyId } }: Certificate): string {
  return authorityKeyId === undefined ? issuer.text : `${issuer.text} (key identifier ${hex(authorityKeyId)})`
}

/** The root that the chain leads to, among those that are trusted; what is wrong with the chain, whether or not there is one. */
async function findRoot(
  chain: readonly Certificate[],
  { crypto, trust }: CertificateContext,
): Promise<{ readonly root?: Certificate; readonly problems: readonly ChainProblem[] }> {
  const options = { crypto, usage: AIK_CERTIFICATE } as const
  const last = chain[chain.length - 1]
  let problems: readonly ChainProblem[] | undefined
  for (const root of trust?.authorities.filter((authority) => mayHaveIssued(authority, last)) ?? []) {
    const found = await verifyChain(chain, root, options)
    if (found.length === 0) return { root, problems: [] }
    problems ??= found
  }
  // Without a root, the certificates that are there still have to fit each other.
  if (problems === undefined && chain.length > 1) problems = await verifyChain(chain.slice(0, -1), last, options)
  return { problems: problems ?? [] }
}

async function readCertificates(
  record: OpenedRecord,
  names: readonly string[],
): Promise<{ readonly ak: AkCertificate; readonly chain: readonly Certificate[] } | undefined> {
  let ak: AkCertificate | undefined
  const chain: Certificate[] = []
  for (const [place, name] of names.entries()) {
    const entry = record.entries.get(name)
    if (entry === undefined) return undefined
    try {
      const der = await entry.bytes(EVIDENCE_BYTES_MAX)
      if (place === 0) ak = decodeAkCertificate(der)
      chain.push(place === 0 && ak !== undefined ? ak.certificate : decodeCertificate(der))
    } catch (error) {
      record.findings.addError(error, 'AK_CERTIFICATE', name)
      return undefined
    }
  }
  return ak && { ak, chain }
}

/** spec/certificates.md §3.5 */
async function belongsTo(
  record: OpenedRecord,
  from: {
    readonly ak: AkCertificate
    readonly name: string
    readonly host: Host
    readonly context: CertificateContext
  },
): Promise<boolean> {
  const { ak, name, host, context } = from
  const { statement, certificate } = ak
  const add = (message: string): void => record.findings.add('AK_CERTIFICATE', name, message)
  const isOfKey = equalKeys(certificate.key, host.key.key)
  const isOfName = equal(statement.akName, host.key.name)
  if (!isOfKey) add('the certificate is for another key than the attestation key of the host')
  if (!isOfName) add(`the certificate is for the attestation key with the Name ${hex(statement.akName)}`)
  const own = await ekCertificate(record, host.index, context)
  const isOfTpm =
    own === undefined ||
    statement.ekCertificate === undefined ||
    equal(statement.ekCertificate, context.crypto.sha256(own))
  if (!isOfTpm) add('the authority certified a TPM with another endorsement certificate than the one in the record')
  return isOfKey && isOfName && isOfTpm
}

async function ekCertificate(
  record: OpenedRecord,
  host: number,
  { document }: CertificateContext,
): Promise<Uint8Array | undefined> {
  const { ek } = document.hosts[host]
  const entry = ek === null ? undefined : record.entries.get(ek)
  try {
    return await entry?.bytes(EVIDENCE_BYTES_MAX)
  } catch (error) {
    // What is wrong with the bytes is a finding of the endorsement certificate already.
    if (error instanceof EvidenceError) return undefined
    throw error
  }
}

/** By name, and by the key's name where both say it: two authorities of one name are two. */
function mayHaveIssued(
  { subject, extensions }: Certificate,
  { issuer, extensions: { authorityKeyId } }: Certificate,
): boolean {
  const { subjectKeyId } = extensions
  const isSameKey = subjectKeyId === undefined || authorityKeyId === undefined || equal(subjectKeyId, authorityKeyId)
  return subject.key === issuer.key && isSameKey
}

function checkRevocation(
  record: OpenedRecord,
  from: {
    readonly ak: AkCertificate
    readonly chain: readonly Certificate[]
    readonly root: Certificate
    readonly path: string
    readonly lists: readonly UsableList[]
  },
): void {
  const { ak, chain, root, path, lists } = from
  const { akName } = ak.statement
  for (const { name, list } of lists.filter((each) => equal(each.root.spki, root.spki))) {
    const found = chain.flatMap(({ serial }) => revocationOf(list, { serial, akName }) ?? []).at(0)
    if (found === undefined) continue
    const at = new Date(found.revokedAtMs).toISOString()
    record.findings.add('CERTIFICATE_REVOKED', path, `revoked ${at} by ${name}: ${found.reason}`)
  }
}

/**
 * Whether all of the chain was valid when each attempt of the host began: by the host's own clock, for there is no other. What
 * comes out is no contradiction in the record, so it withholds; to a reader who knows the key by itself it is only said.
 */
function checkTime(
  record: OpenedRecord,
  from: {
    readonly chain: readonly Certificate[]
    readonly names: readonly string[]
    readonly host: Host
    readonly context: CertificateContext
  },
): boolean {
  const { chain, names, host, context } = from
  let isTimely = true
  const add = (code: FindingCode, place: number, message: string): void => {
    isTimely = false
    record.findings.add(code, names[place] ?? 'the root', message, host.isPinned ? 'warns' : 'withholds')
  }
  const attempts = context.document.attempts.filter((attempt) => attempt.host === host.index)
  for (const { attempt, environment } of attempts) {
    const startedMs = Date.parse(environment.startedAt)
    const began = `attempt ${attempt} began ${environment.startedAt} by the host's clock`
    for (const [place, { notBeforeMs, notAfterMs }] of chain.entries()) {
      if (startedMs > notAfterMs)
        add('CERTIFICATE_EXPIRED', place, `valid until ${new Date(notAfterMs).toISOString()}, and ${began}`)
      if (startedMs < notBeforeMs)
        add('CERTIFICATE_NOT_YET_VALID', place, `valid from ${new Date(notBeforeMs).toISOString()}, and ${began}`)
    }
  }
  return isTimely
}

/** The lower of what the authority says and what the endorsement certificate shows (spec/certificates.md §5.3). */
async function tierOf(
  record: OpenedRecord,
  { ak, host, context }: { readonly ak: AkCertificate; readonly host: Host; readonly context: CertificateContext },
): Promise<Tier> {
  const { tier, ekCertificate: certified } = ak.statement
  const own = await ekCertificate(record, host.index, context)
  // The table is large: it is read only where it can matter.
  if (tier === 'software' || own === undefined || certified === undefined) return 'software'
  const { crypto, trust } = context
  try {
    const shown = await tierOfEk(own, {
      crypto,
      table: await builtInEkRoots(),
      ...(trust !== undefined && { own: trust.endorsementRoots }),
    })
    const lower = lowerTier(tier, shown.tier)
    if (lower !== tier)
      record.findings.add(
        'TIER_LOWERED',
        context.document.hosts[host.index].ek ?? '',
        `the authority says ${tier}; the endorsement certificate shows ${shown.tier}${shown.kind === 'known' ? ` (${shown.maker})` : ', since no maker that is known issued it'}`,
      )
    return lower
  } catch (error) {
    record.findings.addError(error, 'EK_CERTIFICATE', context.document.hosts[host.index].ek ?? '')
    return 'software'
  }
}
