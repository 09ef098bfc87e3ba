/** Entries of the audit log: what they say, and how each hangs on the one before. Format: spec/operators.md §6. */
import { canonical, parseCanonicalBytes, utf8 } from '@reprise/core'
import {
  bigDecimal,
  boolean,
  bytes,
  type Decode,
  dictionary,
  integer,
  list,
  nullable,
  object,
  oneOf,
  optional,
  refused,
  text,
  toJson,
} from '@reprise/host/decode'
import { NAME, WALL_MS_MAX } from '../plan/fields.ts'
import { VERSION_MAX, WITNESSES_MAX } from '../plan/forms.ts'
import { sha256, tagged } from '../sealing/words.ts'
import type { HostId } from '../types.ts'

/** Longest line, its newline not counted. */
export const ENTRY_BYTES_MAX = 1 << 18
const QUOTE_BYTES_MAX = 1024
const TEXT_MAX = 1024
const RULES_MAX = 32
const OPERATORS_MAX = 32

/** Whose log it is. */
export interface AuditScope {
  readonly fleet: string
  readonly host: HostId
}

/** A quote, with the attestation key that made it: the plan has only the key's Name. */
export interface SignedQuote {
  /** TPMT_PUBLIC. */
  readonly akPublic: Uint8Array
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

/** A quote over the heartbeat statement of a channel. */
export interface Countersign extends SignedQuote {
  /** Of the channel, 32 bytes. */
  readonly exporter: Uint8Array
}

/** A share as the log of both sides has it: the witness quoted the release statement. */
export interface LoggedShare {
  readonly epoch: number
  readonly index: number
  readonly attempt: string
  /** Digest of the plan by which the witness decided. */
  readonly plan: Uint8Array
  readonly quote: SignedQuote
}

/** What one that asks for a share says. */
export interface LoggedRequest {
  readonly host: HostId
  readonly epoch: number
  readonly index: number
  readonly attempt: string
}

/** What a log says; `more` is for people. */
export type AuditEvent = { readonly more?: Readonly<Record<string, string | number | boolean | null>> } &
  /** The first entry, and no other: whose log it is. */
  (
    | ({ readonly kind: 'begun' } & AuditScope)
    | {
        readonly kind: 'boot'
        readonly bootId: string | null
        /** Name of the approved boot; null: of none. */
        readonly boot: string | null
        readonly planVersion: number
      }
    /** As a witness: asked for a share. */
    | ({ readonly kind: 'request' } & LoggedRequest)
    | ({ readonly kind: 'refusal'; readonly rules: readonly string[] } & LoggedRequest)
    /** As a witness; written before the share is sent. */
    | ({ readonly kind: 'share-given'; readonly host: HostId } & LoggedShare)
    /** As the one that asked: the shares that made up the half. */
    | {
        readonly kind: 'release'
        readonly epoch: number
        readonly attempt: string
        readonly verdict: string
        readonly shares: readonly (LoggedShare & { readonly witness: HostId })[]
      }
    | {
        readonly kind: 'rotation'
        readonly epoch: number
        readonly step: 'prepared' | 'decided' | 'committed' | 'retired'
      }
    /** Own: what witnesses countersigned of this log, up to `length` entries. */
    | {
        readonly kind: 'heartbeat'
        readonly epoch: number
        readonly length: number
        readonly head: Uint8Array
        readonly countersigns: readonly (Countersign & { readonly witness: HostId })[]
      }
    /** As a witness: what this host countersigned of another one's log. */
    | {
        readonly kind: 'countersign'
        readonly host: HostId
        readonly epoch: number
        readonly length: number
        readonly head: Uint8Array
        readonly countersign: Countersign
      }
    | { readonly kind: 'plan'; readonly version: number; readonly digest: Uint8Array; readonly from: HostId | null }
    | {
        readonly kind: 'statement'
        readonly statement: string
        readonly host: HostId
        readonly digest: Uint8Array
        readonly from: HostId | null
      }
    /** In the logs of both: credentials and image keys that one host brought to another. */
    | { readonly kind: 'delivery'; readonly by: HostId; readonly to: HostId; readonly statement: Uint8Array }
    | { readonly kind: 'alarm'; readonly text: string }
    | { readonly kind: 'break-glass'; readonly epoch: number; readonly operators: readonly string[] }
    | {
        readonly kind: 'loaded'
        readonly image: Uint8Array
        readonly version: number
        readonly confirmedBy: HostId | null
      }
    | { readonly kind: 'shutdown'; readonly isClean: boolean }
  )

export type AuditKind = AuditEvent['kind']

/** Of the TPM, as the host knew it then. */
export interface AuditClock {
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
}

export interface AuditEntry {
  /** From 0. */
  readonly seq: number
  /** Digest of the entry before; of the first one {@link auditStart}. */
  readonly previous: Uint8Array
  readonly wallMs: number
  readonly tpm: AuditClock | null
  readonly event: AuditEvent
}

/** Where a log stands: `length` entries, the last of which has the digest `head`. */
export interface AuditPlace {
  readonly length: number
  readonly head: Uint8Array
}

/** The head of a log without entries. */
export function auditStart({ fleet, host }: AuditScope): Uint8Array {
  return sha256(tagged('reprise/audit-start/v1').sized(utf8(fleet)).sized(utf8(host)).done())
}

/** @param line - Without its newline. */
export function entryDigest(line: Uint8Array): Uint8Array {
  return sha256(tagged('reprise/audit/v1').sized(line).done())
}

export function encodeEntry(entry: AuditEntry): Uint8Array {
  return utf8(canonical(toJson(entry)))
}

const host: Decode<string> = (value, path) => {
  if (typeof value === 'string' && NAME.form.test(value)) return value
  throw refused(path, NAME.words)
}
const count = integer(0)
const epoch = integer(1)
const digest = bytes(32)
const words = text(TEXT_MAX)
const quoteFields = {
  akPublic: bytes(1, QUOTE_BYTES_MAX),
  attest: bytes(1, QUOTE_BYTES_MAX),
  signature: bytes(1, QUOTE_BYTES_MAX),
}
const quote = object<SignedQuote>(quoteFields)
const countersignFields = { ...quoteFields, exporter: digest }
const shareFields = { epoch, index: integer(0, WITNESSES_MAX - 1), attempt: text(128), plan: digest, quote }
const requestFields = { host, epoch, index: integer(0, WITNESSES_MAX - 1), attempt: text(128) }

const scalar: Decode<string | number | boolean | null> = (value, path) => {
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  return words(value, path)
}
const more = optional(dictionary(/^[A-Za-z][A-Za-z0-9-]{0,39}$/, scalar))

type Of<Kind extends AuditKind> = AuditEvent & { readonly kind: Kind }
const EVENTS: { readonly [Kind in AuditKind]: Decode<Of<Kind>> } = {
  begun: object<Of<'begun'>>({ kind: oneOf('begun'), fleet: host, host, more }),
  boot: object<Of<'boot'>>({
    kind: oneOf('boot'),
    bootId: nullable(text(64)),
    boot: nullable(host),
    planVersion: integer(0, VERSION_MAX),
    more,
  }),
  request: object<Of<'request'>>({ kind: oneOf('request'), ...requestFields, more }),
  refusal: object<Of<'refusal'>>({ kind: oneOf('refusal'), ...requestFields, rules: list(text(64), RULES_MAX), more }),
  'share-given': object<Of<'share-given'>>({ kind: oneOf('share-given'), host, ...shareFields, more }),
  release: object<Of<'release'>>({
    kind: oneOf('release'),
    epoch,
    attempt: text(128),
    verdict: text(64),
    shares: list(object<LoggedShare & { witness: HostId }>({ witness: host, ...shareFields }), WITNESSES_MAX),
    more,
  }),
  rotation: object<Of<'rotation'>>({
    kind: oneOf('rotation'),
    epoch,
    step: oneOf('prepared', 'decided', 'committed', 'retired'),
    more,
  }),
  heartbeat: object<Of<'heartbeat'>>({
    kind: oneOf('heartbeat'),
    epoch,
    length: count,
    head: digest,
    countersigns: list(
      object<Countersign & { witness: HostId }>({ witness: host, ...countersignFields }),
      WITNESSES_MAX,
    ),
    more,
  }),
  countersign: object<Of<'countersign'>>({
    kind: oneOf('countersign'),
    host,
    epoch,
    length: count,
    head: digest,
    countersign: object<Countersign>(countersignFields),
    more,
  }),
  plan: object<Of<'plan'>>({
    kind: oneOf('plan'),
    version: integer(1, VERSION_MAX),
    digest,
    from: nullable(host),
    more,
  }),
  statement: object<Of<'statement'>>({
    kind: oneOf('statement'),
    statement: text(64),
    host,
    digest,
    from: nullable(host),
    more,
  }),
  delivery: object<Of<'delivery'>>({ kind: oneOf('delivery'), by: host, to: host, statement: digest, more }),
  alarm: object<Of<'alarm'>>({ kind: oneOf('alarm'), text: words, more }),
  'break-glass': object<Of<'break-glass'>>({
    kind: oneOf('break-glass'),
    epoch,
    operators: list(host, OPERATORS_MAX),
    more,
  }),
  loaded: object<Of<'loaded'>>({
    kind: oneOf('loaded'),
    image: digest,
    version: count,
    confirmedBy: nullable(host),
    more,
  }),
  shutdown: object<Of<'shutdown'>>({ kind: oneOf('shutdown'), isClean: boolean, more }),
}
export const AUDIT_KINDS = Object.keys(EVENTS) as readonly AuditKind[]
const kindOf = oneOf(...AUDIT_KINDS)
const event: Decode<AuditEvent> = (value, path) => {
  const kind = kindOf((value as { kind?: unknown } | null)?.kind, `${path}.kind`)
  return EVENTS[kind](value, path)
}

const entry = object<AuditEntry>({
  seq: count,
  previous: digest,
  wallMs: integer(0, WALL_MS_MAX),
  tpm: nullable(object<AuditClock>({ clock: bigDecimal, resetCount: count, restartCount: count })),
  event,
})

/** @param line - Without its newline. @throws EvidenceError or HostError for what is no entry. */
export function decodeEntry(line: Uint8Array): AuditEntry {
  return entry(parseCanonicalBytes(line, ENTRY_BYTES_MAX, 'the entry'), 'entry')
}
