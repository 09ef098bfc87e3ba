/** What an agent proves to others by its lease key. Format: spec/agent.md §5. */

import { hex, utf8 } from '@reprise/core'
import type { Successor } from '../channel/messages.ts'
import { verifierOf } from '../operators/signatures.ts'
import { leaseKey, type PolicySigner } from '../sealing/keys.ts'
import type { Secret } from '../sealing/secret.ts'
import { sha256, tagged } from '../sealing/words.ts'
import type { HostId } from '../types.ts'

/** What stands for an image that came up. */
export function loadedStatement(host: HostId, imageDigest: Uint8Array): Uint8Array {
  return sha256(tagged('reprise/loaded/v1').sized(utf8(host)).sized(imageDigest).done())
}

function successionStatement(host: HostId, { after, epoch, leaseKey }: Omit<Successor, 'signature'>): Uint8Array {
  const link = tagged('reprise/succession/v1').sized(utf8(host)).u64(BigInt(after)).u64(BigInt(epoch))
  return sha256(link.sized(leaseKey).done())
}

/** The lease key as others know it: an uncompressed point. */
export function leasePoint({ area }: Pick<PolicySigner, 'area'>): Uint8Array {
  const { unique } = area as { readonly unique: { readonly x: Uint8Array; readonly y: Uint8Array } }
  return Uint8Array.of(4, ...unique.x, ...unique.y)
}

/** @returns r and s, 64 bytes. */
export function proveByLease(key: PolicySigner, statement: Uint8Array): Uint8Array {
  return key.sign(statement).signature
}

/** Whether the holder of a lease key signed that. */
export function provesByLease(point: Uint8Array, statement: Uint8Array, signature: Uint8Array): boolean {
  return verifierOf(hex(point))(statement, signature)
}

/** The link from one generation to the next. */
export function signSuccession(
  host: HostId,
  before: { readonly epoch: number; readonly root: Secret },
  next: { readonly epoch: number; readonly root: Secret },
): Successor {
  const link = { after: before.epoch, epoch: next.epoch, leaseKey: leasePoint(leaseKey(next.root)) }
  return { ...link, signature: proveByLease(leaseKey(before.root), successionStatement(host, link)) }
}

/** A lease key that is known, or that was led to. */
export interface KnownKey {
  readonly epoch: number
  readonly leaseKey: Uint8Array
}

/**
 * Whether links lead from one of the known keys to `wanted`.
 *
 * @param links - In any order; what does not hold is left out.
 */
export function isLedTo(
  host: HostId,
  wanted: KnownKey,
  { known, links }: { readonly known: readonly KnownKey[]; readonly links: readonly Successor[] },
): boolean {
  const led = new Map(known.map(({ epoch, leaseKey }) => [epoch, leaseKey]))
  for (const link of links.toSorted((a, b) => a.epoch - b.epoch)) {
    const before = led.get(link.after)
    if (before === undefined || link.after >= link.epoch || led.has(link.epoch)) continue
    if (provesByLease(before, successionStatement(host, link), link.signature)) led.set(link.epoch, link.leaseKey)
  }
  const found = led.get(wanted.epoch)
  return found !== undefined && Buffer.compare(found, wanted.leaseKey) === 0
}
