/** What of plans and shares is hashed: spec/recovery.md §3. */
import { ByteWriter, canonical, utf8, type Sha256 } from '@reprise/core'
import type { HostId, Plan } from '../types.ts'

/** Over every field, defaults written out: two plans of one digest decide alike. */
export function planDigest(plan: Plan, sha256: Sha256): Uint8Array {
  const { roster, ...rest } = plan
  // An attestation key that is not known yet is null, for canonical JSON has no undefined.
  const hosts = roster.hosts.map((host) => ({ ...host, ak: host.ak ?? null }))
  const text = canonical({ ...rest, roster: { ...roster, hosts } })
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
