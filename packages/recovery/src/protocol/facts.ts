/** What hosts see of each other, and how it is put into words: spec/recovery.md §4. */
import type { FaultDomain, HostId, PriorShutdown } from '../types.ts'
import type { LeaseAge } from './lease.ts'

/** What a peer says of itself after it attested. */
export interface PeerReport {
  /** Since its start, in milliseconds. */
  readonly uptimeMs: number
  /** How it went down before that start. */
  readonly lastShutdown: 'clean' | 'abnormal'
  /** Its age of the lease of the host in question; undefined where it signed none. */
  readonly lease: LeaseAge | undefined
}

/** What came of asking a peer once. */
export type Observation =
  | { readonly kind: 'attested'; readonly report: PeerReport; readonly roundTripMs: number }
  | { readonly kind: 'unattested' }
  | { readonly kind: 'unreachable' }

export const STATUSES = ['up', 'abnormal', 'clean', 'unattested', 'unreachable'] as const
/** §4.2 */
export type PeerStatus = (typeof STATUSES)[number]

/** A peer that has run for longer than this is `up` where nobody knows when the outage began, in milliseconds. */
const UP_AFTER_MS = 3_600_000

/** @param outageMs - How long ago the host in question was last heard of; undefined when nobody knows. */
export function statusOf(observation: Observation, outageMs: number | undefined): PeerStatus {
  if (observation.kind !== 'attested') return observation.kind
  const { uptimeMs, lastShutdown } = observation.report
  return uptimeMs > (outageMs ?? UP_AFTER_MS) ? 'up' : lastShutdown
}

/** §4.1: clean by a signed marker that nothing contradicts. */
export function wasClean({ cleanMarker, orderly, kernelCrash }: PriorShutdown): boolean {
  return cleanMarker.value === true && cleanMarker.signed && orderly.value !== false && kernelCrash.value !== true
}

/** §6: how a host went down. `orderly`: its TPM was told, and there is no marker; `lost`: it was not told; `unknown`: no marker, and the TPM does not say. */
export type Shutdown = 'clean' | 'orderly' | 'lost' | 'unknown'

export function shutdownOf(prior: PriorShutdown): Shutdown {
  if (wasClean(prior)) return 'clean'
  const { orderly, kernelCrash } = prior
  if (orderly.value === false || kernelCrash.value === true) return 'lost'
  return orderly.value === true ? 'orderly' : 'unknown'
}

/** How near a peer is to a host: 0 its rack, 1 its room, 2 its zone, 3 and on the other zones, one number for each. */
export type Nearness = number

/** A host as others judge it: whom to ask about it, and where these stand. */
export interface HostView {
  readonly id: HostId
  readonly domain: FaultDomain
  readonly isActive: boolean
  /** The N witnesses, in the order of their shares; then the mates of its rack, which hold none. */
  readonly peers: readonly HostId[]
  readonly nearness: readonly Nearness[]
  /** N: how many of the peers are witnesses. */
  readonly witnesses: number
}

/** @param peers - The witnesses, then the mates, with their domains. */
export function nearnessOf(own: FaultDomain, peers: readonly FaultDomain[]): readonly Nearness[] {
  const others: string[] = []
  return peers.map(({ zone, room, rack }) => {
    if (rack === own.rack) return 0
    if (room === own.room) return 1
    if (zone === own.zone) return 2
    if (!others.includes(zone)) others.push(zone)
    return 3 + others.indexOf(zone)
  })
}
