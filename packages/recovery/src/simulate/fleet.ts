/** A plan as the simulation walks through it: hosts by number, with their views and fault domains. */
import { placeWitnesses } from '../plan/placement.ts'
import { type HostView, nearnessOf } from '../protocol/facts.ts'
import type { FaultDomain, HostId, Plan } from '../types.ts'

export type Level = keyof FaultDomain

export interface Fleet {
  readonly plan: Plan
  readonly views: readonly HostView[]
  readonly numbers: ReadonlyMap<HostId, number>
  /** For each kind of domain its names, with the hosts in each. */
  readonly domains: Readonly<Record<Level, ReadonlyMap<string, readonly number[]>>>
  /** For each host, whose witness it is. */
  readonly wards: readonly (readonly number[])[]
  /** For each host its witnesses and mates, as numbers. */
  readonly peers: readonly Int32Array[]
}

export function fleetOf(plan: Plan): Fleet {
  const { hosts, witnesses, rackMates } = placeWitnesses(plan)
  const peers = hosts.map((_, i) => Int32Array.from([...witnesses[i], ...rackMates[i]]))
  const wards: number[][] = hosts.map(() => [])
  for (const [i, list] of witnesses.entries()) for (const witness of list) wards[witness].push(i)
  const views = hosts.map(({ id, domain }, i): HostView => {
    const of = [...peers[i]].map((peer) => hosts[peer])
    return {
      id,
      domain,
      isActive: true,
      peers: of.map((peer) => peer.id),
      nearness: nearnessOf(
        domain,
        of.map((peer) => peer.domain),
      ),
      witnesses: witnesses[i].length,
    }
  })
  const byName = (level: Level): Map<string, number[]> => {
    const names = new Map<string, number[]>()
    for (const [i, { domain }] of hosts.entries()) {
      const list = names.get(domain[level])
      if (list === undefined) names.set(domain[level], [i])
      else list.push(i)
    }
    return names
  }
  const domains = { zone: byName('zone'), room: byName('room'), rack: byName('rack'), pdu: byName('pdu') }
  return { plan, views, numbers: new Map(hosts.map(({ id }, i) => [id, i])), domains, wards, peers }
}
