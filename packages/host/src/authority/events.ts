/** What happens at an authority, as its log has it: one event a line. Format: spec/enrolment.md §6. */

import { type Tier, TIERS } from '@reprise/core/certificates'
import { bytes, type Decode, integer, list, nullable, object, oneOf, refused, text } from '../signer/decode.ts'
import {
  akCertificate,
  digest,
  EK_CERTIFICATE_BYTES_MAX,
  EK_ISSUERS_MAX,
  type EnrolQuote,
  hostName,
  quote,
  time,
  TPM_BYTES_MAX,
} from '../enrolment/messages.ts'

/** Who gets a certificate, and how long it holds. */
export interface Policy {
  /** Who is approved without an operator: nobody; endorsement keys that are known; TPMs of at least that tier. */
  readonly approve: 'manual' | 'known' | Tier
  /** TPMs below are refused. */
  readonly minTier: Tier
  /** What hosts may be called: `*` stands for any characters. */
  readonly names: string
  /** An endorsement key with a second attestation key: an operator decides, both stay, or it is refused. */
  readonly sameEk: 'ask' | 'keep' | 'refuse'
  readonly certificateDays: number
  /** How long a host may take to answer a challenge. */
  readonly challengeSeconds: number
  /** Roots of endorsement certificates that the operator knows, DER; they go before the table of `core`. */
  readonly ekRoots: readonly EkRoot[]
}

export interface EkRoot {
  readonly tier: Tier
  readonly certificate: Uint8Array
}

/** Until an operator says something else. */
export const DEFAULT_POLICY: Policy = {
  approve: 'manual',
  minTier: 'software',
  names: '*',
  sameEk: 'ask',
  certificateDays: 365,
  challengeSeconds: 300,
  ekRoots: [],
}

/** What is known of a host that asks. */
export interface Requested {
  readonly kind: 'requested'
  /** 32 random bytes. */
  readonly request: Uint8Array
  readonly name: string
  readonly akPublic: Uint8Array
  readonly akName: Uint8Array
  readonly ekPublic: Uint8Array
  readonly ekName: Uint8Array
  readonly ekCertificate: Uint8Array | null
  readonly ekIssuers: readonly Uint8Array[]
  /** As the chain of the EK certificate has it, and why. */
  readonly tier: Tier
  readonly tierReason: string
  /** SHA-256 of what the challenge hides. */
  readonly secretDigest: Uint8Array
  readonly expiresAt: string
  /** The address that asked, or `file`. */
  readonly origin: string
}

export type Event =
  | { readonly kind: 'founded'; readonly name: string; readonly root: Uint8Array }
  | ({ readonly kind: 'policy' } & Policy)
  | Requested
  /** The challenge was answered as it should be. */
  | { readonly kind: 'proved'; readonly request: Uint8Array; readonly quote: EnrolQuote }
  /** A wrong answer: the challenge is used up. */
  | { readonly kind: 'failed'; readonly request: Uint8Array; readonly code: string; readonly why: string }
  | { readonly kind: 'approved'; readonly request: Uint8Array; readonly name: string; readonly by: string }
  | { readonly kind: 'rejected'; readonly request: Uint8Array; readonly by: string; readonly reason: string }
  | {
      readonly kind: 'issued'
      readonly request: Uint8Array
      readonly serial: Uint8Array
      readonly certificate: Uint8Array
      readonly notAfter: string
    }
  | { readonly kind: 'revoked'; readonly serial: Uint8Array; readonly reason: RevocationReason }
  /** An endorsement key that may enrol without being asked about; `name` is what its host must be called. */
  | { readonly kind: 'allowed'; readonly ek: Uint8Array; readonly name: string | null }
  | { readonly kind: 'disallowed'; readonly ek: Uint8Array }
  /** A revocation list was signed. */
  | { readonly kind: 'listed'; readonly number: number; readonly nextUpdate: string; readonly sha256: Uint8Array }

export type EventKind = Event['kind']

/** Of RFC 5280 §5.3.1, those that fit a host. */
export const REVOCATION_REASONS = ['unspecified', 'keyCompromise', 'superseded', 'cessationOfOperation'] as const
export type RevocationReason = (typeof REVOCATION_REASONS)[number]

export interface Entry {
  readonly seq: number
  readonly at: string
  /** Digest of the line before; 32 zero bytes in the first. */
  readonly previous: Uint8Array
  readonly event: Event
}

const DAYS_MAX = 10_000
const EK_ROOTS_MAX = 16
const structure = bytes(1, TPM_BYTES_MAX)
/** Names of keys: with SHA-256, SHA-384 or SHA-512. Also SHA-256 of a certificate. */
const keyName = bytes(32, 66)
const ekCertificate = bytes(1, EK_CERTIFICATE_BYTES_MAX)

const EVENTS: { readonly [Kind in EventKind]: Decode<Event & { readonly kind: Kind }> } = {
  founded: object({ kind: oneOf('founded'), name: text(64), root: akCertificate }),
  policy: object({
    kind: oneOf('policy'),
    approve: oneOf('manual', 'known', ...TIERS),
    minTier: oneOf(...TIERS),
    names: text(200),
    sameEk: oneOf('ask', 'keep', 'refuse'),
    certificateDays: integer(1, DAYS_MAX),
    challengeSeconds: integer(1, 86_400),
    ekRoots: list(object<EkRoot>({ tier: oneOf(...TIERS), certificate: ekCertificate }), EK_ROOTS_MAX),
  }),
  requested: object({
    kind: oneOf('requested'),
    request: digest,
    name: hostName,
    akPublic: structure,
    akName: keyName,
    ekPublic: structure,
    ekName: keyName,
    ekCertificate: nullable(ekCertificate),
    ekIssuers: list(ekCertificate, EK_ISSUERS_MAX),
    tier: oneOf(...TIERS),
    tierReason: text(1000),
    secretDigest: digest,
    expiresAt: time,
    origin: text(100),
  }),
  proved: object({ kind: oneOf('proved'), request: digest, quote }),
  failed: object({ kind: oneOf('failed'), request: digest, code: text(100), why: text(1000) }),
  approved: object({ kind: oneOf('approved'), request: digest, name: hostName, by: text(100) }),
  rejected: object({ kind: oneOf('rejected'), request: digest, by: text(100), reason: text(1000) }),
  issued: object({
    kind: oneOf('issued'),
    request: digest,
    serial: bytes(16),
    certificate: akCertificate,
    notAfter: time,
  }),
  revoked: object({ kind: oneOf('revoked'), serial: bytes(16), reason: oneOf(...REVOCATION_REASONS) }),
  allowed: object({ kind: oneOf('allowed'), ek: keyName, name: nullable(hostName) }),
  disallowed: object({ kind: oneOf('disallowed'), ek: keyName }),
  listed: object({ kind: oneOf('listed'), number: integer(1), nextUpdate: time, sha256: digest }),
}

const event: Decode<Event> = (value, path) => {
  const kind = (value as { readonly kind?: unknown } | null)?.kind
  if (typeof kind !== 'string' || !Object.hasOwn(EVENTS, kind))
    throw refused(`${path}.kind`, Object.keys(EVENTS).join(' or '))
  return EVENTS[kind as EventKind](value, path)
}

/** @throws {@link HostError} `PROTOCOL` unless the value is exactly one entry of a log. */
export const decodeEntry: Decode<Entry> = object<Entry>({ seq: integer(0), at: time, previous: digest, event })
