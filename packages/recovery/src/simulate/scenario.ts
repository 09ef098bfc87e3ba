/** What befalls a fleet in a simulation: who loses power, who returns when, who is cut off, who is stolen. */
import { RecoveryError } from '../error.ts'
import type { Fleet, Level } from './fleet.ts'
import { type Random, randomFrom } from './random.ts'
import { createWorld, hostAt, powerOff, powerOn, type World } from './world.ts'

export type Scope = 'fleet' | Level | 'host'

export interface Scenario {
  /** What loses power, and how many of them. */
  readonly outage: Scope | 'none'
  readonly outages: number
  /** Which one of them, by its name, instead of by chance. */
  readonly named?: string
  /** Over how long power comes back, one PDU at a time. */
  readonly returnMs: number
  /** Part of the hosts that never comes back. */
  readonly never: number
  /** Part of the hosts that takes ten times as long to boot. */
  readonly slow: number
  /** Part of the PDUs whose power goes twice more after it came back. */
  readonly flapping: number
  /** One of these is gone for good. */
  readonly gone: Level | 'none'
  /** Every domain of this kind is cut off from the others, for so long. */
  readonly cut: Scope | 'none'
  readonly cutMs: number
  readonly stolen: Exclude<Scope, 'fleet'> | 'none'
  readonly thefts: number
  /** All by one thief; else each by another. */
  readonly together: boolean
  /** From the theft to power on elsewhere. */
  readonly theftMs: number
  readonly relay: boolean
  readonly liars: number
  readonly loss: number
  readonly skewMs: number
  /** Until when it is watched. */
  readonly horizonMs: number
}

const MINUTE_MS = 60_000
export const BOOT_MEDIAN_MS = 120_000
const BOOT_SIGMA = 0.35

const QUIET: Scenario = {
  outage: 'none',
  outages: 1,
  returnMs: 10 * MINUTE_MS,
  never: 0,
  slow: 0,
  flapping: 0,
  gone: 'none',
  cut: 'none',
  cutMs: 30 * MINUTE_MS,
  stolen: 'none',
  thefts: 1,
  together: false,
  theftMs: 8 * 60 * MINUTE_MS,
  relay: false,
  liars: 0,
  loss: 0.001,
  skewMs: 2000,
  horizonMs: 120 * MINUTE_MS,
}

/** By name, each with what it shows. */
export const SCENARIOS: Readonly<Record<string, { readonly about: string; readonly change: Partial<Scenario> }>> = {
  'fleet-dark': {
    about: 'all lose power; it returns over ten minutes, 4 % of the hosts never do',
    change: { outage: 'fleet', never: 0.04 },
  },
  'zone-gone': {
    about: 'all lose power, and one zone is gone for good',
    change: { outage: 'fleet', never: 0.04, gone: 'zone' },
  },
  'zone-dark': { about: 'one zone loses power', change: { outage: 'zone', never: 0.04 } },
  'zone-cut': {
    about: 'one zone loses power and is cut off from the others',
    change: { outage: 'zone', never: 0.04, cut: 'zone', cutMs: 24 * 60 * MINUTE_MS },
  },
  'room-cut': {
    about: 'one room loses power and is cut off: it holds until the cable is mended',
    change: { outage: 'room', cut: 'room' },
  },
  'rack-dark': { about: 'one rack loses power', change: { outage: 'rack' } },
  'host-crash': {
    about: 'a hundred hosts crash, here and there',
    change: { outage: 'host', outages: 100, returnMs: MINUTE_MS },
  },
  'host-cut': {
    about: 'a hundred hosts crash, each behind a cut cable: they hold until it is mended',
    change: { outage: 'host', outages: 100, cut: 'host', returnMs: MINUTE_MS },
  },
  flapping: {
    about: 'all lose power, and a third of the PDUs lose it twice more',
    change: { outage: 'fleet', never: 0.04, flapping: 0.33, slow: 0.05 },
  },
  'bad-day': {
    about: 'all lose power; slow returns, lost messages, skewed clocks, liars',
    change: { outage: 'fleet', never: 0.04, slow: 0.1, flapping: 0.1, loss: 0.05, skewMs: 120_000, liars: 0.1 },
  },
  'stolen-host': {
    about: 'a hundred hosts are carried off, each by another thief',
    change: { stolen: 'host', thefts: 100 },
  },
  'stolen-rack': { about: 'a rack is carried off', change: { stolen: 'rack' } },
  'stolen-room': { about: 'a room is carried off', change: { stolen: 'room' } },
  'stolen-zone': { about: 'a zone is carried off: more than the default plan withstands', change: { stolen: 'zone' } },
  'stolen-relay': {
    about: 'a rack is carried off and reaches the fleet through a relay; 40 % of the rest lie',
    change: { stolen: 'rack', relay: true, liars: 0.4 },
  },
}

/** @throws RecoveryError `SCENARIO` for a name that none has. */
export function scenarioNamed(name: string, change: Partial<Scenario> = {}): Scenario {
  const known = SCENARIOS[name]
  if (known === undefined)
    throw new RecoveryError('SCENARIO', {
      message: `there is no scenario ${name}`,
      hint: `there are ${Object.keys(SCENARIOS).join(', ')}`,
    })
  return { ...QUIET, ...known.change, ...change }
}

