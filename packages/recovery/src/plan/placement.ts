/**
 * Which hosts hold the shares of which: outside the own rack, few to a PDU and a room, spread over zones, the same load
 * on all. A function of the plan alone, so every host finds the same. Rules: spec/recovery.md §2.6.
 */
import { assert } from '@reprise/core'
import { RecoveryError } from '../error.ts'
import type { Plan, RecoveryPolicy, RosterHost } from '../types.ts'
import type { Problem } from './fields.ts'

/** Rack mates that are looked at besides the witnesses: they tell a dead rack from a dead host. */
export const RACK_MATES = 3

export interface Placement {
  /** Active hosts, sorted by name; the numbers below are positions in it. */
  readonly hosts: readonly RosterHost[]
  /** For each host its N witnesses; empty lists in a plan that is tpm-only. */
  readonly witnesses: readonly Int32Array[]
  /** For each host up to {@link RACK_MATES} of its rack. */
  readonly rackMates: readonly Int32Array[]
}

/** @throws RecoveryError `PLACEMENT` for a plan that was not checked. */
export function placeWitnesses(plan: Plan): Placement {
  const found = place(plan)
  if (found.problem !== undefined)
    throw new RecoveryError('PLACEMENT', { message: found.problem.what, hint: found.problem.hint })
  return found.placement
}

export function placementProblems(plan: Plan): readonly Problem[] {
  const { problem } = place(plan)
  return problem === undefined ? [] : [problem]
}

type Placed =
  | { readonly placement: Placement; readonly problem?: undefined }
  | { readonly placement?: undefined; readonly problem: Problem }

interface Pdu {
  readonly name: string
  readonly hosts: number[]
  /** Whose turn it is. */
  next: number
  load: number
}

interface Room {
  readonly name: string
  readonly zone: string
  readonly pdus: Pdu[]
  hosts: number
  load: number
}

function place({ roster, policy, mode }: Plan): Placed {
  const hosts = roster.hosts.filter(({ state }) => state === 'active').toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const rackMates = matesOf(hosts)
  if (mode === 'tpm-only') return { placement: { hosts, witnesses: hosts.map(() => new Int32Array(0)), rackMates } }
  const zones = zonesOf(hosts)
  const names = [...zones.keys()]
  const witnesses: Int32Array[] = []
  for (const [i, host] of hosts.entries()) {
    const chosen = choose({ host, turn: i, hosts, zones, names, policy })
    if (chosen.length < policy.witnesses) return { problem: tooFew(host, chosen.length, hosts, policy) }
    witnesses.push(Int32Array.from(chosen))
  }
  return { placement: { hosts, witnesses, rackMates } }
}

function zonesOf(hosts: readonly RosterHost[]): Map<string, Room[]> {
  const zones = new Map<string, Room[]>()
  const rooms = new Map<string, Room>()
  const pdus = new Map<string, Pdu>()
  for (const [i, { domain }] of hosts.entries()) {
    let room = rooms.get(domain.room)
    if (room === undefined) {
      room = { name: domain.room, zone: domain.zone, pdus: [], hosts: 0, load: 0 }
      rooms.set(domain.room, room)
      zones.set(domain.zone, [...(zones.get(domain.zone) ?? []), room])
    }
    let pdu = pdus.get(domain.pdu)
    if (pdu === undefined) {
      pdu = { name: domain.pdu, hosts: [], next: 0, load: 0 }
      pdus.set(domain.pdu, pdu)
      room.pdus.push(pdu)
    }
    pdu.hosts.push(i)
    room.hosts += 1
  }
  return zones
}

interface Choosing {
  readonly host: RosterHost
  /** Position of the host: zones take turns in getting the odd witness. */
  readonly turn: number
  readonly hosts: readonly RosterHost[]
  readonly zones: ReadonlyMap<string, readonly Room[]>
  readonly names: readonly string[]
  readonly policy: RecoveryPolicy
}

