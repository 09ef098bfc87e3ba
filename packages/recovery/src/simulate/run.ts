/** Simulations from beginning to end. */
import type { Fleet } from './fleet.ts'
import { type Rate, rateOf } from './bounds.ts'
import { type Outcome, outcomeOf } from './outcome.ts'
import { randomFrom } from './random.ts'
import { BOOT_MEDIAN_MS, prepareWorld, type Scenario } from './scenario.ts'
import { createWorld, powerOff, powerOn, runWorld } from './world.ts'

const EVENTS_AT_ONCE = 20_000

export interface Watching {
  /** Called now and then, with the time that is simulated, in milliseconds. */
  readonly progress?: (atMs: number, events: number) => void
  readonly signal?: AbortSignal | undefined
}

/** @throws The signal's reason when it is aborted: half a simulation says nothing. */
export async function simulate(
  fleet: Fleet,
  scenario: Scenario,
  seed: number,
  { progress, signal }: Watching = {},
): Promise<Outcome> {
  const prepared = prepareWorld(fleet, scenario, seed)
  const { world } = prepared
  const endMs = scenario.horizonMs + (scenario.stolen === 'none' ? 0 : scenario.theftMs)
  while (!runWorld(world, endMs, EVENTS_AT_ONCE)) {
    progress?.(world.nowMs, world.events)
    await breath()
    signal?.throwIfAborted()
  }
  return outcomeOf(prepared)
}

export interface TheftOptions {
  readonly trials: number
  /** Number of the first one; an attempt follows from the seed and its number, so a long run can be made in pieces. */
  readonly first?: number
  readonly seed: number
  readonly relay: boolean
  /** Among the hosts that were not stolen. */
  readonly liars: number
}

export interface Thefts {
  readonly all: Rate
  readonly host: Rate
  readonly rack: Rate
  readonly room: Rate
  /** Numbers of the first attempts that were released: each is played again by its seed and number. */
  readonly released: readonly number[]
}

const RELEASED_MAX = 20

const KINDS = ['host', 'rack', 'room'] as const
/** What a thief waits for, and how long each try is watched: four rounds of asking. */
const THEFT_MEDIAN_MS = 10 * 3_600_000
const TRY_MS = 90_000

/**
 * Thefts of hosts, racks and rooms in turn. In each one stolen host asks, every second time the one with most witnesses
 * among what was stolen, which is the thief's best choice; of the others those are switched on that it can ask. So a
 * theft of a room costs no more than one of a host, and an attempt is what is counted.
 */
export async function simulateThefts(
  fleet: Fleet,
  { trials, first = 0, seed, relay, liars }: TheftOptions,
  { progress, signal }: Watching = {},
): Promise<Thefts> {
  const releases: number[] = []
  const counts = { host: [0, 0], rack: [0, 0], room: [0, 0] }
  const best = { rack: bestHosts(fleet, 'rack'), room: bestHosts(fleet, 'room') }
  for (let trial = first; trial < first + trials; trial++) {
    const random = randomFrom(seed * 4_000_037 + trial, 'theft')
    const kind = KINDS[trial % KINDS.length]
    const victim =
      kind !== 'host' && random.chance(0.5)
        ? best[kind][random.below(best[kind].length)]
        : random.below(fleet.views.length)
    const world = createWorld(fleet, {
      seed: seed * 4_000_037 + trial,
      liars,
      loss: 0,
      skewMs: 2000,
      relay,
      heartbeats: false,
    })
    const { domain } = fleet.views[victim]
    world.stolen.set(victim, 0)
    if (kind !== 'host')
      for (const peer of fleet.peers[victim])
        if (fleet.views[peer].domain[kind] === domain[kind]) world.stolen.set(peer, 0)
    const theftMs = random.logNormal(THEFT_MEDIAN_MS, 0.8)
    // Now and then the thief fails to start it at once.
    const resets = random.chance(0.3) ? random.below(8) : 0
    for (const number of world.stolen.keys()) {
      powerOff(world, number)
      world.queue.push(theftMs, () => powerOn(world, number, random.uniform(0, BOOT_MEDIAN_MS / 4)))
    }
    const host = world.hosts.get(victim)
    if (host !== undefined) host.resets = resets
    runWorld(world, theftMs + TRY_MS, Infinity)
    if (host?.releasedAtMs !== undefined) {
      counts[kind][0] += 1
      if (releases.length < RELEASED_MAX) releases.push(trial)
    }
    counts[kind][1] += 1
    if (trial % 1000 === 999) {
      progress?.(0, trial + 1 - first)
      await breath()
      signal?.throwIfAborted()
    }
  }
  const of = (kind: (typeof KINDS)[number]): Rate => rateOf(counts[kind][0], counts[kind][1])
  const released = KINDS.reduce((sum, kind) => sum + counts[kind][0], 0)
  return { all: rateOf(released, trials), host: of('host'), rack: of('rack'), room: of('room'), released: releases }
}

/** Hosts that have the most witnesses in their own rack or room. */
function bestHosts({ views, peers }: Fleet, kind: 'rack' | 'room'): readonly number[] {
  const inside = views.map(({ domain, witnesses }, i) =>
    peers[i].subarray(0, witnesses).reduce((sum, peer) => sum + (views[peer].domain[kind] === domain[kind] ? 1 : 0), 0),
  )
  const most = inside.reduce((a, b) => Math.max(a, b), 0)
  return inside.flatMap((count, i) => (count === most ? [i] : []))
}

/** Lets signals and terminals have their turn. */
function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
