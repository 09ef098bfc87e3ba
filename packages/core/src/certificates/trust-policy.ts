/** What a reader trusts. Format: spec/certificates.md §6. */
import { fromUtf8 } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { EvidenceError } from '../error.ts'
import { exactly, integer, isObject, label, list, oneOf, wrong } from '../record/shape.ts'
import { fromBase64 } from './base64.ts'
import { type Certificate, decodeCertificate } from './certificate.ts'
import type { DerProfile } from './der.ts'
import type { OwnEkRoot } from './ek-roots.ts'
import { readRevocationList, type RevocationList } from './revocations.ts'
import { type Measurer, MEASURERS, type Tier, TIERS } from './tier.ts'
import { checkUniqueNames } from './unique-names.ts'

export const TRUST_POLICY_BYTES_MAX = 1 << 20
const AUTHORITIES_MAX = 256
const ATTESTATION_KEYS_MAX = 65_536
const LISTS_MAX = 256
const ENDORSEMENT_ROOTS_MAX = 256
const HOURS_MAX = 1_000_000
const FILE_NAME_BYTES_MAX = 4096
const PEM_BYTES_MAX = 16_384

export interface KnownKey {
  /** Name of the attestation key, hex. */
  readonly name: string
  /** What the reader knows of its TPM. */
  readonly tier?: Tier
}

/** A file that is no list of one of the policy's authorities: the policy is read all the same, and verifying says so. */
export type PolicyList =
  | { readonly kind: 'signed'; readonly name: string; readonly list: RevocationList; readonly root: Certificate }
  | { readonly kind: 'unusable'; readonly name: string; readonly why: string }

export interface TrustPolicy {
  readonly authorities: readonly Certificate[]
  readonly attestationKeys: readonly KnownKey[]
  readonly minimumTier?: Tier
  readonly requireMeasurer?: Measurer
  readonly revocations: readonly PolicyList[]
  readonly revocationsMaximumAgeMs?: number
  readonly endorsementRoots: readonly OwnEkRoot[]
}

export const NO_POLICY: TrustPolicy = { authorities: [], attestationKeys: [], revocations: [], endorsementRoots: [] }

/**
 * @param file - The policy; or the certificate of an authority in PEM, which is the policy that names this one alone.
 * @param readBeside - Reads a file that it names, relative to its folder; at most as many bytes as it may.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong; and whatever `readBeside` throws.
 */
export async function readTrustPolicy(
  file: Uint8Array,
  { readBeside, crypto }: { readonly readBeside: (name: string) => Promise<Uint8Array>; readonly crypto: Crypto },
): Promise<TrustPolicy> {
  if (isPem(file)) return { ...NO_POLICY, authorities: [readCertificate(file, '$', 'strict')] }
  const policy = decodePolicy(parse(file))
  const certificate = async (source: Source, path: string, profile: DerProfile): Promise<Certificate> => {
    const found = source.kind === 'pem' ? source.pem : await readBeside(source.file)
    return readCertificate(found, path, profile)
  }
  const authorities: Certificate[] = []
  for (const [i, source] of policy.authorities.entries())
    authorities.push(await certificate(source, `$.authorities[${i}]`, 'strict'))
  const endorsementRoots: OwnEkRoot[] = []
  for (const [i, { source, tier }] of policy.endorsementRoots.entries()) {
    const path = `$.endorsementRoots[${i}].certificate`
    endorsementRoots.push({ certificate: await certificate(source, path, 'endorsement'), tier })
  }
  const revocations: PolicyList[] = []
  for (const name of policy.revocations)
    revocations.push(await readList(name, await readBeside(name), { authorities, crypto }))
  const { attestationKeys, minimumTier, requireMeasurer, maximumAgeHours } = policy
  return {
    authorities,
    attestationKeys,
    revocations,
    endorsementRoots,
    ...(minimumTier && { minimumTier }),
    ...(requireMeasurer && { requireMeasurer }),
    ...(maximumAgeHours !== undefined && { revocationsMaximumAgeMs: maximumAgeHours * 3_600_000 }),
  }
}

async function readList(
  name: string,
  file: Uint8Array,
  { authorities, crypto }: { readonly authorities: readonly Certificate[]; readonly crypto: Crypto },
): Promise<PolicyList> {
  try {
    return { kind: 'signed', name, ...(await readRevocationList(file, authorities, crypto)) }
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error
    return { kind: 'unusable', name, why: error.message }
  }
}

function parse(bytes: Uint8Array): unknown {
  if (bytes.length > TRUST_POLICY_BYTES_MAX)
    throw new EvidenceError('LIMIT', {
      message: `a trust policy of ${bytes.length} bytes; at most ${TRUST_POLICY_BYTES_MAX} are read`,
    })
  try {
    const text = fromUtf8(bytes)
    const value: unknown = JSON.parse(text)
    checkUniqueNames(text)
    return value
  } catch (cause) {
    if (cause instanceof EvidenceError) throw cause
    throw new EvidenceError('STRUCTURE', {
      message: `this trust policy is not JSON: ${(cause as Error).message}`,
      cause,
    })
  }
}

type Source = { readonly kind: 'file'; readonly file: string } | { readonly kind: 'pem'; readonly pem: string }

const NAMES = [
  'attestationKeys',
  'authorities',
  'endorsementRoots',
  'minimumTier',
  'requireMeasurer',
  'revocations',
  'revocationsMaximumAgeHours',
  'schema',
] as const

