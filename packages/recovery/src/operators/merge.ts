/** What hosts offered, put into the plan that operators sign. Rules: spec/operators.md §3.1. */
import { equal, fromHex, hex } from '@reprise/core'
import { RecoveryError } from '../error.ts'
import { approvedBoots, RESETTABLE_PCRS } from '../plan/boots.ts'
import { sha256 } from '../sealing/words.ts'
import type { Plan, PlanBoot, PlanRegister, RosterHost } from '../types.ts'
import type { CheckedOffer, Offer } from './offer.ts'

const NAME_HEX = 8

/**
 * What people left out of a plan, from the plan before: attestation keys and numbers of approvals of hosts that stay, and
 * all boots when it names none.
 */
export function carryOver(plan: Plan, previous: Plan): Plan {
  const known = new Map(previous.roster.hosts.map((host) => [host.id, host]))
  const hosts = plan.roster.hosts.map((host): RosterHost => {
    const before = known.get(host.id)
    return { ...host, ak: host.ak ?? before?.ak, approvals: host.approvals ?? before?.approvals }
  })
  const ids = new Set(hosts.map(({ id }) => id))
  const stays = ({ hosts: of, ...boot }: PlanBoot): readonly PlanBoot[] => {
    const left = of?.filter((host) => ids.has(host))
    return left?.length === 0 ? [] : [{ ...boot, hosts: left }]
  }
  const boots = plan.boots.length > 0 ? plan.boots : previous.boots.flatMap(stays)
  return { ...plan, roster: { ...plan.roster, hosts }, boots }
}

/**
 * @param plan - As people wrote it; what it says of a host's key or boots is not changed, and must agree.
 * @param previous - Fills in what neither plan nor offers say.
 * @throws {@link RecoveryError} `OFFER` naming the host and what does not fit.
 */
export function mergeOffers(plan: Plan, offers: readonly CheckedOffer[], previous?: Plan): Plan {
  const by = new Map<string, CheckedOffer>()
  for (const checked of offers) {
    const { fleet, host } = checked.offer
    if (fleet !== plan.fleet) throw misfit(host, `is of the fleet ${fleet}, and the plan of ${plan.fleet}`)
    if (!plan.roster.hosts.some(({ id }) => id === host)) throw misfit(host, 'is of no host of the plan')
    if (by.has(host)) throw misfit(host, 'is there twice')
    by.set(host, checked)
  }
  const hosts = plan.roster.hosts.map((host) => withOffer(host, by.get(host.id)))
  const offered = { ...plan, roster: { ...plan.roster, hosts } }
  const merged = previous === undefined ? offered : carryOver(offered, previous)
  const isGiven = plan.boots.length > 0
  return {
    ...merged,
    boots: [...by.values()].reduce((boots, { offer }) => withBoot(boots, offer, merged, isGiven), merged.boots),
  }
}

function withOffer(host: RosterHost, checked: CheckedOffer | undefined): RosterHost {
  if (checked === undefined) return host
  if (host.ak !== undefined && host.ak !== checked.ak)
    throw misfit(host.id, `has the attestation key ${checked.ak}, and the plan ${host.ak}`)
  const approvals = Number(checked.offer.approvals)
  if (host.approvals !== undefined && host.approvals < approvals)
    throw misfit(host.id, `says that its counter of approvals is at ${approvals}, and the plan says ${host.approvals}`)
  return { ...host, ak: checked.ak, approvals: host.approvals ?? approvals }
}

function withBoot(boots: readonly PlanBoot[], offer: Offer, { cap }: Plan, isGiven: boolean): readonly PlanBoot[] {
  const { host, registers } = offer
  const value = (pcr: number): Uint8Array | undefined => registers.find((each) => each.pcr === pcr)?.value
  const capValue = value(cap.pcr)
  if (capValue !== undefined && !equal(capValue, fromHex(cap.value)))
    throw misfit(host, `has another value in the cap register ${cap.pcr} than the plan: ${hex(capValue)}`)
  const isApproved = approvedBoots({ boots }, host).some((boot) =>
    boot.registers.every(({ pcr, value: expected }) => {
      const found = value(pcr)
      return found !== undefined && equal(found, expected)
    }),
  )
  if (isApproved) return boots
  if (isGiven) throw misfit(host, 'has registers that no boot of the plan approves for it')
  const own: readonly PlanRegister[] = registers
    .filter(({ pcr }) => pcr !== cap.pcr && !RESETTABLE_PCRS.includes(pcr))
    .map(({ pcr, value: found }) => ({ pcr, value: hex(found) }))
  if (own.length === 0) throw misfit(host, 'has no registers by which a boot could be approved')
  const name = bootName(own)
  const before = boots.find((boot) => boot.name === name)
  if (before === undefined) return [...boots, { name, registers: own, hosts: [host] }]
  return boots.map((boot) => (boot === before ? { ...boot, hosts: [...(boot.hosts ?? []), host].toSorted() } : boot))
}

/** Boots that nobody named are called by what they are. */
export function bootName(registers: readonly PlanRegister[]): string {
  const text = registers.map(({ pcr, value }) => `${pcr}:${value}`).join(' ')
  return `boot-${hex(sha256(new TextEncoder().encode(text))).slice(0, NAME_HEX)}`
}

function misfit(host: string, what: string): RecoveryError {
  return new RecoveryError('OFFER', {
    message: `The offer of ${host} does not fit the plan: it ${what}.`,
    hint: 'take the offer out of the folder if it is old, correct the plan, or leave out of the plan what offers say',
    data: { host },
  })
}
