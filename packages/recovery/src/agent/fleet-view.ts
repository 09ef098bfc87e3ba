/** The plan as one host goes by it: who stands where, whose share it keeps, who keeps its own. */

import { hex } from '@reprise/core'
import { sha256 } from '../sealing/words.ts'
import type { PlanView } from '../channel/plan-view.ts'
import { approvalsDigest, keepApprovals, type SignedPlan } from '../operators/index.ts'
import { registerValue } from '../plan/boots.ts'
import type { HostView } from '../protocol/facts.ts'
import { fleetOf } from '../simulate/fleet.ts'
import type { HostId, Plan, RosterHost } from '../types.ts'
import { RecoveryError } from '../error.ts'

export interface FleetView {
  readonly plan: Plan
  readonly digest: Uint8Array
  readonly approvals: SignedPlan['approvals']
  /** What of them holds; looked at when it is first asked for, some 60 µs for each. */
  readonly held: () => HeldApprovals
  /** The file as operators signed it. */
  readonly signed: Uint8Array
  /** Undefined for a name that no roster has. */
  readonly view: (host: HostId) => HostView | undefined
  readonly hostNamed: (host: HostId) => RosterHost | undefined
  /** This host. */
  readonly own: HostView
  /** The N witnesses of this host, in the order of their shares. */
  readonly witnesses: readonly HostId[]
  readonly wards: ReadonlySet<HostId>
  /** What channels need of it. */
  readonly seen: PlanView
}

export interface HeldApprovals {
  readonly plan: SignedPlan
  readonly digest: Uint8Array
}

/** @throws {@link RecoveryError} `PLAN` when the host is not in it. */
export function fleetView(whole: SignedPlan, signed: Uint8Array, host: HostId): FleetView {
  const { plan, digest, approvals } = whole
  const hosts = new Map(plan.roster.hosts.map((each) => [each.id, each]))
  const { views, numbers, wards } = fleetOf(plan)
  const view = (of: HostId): HostView | undefined => {
    const number = numbers.get(of)
    if (number !== undefined) return views[number]
    const expunged = hosts.get(of)
    return expunged && { id: of, domain: expunged.domain, isActive: false, peers: [], nearness: [], witnesses: 0 }
  }
  const own = view(host)
  if (own === undefined)
    throw new RecoveryError('PLAN', {
      message: `Version ${plan.roster.version} of the plan of ${plan.fleet} has no host ${host}.`,
      hint: `Hosts are named as in the plan. This state folder is of ${host}.`,
    })
  const number = numbers.get(host)
  let held: HeldApprovals | undefined
  return {
    held: () => {
      if (held === undefined) {
        const kept = keepApprovals(whole, whole)
        held = { plan: kept, digest: approvalsDigest(kept.approvals) }
      }
      return held
    },
    plan,
    digest,
    approvals,
    signed,
    view,
    hostNamed: (of) => hosts.get(of),
    own,
    witnesses: own.peers.slice(0, own.witnesses),
    seen: planView({ plan, digest }),
    wards: new Set(number === undefined ? [] : wards[number].map((ward) => views[ward].id)),
  }
}

/** What a new generation must be made for: who keeps the shares, and who signs. */
export function generationBasis({ plan, witnesses }: FleetView): string {
  const { mode, policy, breakGlass } = plan
  const aks = witnesses.map((witness) => `${witness} ${plan.roster.hosts.find(({ id }) => id === witness)?.ak ?? ''}`)
  const keys = breakGlass.keys.map(({ publicKey }) => publicKey)
  return hex(sha256(new TextEncoder().encode([mode, policy.threshold, breakGlass.needed, ...keys, ...aks].join('\n'))))
}

/** What channels need of a plan. */
export function planView({ plan, digest }: Pick<SignedPlan, 'plan' | 'digest'>): PlanView {
  return {
    fleet: plan.fleet,
    digest,
    version: plan.roster.version,
    hosts: new Map(plan.roster.hosts.map(({ id, address, ak, state }) => [id, { address, ak, state }])),
    boots: plan.boots.map(({ name, registers, hosts }) => ({
      name,
      hosts,
      registers: new Map(registers.map(registerValue).map(({ pcr, value }) => [pcr, value])),
    })),
    cap: registerValue(plan.cap),
  }
}
