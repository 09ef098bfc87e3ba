/** What hosts say to each other over an attested channel. Truth: spec/channel.md. Nothing here does anything. */

import type { Refusal } from '../protocol/gate.ts'
import type { PeerReport } from '../protocol/facts.ts'
import type { Quote } from '../quote.ts'
import type { HostId, ReleaseRequest, Share } from '../types.ts'

/** The asking side says one of these, and gets its {@link Answer}, or `failed`. */
export type Message =
  /** What do you know of that host? The answer has the peer's own uptime and its age of the host's lease. */
  | { readonly kind: 'observe'; readonly about: HostId }
  /** Give me my share. Answered late: the witness observes others first. */
  | { readonly kind: 'ask'; readonly request: ReleaseRequest }
  /**
   * I am healthy and released. `proof` is ECDSA by the lease key of `epoch` over the heartbeat statement and this channel's
   * exporter: only a host that was released has that key.
   */
  | {
      readonly kind: 'heartbeat'
      readonly epoch: number
      readonly auditHead: Uint8Array
      readonly auditLength: number
      readonly proof: Uint8Array
    }
  /**
   * Keep this share of my new secret; `leaseKey` is the point by which heartbeats of the epoch prove themselves. `succession`
   * leads from a lease key that the witness may know to that one, oldest first, at most 64 links; empty with a first epoch.
   */
  | {
      readonly kind: 'prepare'
      readonly share: Share
      readonly leaseKey: Uint8Array
      readonly succession: readonly Successor[]
    }
  | { readonly kind: 'commit'; readonly epoch: number }
  /** A signed plan, as its file's bytes; taken when it is newer and signed by enough operators of the plan before it. */
  | { readonly kind: 'plan'; readonly signed: Uint8Array }
  /** Do you have the same approvals of this version? Whoever has others pushes its plan; the answer has the peer's own. */
  | { readonly kind: 'approvals'; readonly planVersion: number; readonly digest: Uint8Array }
  /** Which lease keys of that host do you know? A witness that knows none asks so before it takes a first share. */
  | { readonly kind: 'vouch'; readonly about: HostId }
  /** A statement of operators: a revocation, or a lease that counts anew. */
  | { readonly kind: 'statement'; readonly signed: Uint8Array }
  /** How do you stand? For the board. */
  | { readonly kind: 'status' }
  /** My image just came up; its credentials count when you have seen that it is the one. */
  | { readonly kind: 'loaded'; readonly imageDigest: Uint8Array; readonly quote: Quote }
  /** A part of credentials and image keys for you; `statement` is that of the operators who permit it. Rules: spec/agent.md §11. */
  | {
      readonly kind: 'deliver'
      readonly statement: Uint8Array
      readonly part: number
      readonly parts: number
      readonly bytes: Uint8Array
    }

/** A lease key vouches for the one after it, so that nobody who was not released hands out shares. Rules: spec/agent.md §5. */
export interface Successor {
  /** Whose lease key signs, and the one that it names. */
  readonly after: number
  readonly epoch: number
  /** Uncompressed point of P-256, 65 bytes. */
  readonly leaseKey: Uint8Array
  /** ECDSA with SHA-256, r and s, 64 bytes. */
  readonly signature: Uint8Array
}

export interface VouchedKey {
  readonly epoch: number
  /** Uncompressed point of P-256, 65 bytes. */
  readonly leaseKey: Uint8Array
}

export type Answer =
  | { readonly kind: 'observed'; readonly report: PeerReport; readonly planVersion: number }
  /** `release` quotes the release statement: what the witness's audit log has, and the asking host's. */
  | { readonly kind: 'share'; readonly share: Share; readonly release: Quote }
  | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] }
  /** The witness's quote over the heartbeat statement: it saw this audit head at this moment. */
  | { readonly kind: 'beaten'; readonly countersign: Quote }
  | { readonly kind: 'prepared'; readonly epoch: number }
  | { readonly kind: 'committed'; readonly epoch: number }
  | { readonly kind: 'taken'; readonly planVersion: number }
  | { readonly kind: 'approvals'; readonly planVersion: number; readonly digest: Uint8Array }
  /** Lease keys of committed epochs; `ak` is whose they are, absent with none. */
  | { readonly kind: 'vouched'; readonly ak?: string | undefined; readonly keys: readonly VouchedKey[] }
  | { readonly kind: 'status'; readonly status: HostStatus }
  | { readonly kind: 'loaded'; readonly confirm: Quote }
  /** Of a delivery: the part that is wanted; their number when all came and the host is being provisioned. */
  | { readonly kind: 'delivering'; readonly next: number }
  | { readonly kind: 'delivered'; readonly epoch: number }
  /** The message means nothing to this host now; `code` is closed, `text` is for people. */
  | { readonly kind: 'failed'; readonly code: FailedCode; readonly text: string }

export type FailedCode = 'MALFORMED' | 'NOT_NOW' | 'NOT_FOR_YOU' | 'PROOF' | 'STATEMENT' | 'PLAN'

/** How a host stands, as it says itself. */
export interface HostStatus {
  readonly host: HostId
  readonly planVersion: number
  readonly state: HostPhase
  /** Where it waits for its release: the verdict's name, undefined before the first. */
  readonly verdict: string | undefined
  /** Own shares that came, and how many are needed. */
  readonly sharesHeld: number
  readonly sharesNeeded: number
  /** Witnesses that refused or stayed silent, each with the rule or `unreachable`; at most 64. */
  readonly missing: readonly { readonly witness: HostId; readonly why: string }[]
  /** At most 256, those that are not ready first. */
  readonly services: readonly ServiceStatus[]
  readonly epoch: number
  /** Milliseconds since this agent started. */
  readonly uptimeMs: number
  readonly auditLength: number
  readonly auditHead: Uint8Array
  /** Not noise: what a person should look at, newest first, at most 20. */
  readonly alarms: readonly { readonly wallMs: number; readonly text: string }[]
}

/** `serving`: released (or not in need of it) and healthy. `broken`: something failed that is no refusal. */
export type HostPhase = 'starting' | 'asking' | 'holding' | 'locked' | 'refused' | 'loading' | 'serving' | 'broken'

export interface ServiceStatus {
  readonly name: string
  readonly state: 'waiting' | 'starting' | 'ready' | 'failed' | 'stopped'
  /** Since when, by the wall clock of the host. */
  readonly sinceWallMs: number
}
