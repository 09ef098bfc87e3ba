/** Messages and answers as JSON, decoded exactly. Truth: spec/channel.md §5. */

import { utf8 } from '@reprise/core'
import {
  boolean,
  bytes,
  type Decode,
  integer,
  list,
  object,
  oneOf,
  optional,
  refused,
  text,
} from '@reprise/host/decode'
import { WALL_MS_MAX } from '../plan/fields.ts'
import type { PeerReport } from '../protocol/facts.ts'
import type { Refusal } from '../protocol/gate.ts'
import type { LeaseAge } from '../protocol/lease.ts'
import { SHARE_BYTES } from '../sealing/quorum-half.ts'
import type { Fact, FactSource, HostId, PriorShutdown, ReleaseRequest, Share } from '../types.ts'
import { SIGNED_PLAN_BYTES_MAX } from './limits.ts'
import type { Quote } from '../quote.ts'
import type { Answer, HostStatus, Message, ServiceStatus, Successor, VouchedKey } from './messages.ts'

/** What a status names, at most. */
export const STATUS_SERVICES_MAX = 256
export const STATUS_MISSING_MAX = 64
export const STATUS_ALARMS_MAX = 20
const REFUSALS_MAX = 16
export const SUCCESSION_MAX = 64
const STATEMENT_BYTES_MAX = 1 << 14
/** Of a delivery. */
export const PARTS_MAX = 256
export const PART_BYTES_MAX = 12_288
/** Epochs that a witness keeps of a host. */
const VOUCHED_MAX = 16
const INDEX_MAX = 63
const VERSION_MAX = 2 ** 31

/** Name of a host: it comes out in terminals and file names. */
export const hostId: Decode<HostId> = (value, path) => {
  if (typeof value === 'string' && /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/.test(value)) return value
  throw refused(path, 'a name of 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends')
}

/** Text for people, on one line: nothing that a terminal would obey. */
export function line(lengthBytesMax: number): Decode<string> {
  return (value, path) => {
    const found = text(lengthBytesMax)(value, path)
    if (!/[\p{Cc}\u2028\u2029]/u.test(found) && utf8(found).length <= lengthBytesMax) return found
    throw refused(path, `one line of at most ${lengthBytesMax} bytes`)
  }
}

/** Cuts text of any origin so that {@link line} takes it. */
export function toLine(value: string, lengthBytesMax: number): string {
  const clean = value.toWellFormed().replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
  return clean.slice(0, new TextEncoder().encodeInto(clean, new Uint8Array(lengthBytesMax)).read)
}

/** TPM Name: algorithm and digest. */
const akName: Decode<string> = (value, path) => {
  if (typeof value === 'string' && /^[0-9a-f]{44,132}$/.test(value)) return value
  throw refused(path, 'a TPM Name in lower-case hex')
}

function real(minimum: number, maximum = Number.MAX_VALUE): Decode<number> {
  return (value, path) => {
    if (typeof value === 'number' && value >= minimum && value <= maximum) return value
    throw refused(path, `a number from ${minimum}${maximum === Number.MAX_VALUE ? '' : ` to ${maximum}`}`)
  }
}

/** One of several objects, told apart by one member. */
function union<T extends object>(tag: string, shapes: Readonly<Record<string, Decode<T>>>): Decode<T> {
  return (value, path) => {
    const name = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[tag] : undefined
    if (typeof name === 'string' && Object.hasOwn(shapes, name)) return shapes[name](value, path)
    throw refused(`${path}.${tag}`, Object.keys(shapes).join(', '))
  }
}

const digest = bytes(32)
const durationMs = real(0)
/** Between two readings of wall clocks, which may go back. */
const wallAgeMs = real(Number.MIN_SAFE_INTEGER)
const wallMs = real(0, WALL_MS_MAX)
const epoch = integer(1)

export const quote = object<Quote>({ attest: bytes(1, 1024), signature: bytes(1, 1024) })

const share = object<Share>({ host: hostId, epoch, index: integer(0, INDEX_MAX), bytes: bytes(SHARE_BYTES), digest })

const SOURCES = ['tpm', 'marker', 'kernel', 'journal', 'wtmp', 'pstore', 'file-system', 'peer'] as const
const source: Decode<FactSource> = oneOf(...SOURCES)

