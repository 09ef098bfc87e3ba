/** From what was heard of a fleet to what people look at. Nothing here does anything. Truth: spec/board.md. */
import type { HostStatus, ServiceStatus } from '../channel/messages.ts'
import type { FaultDomain, HostId } from '../types.ts'
import type { Sighting, Sightings } from './sightings.ts'

/** What a host is doing, or `silent`, or `unattested`: somebody answers in its place. */
export type Standing = HostStatus['state'] | 'silent' | 'unattested'

/** In the order in which people want to see them: what needs them first. */
export const STANDINGS: readonly Standing[] = [
  'locked',
  'broken',
  'unattested',
  'refused',
  'holding',
  'starting',
  'asking',
  'loading',
  'silent',
  'serving',
]

/** Groups of standings, as the board filters by them. */
export const GROUPS = {
  alarm: ['locked', 'broken', 'unattested'],
  waiting: ['refused', 'holding'],
  coming: ['starting', 'asking', 'loading'],
  silent: ['silent'],
  serving: ['serving'],
} as const satisfies Readonly<Record<string, readonly Standing[]>>
export type Group = keyof typeof GROUPS

export interface MissingShares {
  /** The smallest domain that all of these witnesses have in common. */
  readonly where: string
  readonly why: string
  readonly witnesses: readonly HostId[]
}

/** When a host is expected to serve; `unknown` says why nobody can tell. */
export type Estimate =
  | { readonly kind: 'done' }
  | { readonly kind: 'in'; readonly leftMs: number }
  | { readonly kind: 'late'; readonly byMs: number }
  | { readonly kind: 'unknown'; readonly why: string }

export interface HostView {
  readonly host: HostId
  readonly domain: FaultDomain
  readonly standing: Standing
  readonly group: Group
  readonly verdict: string | undefined
  readonly sharesHeld: number
  readonly sharesNeeded: number
  readonly missing: readonly MissingShares[]
  readonly services: readonly ServiceStatus[]
  /** Services that are not ready although all that they come after are. */
  readonly frontier: readonly ServiceStatus[]
  readonly estimate: Estimate
  readonly uptimeMs: number | undefined
  readonly epoch: number | undefined
  readonly auditLength: number | undefined
  /** Of a host that said nothing: why. */
  readonly why: string | undefined
}

export interface ServiceView {
  readonly name: string
  readonly after: readonly string[]
  readonly ready: number
  readonly starting: number
  readonly failed: number
  /** Waiting, stopped, or on a host that says nothing. */
  readonly others: number
  /** Hosts that wait for this one and for none before it. */
  readonly frontierOn: readonly HostId[]
}

export interface Alarm {
  readonly host: HostId
  /** Undefined: it is so now. */
  readonly wallMs: number | undefined
  readonly text: string
}

export interface BoardView {
  readonly fleet: string
  readonly planVersion: number
  readonly by: HostId
  readonly takenWallMs: number
  readonly counts: Readonly<Record<Group, number>>
  readonly hosts: readonly HostView[]
  readonly services: readonly ServiceView[]
  /** Missing shares of all that wait for some, by domain and reason, most first. */
  readonly missing: readonly MissingShares[]
  readonly estimate: Estimate
  /** What half of those that came back took, in milliseconds. */
  readonly usualMs: number | undefined
  readonly alarms: readonly Alarm[]
  /** What is to be expected in an outage, put together: a dark rack is one line. */
  readonly noise: readonly string[]
}

/** A host that started longer ago did not come back in this outage. */
const RECENT_MS = 6 * 3_600_000

export function boardView(sightings: Sightings): BoardView {
  const { fleet, planVersion, by, takenWallMs, hosts: seen } = sightings
  const domains = new Map(seen.map(({ host, domain }) => [host, domain]))
  const usualMs = median(seen.flatMap((sighting) => comebackMs(sighting, takenWallMs)))
  const hosts = seen
    .map((sighting) => hostView(sighting, { sightings, domains, usualMs }))
    .toSorted((a, b) => STANDINGS.indexOf(a.standing) - STANDINGS.indexOf(b.standing) || order(a.host, b.host))
  const counts = { alarm: 0, waiting: 0, coming: 0, silent: 0, serving: 0 }
  for (const { group } of hosts) counts[group] += 1
  return {
    fleet,
    planVersion,
    by,
    takenWallMs,
    counts,
    hosts,
    services: sightings.services.map((service) => serviceView(service, hosts)),
    missing: missingOf(seen.flatMap(lacking), domains),
    estimate: estimateOf(hosts),
    usualMs,
    alarms: alarmsOf(seen),
    noise: noiseOf(sightings),
  }
}

