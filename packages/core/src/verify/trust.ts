/** What a reader trusts, applied to the hosts of a record. Format: spec/record.md §6.9. */
import { hex } from '../bytes/index.ts'
import type { Certificate, PolicyList, TrustPolicy } from '../certificates/index.ts'
import { lowerTier, type Measurer, MEASURERS, type Tier, TIERS } from '../certificates/tier.ts'
import type { Crypto } from '../crypto.ts'
import { RECORD_ENTRY, type RecordDocument } from '../record/index.ts'
import type { Certified } from './enrolment.ts'
import type { Findings } from './findings.ts'
import type { AttestationKey } from './host.ts'
import type { OpenedRecord } from './open.ts'

/** One for each host of the document. */
export interface VerifiedHost {
  /** Name of the attestation key, hex; null for a key that is none. */
  readonly akName: string | null
  readonly enrolment: 'self' | 'authority'
  /** As the authority knows it; null without one that is trusted. */
  readonly name: string | null
  /** Subject of the authority's root; null without one that is trusted. */
  readonly authority: string | null
  readonly tier: Tier
}

export interface TrustRequest {
  readonly document: RecordDocument
  readonly keys: readonly (AttestationKey | undefined)[]
  readonly crypto: Crypto
  readonly trust: TrustPolicy | undefined
  readonly requireEnrolment: boolean
  /** Milliseconds since 1970, by the reader's clock. */
  readonly nowMs: number | undefined
}

export type UsableList = Extract<PolicyList, { kind: 'signed' }>

export interface TrustAnswer {
  readonly hosts: readonly VerifiedHost[]
  /** Every host that is enrolled was looked up in a list of its authority that is in date. */
  readonly isRevocationChecked: boolean
}

/** Judges who vouches for each host; findings say what is missing or wrong. */
export async function checkTrust(record: OpenedRecord, request: TrustRequest): Promise<TrustAnswer> {
  const { document, keys, crypto, trust } = request
  const lists = usableLists(record.findings, request)
  const hosts: VerifiedHost[] = []
  const wanted = new Set<Certificate>()
  for (const [index, key] of keys.entries()) {
    const akName = key === undefined ? null : hex(key.name)
    const known = trust?.attestationKeys.find(({ name }) => name === akName)
    let certified: Certified | undefined
    if (key !== undefined && document.hosts[index].certificates.length > 0) {
      const { checkCertificates } = await import('./enrolment.ts')
      const host = { index, key, isPinned: known !== undefined }
      certified = await checkCertificates(record, host, { document, crypto, trust, lists })
    }
    const host = judged(key, certified, known?.tier)
    hosts.push(host)
    if (certified?.kind === 'trusted') wanted.add(certified.root)
    if (key !== undefined && known === undefined) sayWhoIsMissing(record.findings, { index, key, certified, request })
  }
  const isListed = [...wanted].every((root) => lists.some((list) => list.root === root))
  return { hosts, isRevocationChecked: wanted.size > 0 && isListed }
}

function judged(
  key: AttestationKey | undefined,
  certified: Certified | undefined,
  knownTier: Tier | undefined,
): VerifiedHost {
  const trusted = certified?.kind === 'trusted' ? certified : undefined
  const isEnrolled = trusted?.isTimely === true
  return {
    akName: key === undefined ? null : hex(key.name),
    enrolment: isEnrolled ? 'authority' : 'self',
    name: trusted?.hostName ?? null,
    authority: trusted?.root.subject.text ?? null,
    // Nobody but the host says which TPM a key of its own enrolment is in.
    tier: knownTier ?? (isEnrolled ? trusted.tier : 'software'),
  }
}

function sayWhoIsMissing(
  findings: Findings,
  from: {
    readonly index: number
    readonly key: AttestationKey
    readonly certified: Certified | undefined
    readonly request: TrustRequest
  },
): void {
  const { index, key, certified, request } = from
  // What is wrong with its certificates is said already.
  if (certified?.kind === 'trusted' || certified?.kind === 'wrong') return
  const { trust, requireEnrolment } = request
  const namesSomebody = trust !== undefined && trust.authorities.length + trust.attestationKeys.length > 0
  const who =
    certified === undefined
      ? `host ${index} enrolled itself`
      : `host ${index} has a certificate of ${certified.authority}, an authority that is not among those that are trusted here`
  const message = `${who}; its attestation key has the Name ${hex(key.name)}`
  const severity = namesSomebody || requireEnrolment ? 'withholds' : 'warns'
  findings.add('SELF_ENROLLED', `${RECORD_ENTRY} $.hosts[${index}]`, message, severity)
}

function usableLists(findings: Findings, { trust, nowMs }: TrustRequest): UsableList[] {
  return (trust?.revocations ?? []).filter((list): list is UsableList => {
    const why = whyUnusable(list, { nowMs, maximumAgeMs: trust?.revocationsMaximumAgeMs ?? Number.POSITIVE_INFINITY })
    if (why !== undefined) findings.add('REVOCATION_LIST', list.name, why)
    return why === undefined
  })
}

function whyUnusable(
  given: PolicyList,
  { nowMs, maximumAgeMs }: { readonly nowMs: number | undefined; readonly maximumAgeMs: number },
): string | undefined {
  if (given.kind === 'unusable') return given.why
  const { issuedAtMs, nextUpdateMs } = given.list
  if (nowMs === undefined) return 'how old it is cannot be told without the time'
  if (nowMs > nextUpdateMs) return `a newer one was due ${new Date(nextUpdateMs).toISOString()}`
  if (nowMs - issuedAtMs > maximumAgeMs)
    return `it is of ${new Date(issuedAtMs).toISOString()}, older than the policy allows`
  return undefined
}

/** The lowest of all hosts. */
export function lowestTier(hosts: readonly VerifiedHost[]): Tier {
  return hosts.map(({ tier }) => tier).reduce(lowerTier, hosts.length === 0 ? 'software' : 'hardware')
}

/** What the policy asks of the record as a whole. */
export function checkRequirements(
  findings: Findings,
  { tier, measurer }: { readonly tier: Tier; readonly measurer: Measurer },
  trust: TrustPolicy | undefined,
): void {
  const { minimumTier, requireMeasurer } = trust ?? {}
  if (minimumTier !== undefined && TIERS.indexOf(tier) < TIERS.indexOf(minimumTier))
    findings.add(
      'TIER_TOO_LOW',
      `${RECORD_ENTRY} $.hosts`,
      `a ${tier} TPM, and the trust policy asks for ${minimumTier}`,
    )
  if (requireMeasurer !== undefined && MEASURERS.indexOf(measurer) < MEASURERS.indexOf(requireMeasurer))
    findings.add(
      'MEASURER_TOO_LOW',
      `${RECORD_ENTRY} $.attempts`,
      `measured: ${measurer}, and the trust policy asks for ${requireMeasurer}`,
    )
}