function fact<T extends string | number | boolean>(value: Decode<T>): Decode<Fact<T>> {
  return object<Fact<T>>({ value: optional(value), source, signed: boolean })
}

const prior = object<PriorShutdown>({
  orderly: fact(boolean),
  resetIncrease: fact(integer(0)),
  restartIncrease: fact(integer(0)),
  poweredMs: fact(durationMs),
  cleanMarker: fact(boolean),
  bootId: fact(line(64)),
  journalShutdown: fact(boolean),
  wtmpShutdown: fact(boolean),
  kernelCrash: fact(boolean),
  fileSystemClean: fact(boolean),
})

const request = object<ReleaseRequest>({
  host: hostId,
  epoch,
  index: integer(0, INDEX_MAX),
  rosterVersion: integer(1, VERSION_MAX),
  attempt: line(64),
  prior,
})

const successor = object<Successor>({ after: epoch, epoch, leaseKey: bytes(65), signature: bytes(64) })

type Kind<K extends Message['kind']> = Extract<Message, { kind: K }>

export const message: Decode<Message> = union<Message>('kind', {
  observe: object<Kind<'observe'>>({ kind: oneOf('observe'), about: hostId }),
  ask: object<Kind<'ask'>>({ kind: oneOf('ask'), request }),
  heartbeat: object<Kind<'heartbeat'>>({
    kind: oneOf('heartbeat'),
    epoch,
    auditHead: digest,
    auditLength: integer(0),
    proof: bytes(64),
  }),
  prepare: object<Kind<'prepare'>>({
    kind: oneOf('prepare'),
    share,
    leaseKey: bytes(65),
    succession: list(successor, SUCCESSION_MAX),
  }),
  commit: object<Kind<'commit'>>({ kind: oneOf('commit'), epoch }),
  plan: object<Kind<'plan'>>({ kind: oneOf('plan'), signed: bytes(1, SIGNED_PLAN_BYTES_MAX) }),
  approvals: object<Kind<'approvals'>>({
    kind: oneOf('approvals'),
    planVersion: integer(0, VERSION_MAX),
    digest,
  }),
  vouch: object<Kind<'vouch'>>({ kind: oneOf('vouch'), about: hostId }),
  statement: object<Kind<'statement'>>({ kind: oneOf('statement'), signed: bytes(1, STATEMENT_BYTES_MAX) }),
  status: object<Kind<'status'>>({ kind: oneOf('status') }),
  loaded: object<Kind<'loaded'>>({ kind: oneOf('loaded'), imageDigest: digest, quote }),
  deliver: object<Kind<'deliver'>>({
    kind: oneOf('deliver'),
    statement: bytes(1, STATEMENT_BYTES_MAX),
    part: integer(0, PARTS_MAX - 1),
    parts: integer(1, PARTS_MAX),
    bytes: bytes(1, PART_BYTES_MAX),
  }),
})

const lease = object<LeaseAge>({ boundMs: durationMs, isContinuous: boolean, wallMs: wallAgeMs })
const report = object<PeerReport>({
  uptimeMs: durationMs,
  lastShutdown: oneOf('clean', 'abnormal'),
  lease: optional(lease),
})

type Rule<R extends Refusal['rule']> = Extract<Refusal, { rule: R }>

const bare = object<Rule<'ATTESTED' | 'MEASUREMENT' | 'WITNESS_DOMAIN'>>({
  rule: oneOf('ATTESTED', 'MEASUREMENT', 'WITNESS_DOMAIN'),
})
const refusal: Decode<Refusal> = union<Refusal>('rule', {
  ...{ ATTESTED: bare, MEASUREMENT: bare, WITNESS_DOMAIN: bare },
  ROSTER: object<Rule<'ROSTER'>>({
    rule: oneOf('ROSTER'),
    membership: oneOf('active', 'expunged', 'revoked', 'unknown'),
  }),
  ROSTER_OLD: object<Rule<'ROSTER_OLD'>>({
    rule: oneOf('ROSTER_OLD'),
    requestRoster: integer(0, VERSION_MAX),
    ownRoster: integer(0, VERSION_MAX),
  }),
  EPOCH: object<Rule<'EPOCH'>>({ rule: oneOf('EPOCH'), epoch: oneOf('missing', 'superseded') }),
  RESETS: object<Rule<'RESETS'>>({
    rule: oneOf('RESETS'),
    resetIncrease: optional(integer(0)),
    budget: integer(0),
  }),
  RESTARTS: object<Rule<'RESTARTS'>>({ rule: oneOf('RESTARTS'), restartIncrease: optional(integer(0)) }),
  ROUND_TRIP: object<Rule<'ROUND_TRIP'>>({
    rule: oneOf('ROUND_TRIP'),
    roundTripMs: durationMs,
    boundMs: durationMs,
  }),
  LEASE: object<Rule<'LEASE'>>({ rule: oneOf('LEASE'), ageMs: optional(durationMs), leaseMs: durationMs }),
  VERDICT: object<Rule<'VERDICT'>>({ rule: oneOf('VERDICT'), action: oneOf('hold', 'lock'), theft: durationMs }),
})