export interface Prepared {
  readonly world: World
  /** Hosts that lost power and were not stolen. */
  readonly affected: readonly number[]
  readonly stolen: readonly number[]
}

/** A world in which all of the scenario is yet to happen. */
export function prepareWorld(fleet: Fleet, scenario: Scenario, seed: number): Prepared {
  const random = randomFrom(seed, 'scenario')
  const { liars, loss, skewMs, relay, flapping } = scenario
  const world = createWorld(fleet, { seed, liars, loss, skewMs, relay, heartbeats: flapping > 0 })
  const thefts = pick(fleet, scenario.stolen, scenario.thefts, random)
  for (const [thief, numbers] of thefts.entries())
    for (const number of numbers) world.stolen.set(number, scenario.together ? 0 : thief)
  const stolen = thefts.flat()
  const { outage, outages, named } = scenario
  const struck = named === undefined ? pick(fleet, outage, outages, random) : [membersOf(fleet, outage, named)]
  const affected = struck.flat().filter((number) => !world.stolen.has(number))
  if (scenario.cut !== 'none') cutOff(world, scenario, scenario.cut)
  const gone = new Set(scenario.gone === 'none' ? [] : pick(fleet, scenario.gone, 1, random).flat())
  for (const number of [...affected, ...gone]) powerOff(world, number)
  returnPower({ world, scenario, random, affected: affected.filter((number) => !gone.has(number)) })
  for (const number of stolen) {
    powerOff(world, number)
    const bootMs = random.logNormal(BOOT_MEDIAN_MS, BOOT_SIGMA)
    world.queue.push(scenario.theftMs, () => powerOn(world, number, bootMs))
  }
  return { world, affected, stolen }
}

/** @throws RecoveryError `SCENARIO` when the fleet has fewer of them. */
function pick(
  { views, domains }: Fleet,
  scope: Scope | 'none',
  count: number,
  random: Random,
): readonly (readonly number[])[] {
  if (scope === 'none') return []
  if (scope === 'fleet') return [views.map((_, i) => i)]
  const groups = scope === 'host' ? views.map((_, i) => [i]) : [...domains[scope].values()]
  if (count > groups.length)
    throw new RecoveryError('SCENARIO', {
      message: `${count} of ${scope} are to be struck, and the fleet has ${groups.length}`,
      hint: 'ask for fewer, or give a larger fleet',
    })
  const chosen: (readonly number[])[] = []
  const left = groups.slice()
  for (let i = 0; i < count; i++) chosen.push(...left.splice(random.below(left.length), 1))
  return chosen
}

/** @throws RecoveryError `SCENARIO` when the fleet has none of that name. */
function membersOf({ domains, numbers }: Fleet, scope: Scope | 'none', name: string): readonly number[] {
  const number = numbers.get(name)
  const found =
    scope === 'host' ? number !== undefined && [number] : scope in domains && domains[scope as Level].get(name)
  if (found) return found
  throw new RecoveryError('SCENARIO', { message: `the fleet has no ${scope} ${name}`, hint: 'check the spelling' })
}

/**
 * What of a fleet is called so; of several, the largest.
 * @throws RecoveryError `SCENARIO` when nothing is.
 */
export function scopeNamed({ domains, numbers }: Fleet, name: string): Level | 'host' {
  const level = (['zone', 'room', 'rack', 'pdu'] as const).find((level) => domains[level].has(name))
  if (level !== undefined) return level
  if (numbers.has(name)) return 'host'
  throw new RecoveryError('SCENARIO', {
    message: `the plan has no zone, room, rack, PDU or active host ${name}`,
    hint: `its zones are ${[...domains.zone.keys()].join(', ')}`,
  })
}

function cutOff(world: World, { cutMs }: Scenario, scope: Scope): void {
  if (scope === 'fleet') return
  const { views } = world.fleet
  const of = (number: number): string => (scope === 'host' ? views[number].id : views[number].domain[scope])
  world.isCut = (from, to) => world.nowMs < cutMs && of(from) !== of(to)
}

interface Returning {
  readonly world: World
  readonly scenario: Scenario
  readonly random: Random
  readonly affected: readonly number[]
}

function returnPower({ world, scenario, random, affected }: Returning): void {
  const pdus = new Map<string, readonly number[]>()
  for (const number of affected) {
    const { pdu } = world.fleet.views[number].domain
    if (pdus.has(pdu)) continue
    const firstMs = random.uniform(0, scenario.returnMs)
    const isFlapping = random.chance(scenario.flapping)
    const times = [firstMs]
    // Off again before, while and after its hosts boot, on again half a minute later.
    if (isFlapping)
      for (let i = 0; i < 2; i++) times.push((times.at(-1) ?? 0) + 30_000 + random.uniform(30_000, 600_000))
    pdus.set(pdu, times)
  }
  for (const number of affected) {
    if (random.chance(scenario.never)) continue
    const times = pdus.get(world.fleet.views[number].domain.pdu) ?? []
    const isSlow = random.chance(scenario.slow)
    for (const [i, atMs] of times.entries()) {
      const bootMs = random.logNormal(BOOT_MEDIAN_MS, BOOT_SIGMA) * (isSlow ? 10 : 1)
      if (i > 0) world.queue.push(atMs - 30_000, () => powerOff(world, number))
      world.queue.push(atMs, () => powerOn(world, number, bootMs))
    }
  }
  for (const number of affected) hostAt(world, number)
}
