/** What the parts of a plan must be to each other (spec/recovery.md §2.5): each rule is an error of its own. */
import { HEARTBEAT_MS } from '../protocol/lease.ts'
import type { BreakGlass, Plan, RosterHost, Service } from '../types.ts'
import { BOOTS_PER_HOST_MAX, RESETTABLE_PCRS } from './boots.ts'
import { OPERATOR_WAYS_MAX } from './forms.ts'
import { note, type Fields, type Path, type Problem } from './fields.ts'
import { placementProblems } from './placement.ts'

export function checkPlan(plan: Plan): readonly Problem[] {
  const fields: Fields = { problems: [] }
  checkHosts(fields, plan.roster.hosts)
  checkServices(fields, plan.services)
  checkBreakGlass(fields, plan.breakGlass)
  checkBoots(fields, plan)
  if (plan.mode === 'quorum') checkPolicy(fields, plan)
  // Where to place witnesses is a question to a fleet that is right otherwise.
  if (plan.mode === 'quorum' && fields.problems.length === 0) fields.problems.push(...placementProblems(plan))
  return fields.problems
}

function checkHosts(fields: Fields, hosts: readonly RosterHost[]): void {
  const names = new Map<string, number>()
  const addresses = new Map<string, number>()
  const keys = new Map<string, number>()
  /** Rack, PDU or room, to what it stands in, and which host said so first. */
  const homes = new Map<string, { readonly home: string; readonly host: string }>()
  const unique = (of: Map<string, number>, value: string, index: number): string | undefined => {
    const first = of.get(value)
    if (first === undefined) of.set(value, index)
    return first === undefined ? undefined : hosts[first].id
  }
  for (const [i, { id, address, ak, domain }] of hosts.entries()) {
    if (unique(names, id, i) !== undefined)
      note(fields, 'HOST_DUPLICATE', ['hosts', i, 'name'], `there are two hosts called ${id}`, 'rename one of them')
    const sameAddress = unique(addresses, address, i)
    if (sameAddress !== undefined)
      note(
        fields,
        'ADDRESS_DUPLICATE',
        ['hosts', i, 'address'],
        `${id} has the address of ${sameAddress}, ${address}`,
        'give each host an address of its own',
      )
    const sameKey = ak === undefined ? undefined : unique(keys, ak, i)
    if (sameKey !== undefined)
      note(
        fields,
        'AK_DUPLICATE',
        ['hosts', i, 'ak'],
        `${id} has the attestation key of ${sameKey}`,
        'a key is in one TPM: enrol the host again',
      )
    const { zone, room, rack, pdu } = domain
    const inside = [
      ['rack', rack, 'room', room],
      ['pdu', pdu, 'room', room],
      ['room', room, 'zone', zone],
    ] as const
    for (const [kind, name, homeKind, home] of inside) {
      const before = homes.get(`${kind} ${name}`)
      if (before === undefined) homes.set(`${kind} ${name}`, { home, host: id })
      else if (before.home !== home)
        note(
          fields,
          'DOMAIN',
          ['hosts', i, kind],
          `${kind} ${name} is in ${homeKind} ${before.home} for ${before.host} and in ${homeKind} ${home} for ${id}`,
          `names are those of the whole fleet: rename one ${kind}, or correct its ${homeKind}`,
        )
    }
  }
}

function checkServices(fields: Fields, services: readonly Service[]): void {
  const known = new Map(services.map((service) => [service.name, service]))
  const seen = new Set<string>()
  for (const [i, { name, after, credentials }] of services.entries()) {
    if (seen.has(name))
      note(
        fields,
        'SERVICE_DUPLICATE',
        ['services', i, 'name'],
        `there are two services called ${name}`,
        'rename one of them',
      )
    seen.add(name)
    for (const [j, before] of after.entries())
      if (!known.has(before))
        note(
          fields,
          'SERVICE_UNKNOWN',
          ['services', i, 'after', j],
          `${name} comes after ${before}, which is no service`,
          `the services are ${[...known.keys()].join(', ')}`,
        )
    for (const [j, credential] of credentials.entries())
      if (credentials.indexOf(credential) !== j)
        note(
          fields,
          'CREDENTIAL_DUPLICATE',
          ['services', i, 'credentials', j],
          `${name} asks twice for the credential ${credential}`,
          'name it once',
        )
  }
  const cycle = findCycle(services)
  if (cycle !== undefined) {
    const at = services.findIndex(({ name }) => name === cycle[0])
    note(
      fields,
      'SERVICE_CYCLE',
      ['services', at, 'after'],
      `services wait for each other: ${cycle.join(' after ')}`,
      `take one of these out of the other's after; nothing could start them in an outage`,
    )
  }
}

/** The first circle of `after`, with its first service named again at the end. */
export function findCycle(services: readonly Service[]): readonly string[] | undefined {
  const known = new Map(services.map((service) => [service.name, service]))
  const done = new Set<string>()
  for (const { name: start } of services) {
    // By hand, for a chain of a thousand services is no reason to run out of stack.
    const trail: string[] = []
    const stack = [{ name: start, next: 0 }]
    while (stack.length > 0) {
      const top = stack.at(-1)
      if (top === undefined) break
      if (top.next === 0) {
        const at = trail.indexOf(top.name)
        if (at >= 0) return [...trail.slice(at), top.name]
        trail.push(top.name)
      }
      const after = done.has(top.name) ? [] : (known.get(top.name)?.after ?? [])
      if (top.next < after.length) {
        stack.push({ name: after[top.next], next: 0 })
        top.next += 1
      } else {
        done.add(top.name)
        trail.pop()
        stack.pop()
      }
    }
  }
  return undefined
}