const service = object<ServiceStatus>({
  name: hostId,
  state: oneOf('waiting', 'starting', 'ready', 'failed', 'stopped'),
  sinceWallMs: wallMs,
})

export const hostStatus = object<HostStatus>({
  host: hostId,
  planVersion: integer(0, VERSION_MAX),
  state: oneOf('starting', 'asking', 'holding', 'locked', 'refused', 'loading', 'serving', 'broken'),
  verdict: optional(line(32)),
  sharesHeld: integer(0, INDEX_MAX + 1),
  sharesNeeded: integer(0, INDEX_MAX + 1),
  missing: list(object<HostStatus['missing'][number]>({ witness: hostId, why: line(64) }), STATUS_MISSING_MAX),
  services: list(service, STATUS_SERVICES_MAX),
  epoch: integer(0),
  uptimeMs: durationMs,
  auditLength: integer(0),
  auditHead: digest,
  alarms: list(object<HostStatus['alarms'][number]>({ wallMs, text: line(200) }), STATUS_ALARMS_MAX),
})

type AnswerOf<K extends Answer['kind']> = Extract<Answer, { kind: K }>

export const FAILED_TEXT_BYTES_MAX = 300

export const answer: Decode<Answer> = union<Answer>('kind', {
  observed: object<AnswerOf<'observed'>>({ kind: oneOf('observed'), report, planVersion: integer(0, VERSION_MAX) }),
  share: object<AnswerOf<'share'>>({ kind: oneOf('share'), share, release: quote }),
  refused: object<AnswerOf<'refused'>>({ kind: oneOf('refused'), refusals: list(refusal, REFUSALS_MAX) }),
  beaten: object<AnswerOf<'beaten'>>({ kind: oneOf('beaten'), countersign: quote }),
  prepared: object<AnswerOf<'prepared'>>({ kind: oneOf('prepared'), epoch }),
  committed: object<AnswerOf<'committed'>>({ kind: oneOf('committed'), epoch }),
  taken: object<AnswerOf<'taken'>>({ kind: oneOf('taken'), planVersion: integer(0, VERSION_MAX) }),
  approvals: object<AnswerOf<'approvals'>>({
    kind: oneOf('approvals'),
    planVersion: integer(0, VERSION_MAX),
    digest,
  }),
  vouched: object<AnswerOf<'vouched'>>({
    kind: oneOf('vouched'),
    ak: optional(akName),
    keys: list(object<VouchedKey>({ epoch, leaseKey: bytes(65) }), VOUCHED_MAX),
  }),
  status: object<AnswerOf<'status'>>({ kind: oneOf('status'), status: hostStatus }),
  loaded: object<AnswerOf<'loaded'>>({ kind: oneOf('loaded'), confirm: quote }),
  delivering: object<AnswerOf<'delivering'>>({ kind: oneOf('delivering'), next: integer(0, PARTS_MAX) }),
  delivered: object<AnswerOf<'delivered'>>({ kind: oneOf('delivered'), epoch }),
  failed: object<AnswerOf<'failed'>>({
    kind: oneOf('failed'),
    code: oneOf('MALFORMED', 'NOT_NOW', 'NOT_FOR_YOU', 'PROOF', 'STATEMENT', 'PLAN'),
    text: line(FAILED_TEXT_BYTES_MAX),
  }),
})
