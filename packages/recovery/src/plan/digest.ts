/** What of plans and shares is hashed: spec/recovery.md §3. */
import { ByteWriter, canonical, utf8, type Sha256 } from '@reprise/core'
import type { BreakGlass, HostId, Plan } from '../types.ts'

/** The plan as JSON: every field, defaults written out, null for what is not known yet, for JSON has no undefined. */
export function planJson(plan: Plan): object {
  const { roster, breakGlass, boots, approver } = plan
  return {
    ...plan,
    roster: {
      ...roster,
      hosts: roster.hosts.map((host) => {
        const { ak = null, approvals = null, hardware = null } = host
        return { ...host, ak, approvals, hardware }
      }),
    },
    breakGlass: breakGlassJson(breakGlass),
    boots: boots.map((boot) => ({ ...boot, hosts: boot.hosts ?? null })),
    approver: approver ?? null,
  }
}

export function breakGlassJson({ needed, keys }: BreakGlass): object {
  return { needed, keys: keys.map((key) => ({ ...key, escrow: key.escrow ?? null })) }
}

/** Two plans of one digest decide alike. */
export function planDigest(plan: Plan, sha256: Sha256): Uint8Array {
  const text = canonical(planJson(plan))
  return sha256(new ByteWriter().raw(utf8('reprise/recovery-plan/v1\0')).raw(utf8(text)).done())
}

export interface ShareName {
  readonly host: HostId
  readonly epoch: number
  readonly index: number
}

/** Of a share: whoever holds the plan can tell a right one from a wrong one, and learns nothing of it. */
export function shareDigest({ host, epoch, index }: ShareName, bytes: Uint8Array, sha256: Sha256): Uint8Array {
  const tuple = new ByteWriter().raw(utf8('reprise/share/v1\0')).sized(utf8(host))
  return sha256(tuple.u64(BigInt(epoch)).u64(BigInt(index)).sized(bytes).done())
}

/** A heartbeat on one channel, as both sides know it: spec/operators.md §6.2. */
export interface HeartbeatFacts {
  readonly host: HostId
  readonly witness: HostId
  /** Of the host's current secret. */
  readonly epoch: number
  /** Digest of the last entry of its audit log, and how many there are. */
  readonly auditHead: Uint8Array
  readonly auditLength: number
  /** Of the channel, 32 bytes. */
  readonly exporter: Uint8Array
}

/** What the host proves by its lease key, and its witness quotes. */
export function heartbeatStatement(facts: HeartbeatFacts, sha256: Sha256): Uint8Array {
  const { host, witness, epoch, auditHead, auditLength, exporter } = facts
  const tuple = new ByteWriter().raw(utf8('reprise/heartbeat/v1\0')).sized(utf8(host)).sized(utf8(witness))
  return sha256(tuple.u64(BigInt(epoch)).sized(auditHead).u64(BigInt(auditLength)).sized(exporter).done())
}

export interface ReleaseFacts extends ShareName {
  readonly attempt: string
  /** Of the plan by which the witness decided. */
  readonly planDigest: Uint8Array
}

/** What a witness quotes with a share that it gives (spec/recovery.md §3). */
export function releaseStatement(facts: ReleaseFacts, sha256: Sha256): Uint8Array {
  const { host, epoch, index, attempt, planDigest } = facts
  const tuple = new ByteWriter().raw(utf8('reprise/release/v1\0')).sized(utf8(host))
  return sha256(tuple.u64(BigInt(epoch)).u64(BigInt(index)).sized(utf8(attempt)).sized(planDigest).done())
}