/** How many choices of `needed` out of `count` there are. */
export function operatorWayCount(count: number, needed: number): number {
  let ways = 1
  for (let i = 0; i < needed; i++) ways = (ways * (count - i)) / (i + 1)
  return ways
}

function checkBreakGlass(fields: Fields, { needed, keys }: BreakGlass): void {
  if (needed > keys.length)
    note(
      fields,
      'BREAK_GLASS',
      ['breakGlass', 'needed'],
      `${needed} operators are needed and there are ${keys.length} keys`,
      'add keys, or need fewer',
    )
  const ways = operatorWayCount(keys.length, needed)
  if (ways > OPERATOR_WAYS_MAX)
    note(
      fields,
      'BREAK_GLASS',
      ['breakGlass', 'needed'],
      `${needed} of ${keys.length} operators are ${ways} ways to release a host`,
      `a TPM's policy takes ${OPERATOR_WAYS_MAX}: up to seven operators fit with any number needed`,
    )
  for (const [i, { escrow }] of keys.entries()) {
    const first = keys.findIndex((other) => escrow !== undefined && other.escrow === escrow)
    if (first >= 0 && first < i)
      note(
        fields,
        'BREAK_GLASS',
        ['breakGlass', 'keys', i, 'escrow'],
        `${keys[i].name} has the escrow key of ${keys[first].name}`,
        'each operator has one of their own; one who had two shares would count twice',
      )
  }
  for (const [i, { name, publicKey }] of keys.entries()) {
    const first = keys.findIndex((other) => other.name === name || other.publicKey === publicKey)
    if (first < i)
      note(
        fields,
        'BREAK_GLASS',
        ['breakGlass', 'keys', i],
        `${name} has the name or the key of ${keys[first].name}`,
        'each operator has a name and a key of their own; one who had two would count twice',
      )
  }
}

function checkBoots(fields: Fields, { boots, cap, roster }: Plan): void {
  if (RESETTABLE_PCRS.includes(cap.pcr))
    note(fields, 'BOOT', ['cap', 'register'], `anybody resets register ${cap.pcr}`, 'take another one, such as 14')
  const known = new Set(roster.hosts.map(({ id }) => id))
  const names = new Set<string>()
  /** Of each host that is named; those for all hosts are counted apart. */
  const counts = new Map<string, number>()
  let forAll = 0
  for (const [i, { name, registers, hosts }] of boots.entries()) {
    const at = (what: string, hint: string, ...path: Path): void =>
      note(fields, 'BOOT', ['boots', i, ...path], `${name} ${what}`, hint)
    if (names.has(name)) at('is the name of two boots', 'rename one of them', 'name')
    names.add(name)
    if (registers.length === 0)
      at('has no registers', 'name those that its firmware and system are measured into', 'registers')
    const bad = registers.find(({ pcr }) => pcr === cap.pcr || RESETTABLE_PCRS.includes(pcr))
    if (bad !== undefined) {
      const why = bad.pcr === cap.pcr ? 'which is the cap register' : 'which anybody resets'
      at(`has register ${bad.pcr}, ${why}`, 'leave it out', 'registers')
    }
    if (hosts === undefined) forAll += 1
    for (const [j, host] of hosts?.entries() ?? []) {
      if (!known.has(host)) at(`is for ${host}, which is no host`, 'check the spelling', 'hosts', j)
      else counts.set(host, (counts.get(host) ?? 0) + 1)
    }
  }
  const most = Math.max(0, ...counts.values()) + forAll
  if (most <= BOOTS_PER_HOST_MAX) return
  const [host] = [...counts].find(([, count]) => count + forAll === most) ?? ['each host']
  note(
    fields,
    'BOOT',
    ['boots'],
    `${host} has ${most} approved boots`,
    `a policy takes ${BOOTS_PER_HOST_MAX}: take out what no host boots any more`,
  )
}

function checkPolicy(fields: Fields, { policy, longestOutageMs }: Plan): void {
  const { witnesses, threshold, leaseMs, ownZone, resetBudget } = policy
  if (threshold > witnesses)
    note(
      fields,
      'THRESHOLD',
      ['policy', 'threshold'],
      `${threshold} shares are needed and there are ${witnesses} witnesses`,
      'lower threshold, or have more witnesses',
    )
  if (ownZone > witnesses)
    note(
      fields,
      'THRESHOLD',
      ['policy', 'ownZone'],
      `${ownZone} witnesses may be in the own zone, of ${witnesses}`,
      `write at most ${witnesses}`,
    )
  if (leaseMs < longestOutageMs + HEARTBEAT_MS)
    note(
      fields,
      'LEASE',
      ['policy', 'lease'],
      `a lease of ${hours(leaseMs)} runs out in an outage of ${hours(longestOutageMs)}: the last heartbeat may be 10 minutes older`,
      `lease at least ${Math.ceil((longestOutageMs + HEARTBEAT_MS) / 60_000)}m, or declare a shorter longestOutage`,
    )
  if (resetBudget < 1) note(fields, 'THRESHOLD', ['policy', 'resets'], 'no reset is allowed', 'an outage is one reset')
}

function hours(valueMs: number): string {
  return `${Number((valueMs / 3_600_000).toFixed(2))} h`
}