interface Decoded {
  readonly authorities: readonly Source[]
  readonly attestationKeys: readonly KnownKey[]
  readonly minimumTier: Tier | undefined
  readonly requireMeasurer: Measurer | undefined
  readonly revocations: readonly string[]
  readonly maximumAgeHours: number | undefined
  readonly endorsementRoots: readonly { readonly source: Source; readonly tier: Tier }[]
}

function decodePolicy(value: unknown): Decoded {
  const policy = known(value, '$', NAMES)
  exactly(policy.schema, '$.schema', 'reprise/trust/v1')
  const { minimumTier, requireMeasurer, revocationsMaximumAgeHours: hours } = policy
  return {
    authorities: list(policy.authorities ?? [], '$.authorities', AUTHORITIES_MAX, decodeSource),
    attestationKeys: list(policy.attestationKeys ?? [], '$.attestationKeys', ATTESTATION_KEYS_MAX, decodeKnownKey),
    minimumTier: minimumTier === undefined ? undefined : oneOf(minimumTier, '$.minimumTier', TIERS),
    requireMeasurer: requireMeasurer === undefined ? undefined : oneOf(requireMeasurer, '$.requireMeasurer', MEASURERS),
    revocations: list(policy.revocations ?? [], '$.revocations', LISTS_MAX, (item, path) =>
      fileName(known(item, path, ['file']).file, `${path}.file`),
    ),
    maximumAgeHours:
      hours === undefined ? undefined : integer(hours, '$.revocationsMaximumAgeHours', { min: 1, max: HOURS_MAX }),
    endorsementRoots: list(
      policy.endorsementRoots ?? [],
      '$.endorsementRoots',
      ENDORSEMENT_ROOTS_MAX,
      decodeEndorsementRoot,
    ),
  }
}

/** An object with some of these fields, and no others. */
function known<const Names extends readonly string[]>(
  value: unknown,
  path: string,
  names: Names,
): Readonly<Partial<Record<Names[number], unknown>>> {
  if (!isObject(value)) throw wrong(path, 'is not an object')
  const unknownName = Object.keys(value).find((name) => !names.includes(name))
  if (unknownName !== undefined)
    throw new EvidenceError('STRUCTURE', {
      message: `${path}.${unknownName.slice(0, 64)} is not a field that is known here`,
      hint: `known are: ${names.join(', ')}`,
      data: { path },
    })
  return value as Readonly<Partial<Record<Names[number], unknown>>>
}

function decodeSource(value: unknown, path: string): Source {
  const source = known(value, path, ['file', 'pem'])
  if ((source.file === undefined) === (source.pem === undefined))
    throw wrong(path, 'names neither a file nor a pem, or both')
  return source.file === undefined
    ? { kind: 'pem', pem: label(source.pem, `${path}.pem`, PEM_BYTES_MAX) }
    : { kind: 'file', file: fileName(source.file, `${path}.file`) }
}

/** A path that stays below the policy's folder. */
function fileName(value: unknown, path: string): string {
  const name = label(value, path, FILE_NAME_BYTES_MAX)
  if (name.includes('\0') || name.includes('\\') || name.split('/').some((part) => ['', '.', '..'].includes(part)))
    throw wrong(path, 'is not the name of a file in the folder of the policy, or below it')
  return name
}

function decodeKnownKey(value: unknown, path: string): KnownKey {
  const { name, tier } = known(value, path, ['name', 'tier'])
  if (!isAkName(name)) throw wrong(`${path}.name`, 'is not the Name of an attestation key: 000b and 64 hex digits')
  return { name, ...(tier !== undefined && { tier: oneOf(tier, `${path}.tier`, TIERS) }) }
}

/** Lower-case hex of a Name over SHA-256. */
export function isAkName(value: unknown): value is string {
  return typeof value === 'string' && /^000b[0-9a-f]{64}$/.test(value)
}

function decodeEndorsementRoot(value: unknown, path: string): { readonly source: Source; readonly tier: Tier } {
  const { certificate, tier } = known(value, path, ['certificate', 'tier'])
  return { source: decodeSource(certificate, `${path}.certificate`), tier: oneOf(tier, `${path}.tier`, TIERS) }
}

const PEM = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g

/** PEM with one certificate, or DER. */
function readCertificate(found: string | Uint8Array, path: string, profile: DerProfile): Certificate {
  try {
    const der = typeof found === 'string' || isPem(found) ? fromPem(found, path) : found
    const certificate = decodeCertificate(der, profile)
    if (certificate.extensions.basicConstraints?.isCa !== true) throw wrong(path, 'is no certificate of an authority')
    return certificate
  } catch (cause) {
    const code = cause instanceof EvidenceError ? cause.code : 'STRUCTURE'
    throw new EvidenceError(code, { message: `${path}: ${(cause as Error).message}`, data: { path }, cause })
  }
}

/** No JSON begins so, nor does DER of a certificate. */
function isPem(file: Uint8Array): boolean {
  return file[0] === '-'.charCodeAt(0)
}

function fromPem(found: string | Uint8Array, path: string): Uint8Array {
  const text = typeof found === 'string' ? found : fromUtf8(found)
  const blocks = [...text.matchAll(PEM)]
  if (blocks.length !== 1) throw wrong(path, `holds ${blocks.length} certificates, where one is wanted`)
  return fromBase64(blocks[0][1].replace(/\s/g, ''), path)
}
