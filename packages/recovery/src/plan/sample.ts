/** Even fleets: what is simulated when no plan is given, and what tests begin with. */
import type { Plan, RecoveryPolicy, RosterHost } from '../types.ts'
import { CAP_DEFAULT } from './boots.ts'

export interface FleetShape {
  readonly zones: number
  readonly roomsPerZone: number
  readonly racksPerRoom: number
  readonly hostsPerRack: number
  /** Neighbouring racks of a room on one PDU. */
  readonly racksPerPdu: number
}

/** 10,240 hosts: 4 zones of 4 rooms of 16 racks of 40 hosts, two racks on a PDU. */
export const SHAPE: FleetShape = { zones: 4, roomsPerZone: 4, racksPerRoom: 16, hostsPerRack: 40, racksPerPdu: 2 }

export const POLICY: RecoveryPolicy = {
  witnesses: 15,
  threshold: 5,
  leaseMs: 24 * 3_600_000,
  resetBudget: 6,
  roundTripMarginMs: 5,
  perPdu: 1,
  perRoom: 2,
  ownZone: 7,
  theftOdds: 0.02,
  deadClocks: 'wall',
}

export function evenPlan(shape: FleetShape, policy: Partial<RecoveryPolicy> = {}): Plan {
  const hosts: RosterHost[] = []
  for (let z = 0; z < shape.zones; z++)
    for (let m = 0; m < shape.roomsPerZone; m++)
      for (let k = 0; k < shape.racksPerRoom; k++)
        for (let h = 0; h < shape.hostsPerRack; h++) hosts.push(hostAt({ z, m, k, h, shape, count: hosts.length }))
  return {
    fleet: 'even',
    mode: 'quorum',
    roster: { version: 1, hosts },
    policy: { ...POLICY, ...policy },
    longestOutageMs: 8 * 3_600_000,
    services: [],
    breakGlass: { needed: 0, keys: [] },
    boots: [],
    cap: CAP_DEFAULT,
    approver: undefined,
    imageSigners: [],
  }
}

/** {@link SHAPE} with so many hosts, at least one to a rack. */
export function evenFleet(hosts: number): Plan {
  const plan = evenPlan({ ...SHAPE, hostsPerRack: Math.ceil(hosts / RACKS) })
  const perRack = Math.ceil(hosts / RACKS)
  // So many racks have one host less than the others.
  const shorter = perRack * RACKS - hosts
  const isKept = (_: RosterHost, i: number): boolean => i % perRack < perRack - 1 || Math.floor(i / perRack) >= shorter
  return { ...plan, roster: { version: 1, hosts: plan.roster.hosts.filter(isKept) } }
}

const RACKS = SHAPE.zones * SHAPE.roomsPerZone * SHAPE.racksPerRoom

interface Place {
  readonly z: number
  readonly m: number
  readonly k: number
  readonly h: number
  readonly shape: FleetShape
  readonly count: number
}

function hostAt({ z, m, k, h, shape, count }: Place): RosterHost {
  const room = `z${z}-m${m}`
  return {
    id: `${room}-k${k}-h${h}`,
    address: `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}:8471`,
    domain: { zone: `z${z}`, room, rack: `${room}-k${k}`, pdu: `${room}-p${Math.floor(k / shape.racksPerPdu)}` },
    ak: undefined,
    state: 'active',
    approvals: undefined,
    hardware: undefined,
  }
}