/** Of a host that serves, it does not matter any more who had not answered. */
function lacking({ heard }: Sighting): HostStatus['missing'] {
  return heard.kind === 'status' && heard.status.state !== 'serving' ? heard.status.missing : []
}

interface Around {
  readonly sightings: Sightings
  readonly domains: ReadonlyMap<HostId, FaultDomain>
  readonly usualMs: number | undefined
}

function hostView({ host, domain, heard }: Sighting, { sightings, domains, usualMs }: Around): HostView {
  const standing = standingOf(heard)
  const group = groupOf(standing)
  if (heard.kind !== 'status')
    return {
      host,
      domain,
      standing,
      group,
      verdict: undefined,
      sharesHeld: 0,
      sharesNeeded: 0,
      missing: [],
      services: [],
      frontier: [],
      estimate: { kind: 'unknown', why: 'it says nothing' },
      uptimeMs: undefined,
      epoch: undefined,
      auditLength: undefined,
      why: heard.why,
    }
  const { verdict, sharesHeld, sharesNeeded, missing, services, uptimeMs, epoch, auditLength } = heard.status
  const after = new Map(sightings.services.map(({ name, after }) => [name, after]))
  const isReady = (name: string): boolean => services.some((s) => s.name === name && s.state === 'ready')
  return {
    host,
    domain,
    standing,
    group,
    verdict,
    sharesHeld,
    sharesNeeded,
    missing: group === 'serving' ? [] : missingOf(missing, domains),
    services,
    frontier: services.filter(({ name, state }) => state !== 'ready' && (after.get(name) ?? []).every(isReady)),
    estimate: hostEstimate(group, uptimeMs, usualMs),
    uptimeMs,
    epoch,
    auditLength,
    why: undefined,
  }
}

function standingOf(heard: Sighting['heard']): Standing {
  if (heard.kind === 'status') return heard.status.state
  return heard.kind === 'unattested' ? 'unattested' : 'silent'
}

function groupOf(standing: Standing): Group {
  const found = (Object.keys(GROUPS) as Group[]).find((group) =>
    (GROUPS[group] as readonly Standing[]).includes(standing),
  )
  return found ?? 'alarm'
}

/** What a host that came back lately took, from its agent's start to its last service. */
function comebackMs({ heard }: Sighting, nowWallMs: number): readonly number[] {
  if (heard.kind !== 'status' || heard.status.state !== 'serving') return []
  const { uptimeMs, services } = heard.status
  if (uptimeMs > RECENT_MS || services.length === 0 || services.some(({ state }) => state !== 'ready')) return []
  const startedMs = nowWallMs - uptimeMs
  return [Math.max(0, services.reduce((last, { sinceWallMs }) => Math.max(last, sinceWallMs), 0) - startedMs)]
}

function hostEstimate(group: Group, uptimeMs: number, usualMs: number | undefined): Estimate {
  if (group === 'serving') return { kind: 'done' }
  if (group !== 'coming')
    return { kind: 'unknown', why: group === 'waiting' ? 'it waits for others' : 'it needs a person' }
  if (usualMs === undefined) return { kind: 'unknown', why: 'no host has come back yet' }
  return uptimeMs <= usualMs ? { kind: 'in', leftMs: usualMs - uptimeMs } : { kind: 'late', byMs: uptimeMs - usualMs }
}

/** Of all that are on their way; those that wait, or say nothing, are not in it. */
function estimateOf(hosts: readonly HostView[]): Estimate {
  const coming = hosts.filter(({ group }) => group === 'coming').map(({ estimate }) => estimate)
  if (coming.length === 0)
    return hosts.every(({ group }) => group === 'serving')
      ? { kind: 'done' }
      : { kind: 'unknown', why: 'no host is on its way' }
  const unknown = coming.find(({ kind }) => kind === 'unknown')
  if (unknown !== undefined) return unknown
  const left = coming.flatMap((estimate) => (estimate.kind === 'in' ? [estimate.leftMs] : []))
  if (left.length > 0) return { kind: 'in', leftMs: Math.max(...left) }
  return { kind: 'late', byMs: Math.max(...coming.flatMap((e) => (e.kind === 'late' ? [e.byMs] : []))) }
}