/** Fills the own zone up to its cap, the others evenly; what a zone cannot give, others do. */
function choose({ host, turn, hosts, zones, names, policy }: Choosing): readonly number[] {
  const chosen: number[] = []
  const perRoom = new Map<string, number>()
  // The host itself counts on its PDU: what kills that one shall not take a witness too.
  const perPdu = new Map<string, number>([[host.domain.pdu, 1]])
  const pick = (zone: string): boolean => {
    const room = emptiest(zones.get(zone) ?? [], perRoom, policy, (pdu) => fits(pdu))
    const pdu = room === undefined ? undefined : least(room.pdus.filter(fits))
    if (room === undefined || pdu === undefined) return false
    const at = candidate(pdu)
    assert(at !== undefined, 'a PDU that fits has a host that can be taken')
    chosen.push(at)
    pdu.load += 1
    room.load += 1
    perRoom.set(room.name, (perRoom.get(room.name) ?? 0) + 1)
    perPdu.set(pdu.name, (perPdu.get(pdu.name) ?? 0) + 1)
    return true
  }
  const candidate = (pdu: Pdu): number | undefined => {
    for (let i = 0; i < pdu.hosts.length; i++) {
      const at = pdu.hosts[(pdu.next + i) % pdu.hosts.length]
      if (hosts[at].domain.rack === host.domain.rack || chosen.includes(at)) continue
      pdu.next = (pdu.next + i + 1) % pdu.hosts.length
      return at
    }
    return undefined
  }
  const fits = (pdu: Pdu): boolean =>
    (perPdu.get(pdu.name) ?? 0) < policy.perPdu &&
    pdu.hosts.some((at) => hosts[at].domain.rack !== host.domain.rack && !chosen.includes(at))
  let own = 0
  while (own < policy.ownZone && own < policy.witnesses && pick(host.domain.zone)) own += 1
  const others = names.filter((name) => name !== host.domain.zone)
  let missed = 0
  for (let i = turn; chosen.length < policy.witnesses && missed < others.length; i++)
    missed = pick(others[i % others.length]) ? 0 : missed + 1
  return chosen
}

/** The room with the fewest witnesses of this host, then with the least load for its size. */
function emptiest(
  rooms: readonly Room[],
  taken: ReadonlyMap<string, number>,
  { perRoom }: RecoveryPolicy,
  fits: (pdu: Pdu) => boolean,
): Room | undefined {
  let best: Room | undefined
  let bestTaken = perRoom
  for (const room of rooms) {
    const used = taken.get(room.name) ?? 0
    if (used > bestTaken || used >= perRoom || !room.pdus.some(fits)) continue
    if (best === undefined || used < bestTaken || room.load / room.hosts < best.load / best.hosts) {
      best = room
      bestTaken = used
    }
  }
  return best
}

function least(pdus: readonly Pdu[]): Pdu | undefined {
  let best = pdus.at(0)
  for (const pdu of pdus)
    if (best !== undefined && pdu.load * best.hosts.length < best.load * pdu.hosts.length) best = pdu
  return best
}

function matesOf(hosts: readonly RosterHost[]): Int32Array[] {
  const racks = new Map<string, number[]>()
  for (const [i, { domain }] of hosts.entries()) {
    const rack = racks.get(domain.rack)
    if (rack === undefined) racks.set(domain.rack, [i])
    else rack.push(i)
  }
  const mates: Int32Array[] = []
  for (const rack of racks.values())
    for (const [place, i] of rack.entries()) {
      const count = Math.min(RACK_MATES, rack.length - 1)
      mates[i] = Int32Array.from({ length: count }, (_, j) => rack[(place + j + 1) % rack.length])
    }
  return mates
}

/** Says which rule is the one that leaves too few, and what would give enough. */
function tooFew(
  host: RosterHost,
  found: number,
  hosts: readonly RosterHost[],
  { witnesses, threshold, perPdu, perRoom, ownZone }: RecoveryPolicy,
): Problem {
  const path = ['policy', 'witnesses'] as const
  const outside = hosts.filter(({ domain }) => domain.rack !== host.domain.rack)
  const fewer = found > threshold ? `have ${found} witnesses instead of ${witnesses}, ` : ''
  if (outside.length < witnesses)
    return {
      code: 'WITNESSES',
      path,
      what: `${host.id} needs ${witnesses} witnesses outside its rack ${host.domain.rack}, and there are ${outside.length} hosts`,
      hint: `${fewer}add hosts in other racks, or use mode: tpm-only`,
    }
  const count = (of: (host: RosterHost) => string): number => new Set(outside.map(of)).size
  const rooms = count(({ domain }) => domain.room)
  const pdus = count(({ domain }) => domain.pdu)
  return {
    code: 'CAPS',
    path,
    what: `${host.id} can have ${found} of its ${witnesses} witnesses: at most ${perPdu} to a PDU (its own counts it), ${perRoom} to a room, ${ownZone} in its zone, and outside its rack there are ${pdus} PDUs in ${rooms} rooms`,
    hint: `${fewer}or raise perPdu, perRoom or ownZone; each makes a smaller theft enough`,
  }
}
