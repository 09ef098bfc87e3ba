/** What a witness keeps of its wards: between the file, and the durable part of its machine. Format: spec/agent.md §3.1. */

import type { Attested } from '../../channel/channel.ts'
import { type HeldShares, prepare } from '../../protocol/epochs.ts'
import type { Heartbeat, WitnessState } from '../../protocol/witness.ts'
import type { Fact, HostId, PriorShutdown } from '../../types.ts'
import { type KeptEpoch, ROUND_TRIPS_MAX, type SeenClock, type Ward } from '../state/witness-file.ts'

export type Wards = ReadonlyMap<HostId, Ward>

export function newWard(host: HostId, ak: string): Ward {
  return { host, ak, heartbeat: null, seen: null, committed: 0, shares: [], roundTripsMs: [] }
}

/** The machine's durable part. */
export function durableOf(
  wards: Wards,
  rest: { readonly rosterVersion: number; readonly revoked: ReadonlySet<HostId> },
): WitnessState['durable'] {
  const heartbeats = new Map<HostId, Heartbeat>()
  const shares = new Map<HostId, HeldShares>()
  for (const ward of wards.values()) {
    if (ward.heartbeat !== null) heartbeats.set(ward.host, ward.heartbeat)
    if (ward.committed > 0 || ward.shares.length > 0) shares.set(ward.host, heldOf(ward))
  }
  return { ...rest, heartbeats, shares }
}

/** The wards after a step: what the machine dropped is dropped. */
export function withDurable(wards: Wards, { heartbeats, shares }: WitnessState['durable']): Wards {
  return new Map(
    [...wards].map(([host, ward]) => {
      const held = shares.get(host)
      const kept = ward.shares.filter(({ epoch }) => held?.epochs.includes(epoch) ?? false)
      const after = { heartbeat: heartbeats.get(host) ?? null, committed: held?.committed ?? 0, shares: kept }
      return [host, { ...ward, ...after }]
    }),
  )
}

/** What the machine has of its shares. */
export function heldOf({ committed, shares }: Ward): HeldShares {
  return { committed, epochs: shares.map(({ epoch }) => epoch) }
}

/** With a prepared share, and without those that it takes the place of; the same ward when it came too late, or twice. */
export function withShare(ward: Ward, share: KeptEpoch): Ward {
  const before = heldOf(ward)
  const held = prepare(before, share.epoch)
  if (held === before) return ward
  return { ...ward, shares: [...ward.shares, share].filter(({ epoch }) => held.epochs.includes(epoch)) }
}

/** Lease keys by which it can tell that others follow: those of epochs that count. */
export function knownKeys({ shares, committed }: Ward): readonly KeptEpoch[] {
  return shares.filter(({ epoch }) => epoch <= committed)
}

export function seenOf({ clockMs, resetCount, restartCount }: Attested): SeenClock {
  return { clockMs, resetCount, restartCount }
}

export function withRoundTrip({ roundTripsMs }: Ward, newestMs: number): readonly number[] {
  return [newestMs, ...roundTripsMs].slice(0, ROUND_TRIPS_MAX)
}

/** The middle of what was measured while the host was healthy; 0 when nothing was. */
export function baselineMs(ward: Ward | undefined): number {
  const sorted = (ward?.roundTripsMs ?? []).toSorted((a, b) => a - b)
  return sorted.at(sorted.length >> 1) ?? 0
}

/**
 * What counts in the gate comes from the quote of the channel and from the last heartbeat, whatever the host says of itself.
 * Rules: spec/agent.md §6.
 */
export function priorSeen(said: PriorShutdown, from: Attested, seen: SeenClock | null | undefined): PriorShutdown {
  const signed = (value: number | undefined): Fact<number> => ({ value, source: 'tpm', signed: true })
  const resets = seen ? from.resetCount - seen.resetCount : -1
  if (!seen || resets < 0) {
    const unknown = signed(undefined)
    return { ...said, resetIncrease: unknown, restartIncrease: unknown, poweredMs: unknown }
  }
  const restarts = resets === 0 ? from.restartCount - seen.restartCount : from.restartCount
  const poweredMs = from.clockMs - seen.clockMs
  return {
    ...said,
    resetIncrease: signed(resets),
    restartIncrease: signed(restarts < 0 ? undefined : restarts),
    poweredMs: signed(poweredMs < 0 ? undefined : poweredMs),
  }
}