function serviceView({ name, after }: Sightings['services'][number], hosts: readonly HostView[]): ServiceView {
  const states = hosts.map(({ services }) => services.find((service) => service.name === name)?.state)
  const count = (state: ServiceStatus['state']): number => states.filter((other) => other === state).length
  const [ready, starting, failed] = [count('ready'), count('starting'), count('failed')]
  const frontierOn = hosts.filter(({ frontier }) => frontier.some((s) => s.name === name)).map(({ host }) => host)
  return { name, after, ready, starting, failed, others: hosts.length - ready - starting - failed, frontierOn }
}

function missingOf(
  missing: HostStatus['missing'],
  domains: ReadonlyMap<HostId, FaultDomain>,
): readonly MissingShares[] {
  const groups = new Map<string, { why: string; zone: string; witnesses: Set<HostId> }>()
  for (const { witness, why } of missing) {
    const zone = domains.get(witness)?.zone ?? 'no zone of this plan'
    const key = `${zone}\0${why}`
    const group = groups.get(key) ?? { why, zone, witnesses: new Set() }
    group.witnesses.add(witness)
    groups.set(key, group)
  }
  return [...groups.values()]
    .map(({ why, zone, witnesses }) => {
      const names = [...witnesses].toSorted(order)
      return { why, where: common(names, domains) ?? zone, witnesses: names }
    })
    .toSorted((a, b) => b.witnesses.length - a.witnesses.length || order(a.where + a.why, b.where + b.why))
}

/** The rack, room or zone in which all of them stand, with its kind. */
function common(hosts: readonly HostId[], domains: ReadonlyMap<HostId, FaultDomain>): string | undefined {
  const found = hosts.map((host) => domains.get(host))
  for (const kind of ['rack', 'room', 'zone'] as const) {
    const name = found[0]?.[kind]
    if (name !== undefined && found.every((domain) => domain?.[kind] === name)) return `${kind} ${name}`
  }
  return undefined
}

function alarmsOf(seen: readonly Sighting[]): readonly Alarm[] {
  const now: Alarm[] = []
  const before: (Alarm & { wallMs: number })[] = []
  for (const { host, heard } of seen) {
    if (heard.kind === 'unattested')
      now.push({ host, wallMs: undefined, text: `something answers at its address and is not it: ${heard.why}` })
    if (heard.kind !== 'status') continue
    const { state, alarms, services } = heard.status
    if (state === 'locked') now.push({ host, wallMs: undefined, text: 'locked: only its operators release it' })
    if (state === 'broken') now.push({ host, wallMs: undefined, text: 'broken: something failed that is no refusal' })
    for (const { name, state } of services)
      if (state === 'failed') now.push({ host, wallMs: undefined, text: `service ${name} failed` })
    for (const { wallMs, text } of alarms) before.push({ host, wallMs, text })
  }
  return [...now, ...before.toSorted((a, b) => b.wallMs - a.wallMs || order(a.host, b.host))]
}

function noiseOf({ hosts, planVersion }: Sightings): readonly string[] {
  const noise = darkDomains(hosts)
  const older = hosts.filter(({ heard }) => heard.kind === 'status' && heard.status.planVersion < planVersion).length
  if (older > 0) noise.push(`${older} of ${hosts.length} hosts have an older plan: it comes with their next heartbeat`)
  return noise
}

/** Silent hosts by the largest domains that are silent as a whole. */
function darkDomains(hosts: readonly Sighting[]): string[] {
  let left = hosts.filter(({ heard }) => heard.kind === 'unreachable')
  const lines: string[] = []
  for (const kind of ['zone', 'room', 'rack'] as const) {
    const sizes = new Map<string, number>()
    for (const { domain } of hosts) sizes.set(domain[kind], (sizes.get(domain[kind]) ?? 0) + 1)
    for (const [name, silent] of Map.groupBy(left, ({ domain }) => domain[kind])) {
      if (silent.length < 2 || silent.length < (sizes.get(name) ?? 0)) continue
      lines.push(`${kind} ${name} is silent as a whole: ${silent.length} hosts`)
      const told = new Set(silent)
      left = left.filter((sighting) => !told.has(sighting))
    }
  }
  if (left.length > 0) lines.push(`silent alone: ${someNames(left.map(({ host }) => host))}`)
  return lines
}

/** A fleet may have ten thousand of them; people read a dozen. */
export function someNames(names: readonly string[], most = 12): string {
  const rest = names.length - most
  return rest > 1 ? `${names.slice(0, most).join(', ')} and ${rest} more` : names.join(', ')
}

function median(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.toSorted((a, b) => a - b)[values.length >> 1]
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
