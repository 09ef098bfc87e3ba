/**
 * Power, clocks and a network for the machines of protocol/: they decide, this carries. Times are milliseconds since the
 * outage began. Hosts come to be when something happens to them; the others are healthy and have long been up.
 */
import { type AskingAction, type AskingEvent, type AskingState, newAsking, stepAsking } from '../protocol/asking.ts'
import type { Observation } from '../protocol/facts.ts'
import { HEARTBEAT_MS } from '../protocol/lease.ts'
import {
  type Clocks,
  newWitness,
  reportOf,
  stepWitness,
  type WitnessAction,
  type WitnessEvent,
  type WitnessState,
} from '../protocol/witness.ts'
import type { HostId, PriorShutdown, ReleaseRequest, Share } from '../types.ts'
import type { Fleet } from './fleet.ts'
import { eventQueue, type EventQueue } from './queue.ts'
import { type Random, randomFrom } from './random.ts'

export interface WorldSettings {
  readonly seed: number
  /** Chance that a message is lost; a question and its answer are two. */
  readonly loss: number
  /** Hosts that attest and say wrong things, shares included. */
  readonly liars: number
  /** Standard deviation of wall clocks. */
  readonly skewMs: number
  /** Whether stolen hosts reach the others, by a longer way. */
  readonly relay: boolean
  /** Heartbeats go on after the first one: they matter where power comes and goes. */
  readonly heartbeats: boolean
}

/** Of each host that something happened to. */
export interface SimulatedHost {
  readonly number: number
  /** Counts power-ons; what belongs to an earlier one is dropped. */
  power: number
  isPowered: boolean
  isRunning: boolean
  /** Powered time before this power-on, and when that was. */
  clockBeforeMs: number
  poweredAtMs: number
  resets: number
  witness: WitnessState
  asking: AskingState | undefined
  /** Undefined while it is healthy or waits. */
  releasedAtMs: number | undefined
  runningAtMs: number
  readonly isLiar: boolean
  readonly skewMs: number
  readonly jitter: number
  alarms: number
}

export interface World {
  readonly fleet: Fleet
  readonly settings: WorldSettings
  readonly queue: EventQueue
  readonly hosts: Map<number, SimulatedHost>
  /** Hosts in the hands of thieves, and of which one: his network is another one. */
  readonly stolen: Map<number, number>
  /** Whether a message can pass now; partitions come and go. */
  isCut: (from: number, to: number) => boolean
  readonly random: Random
  /** What a thief's relay adds to a round trip: how far away he is. */
  readonly relayMs: number
  nowMs: number
  events: number
  messages: number
}

/** Before the outage every host had been up for this long, in milliseconds. */
const UP_BEFORE_MS = 30 * 86_400_000
const OBSERVE_MS = 1000
const EPOCH = 1
const HELD = { epochs: [EPOCH], committed: EPOCH }
/** Stand-ins: what is simulated is who gets shares, not their arithmetic. */
const RIGHT = Uint8Array.of(1)
const WRONG = Uint8Array.of(0)
const DIGEST = new Uint8Array(0)
const UNREACHABLE: Observation = { kind: 'unreachable' }
const UNATTESTED: Observation = { kind: 'unattested' }
/** How many of a thief's addresses answer something. */
const IMITATED = 0.6

export function createWorld(fleet: Fleet, settings: WorldSettings): World {
  return {
    fleet,
    settings,
    queue: eventQueue(),
    hosts: new Map(),
    stolen: new Map(),
    isCut: () => false,
    random: randomFrom(settings.seed, 'world'),
    relayMs: randomFrom(settings.seed, 'relay').logNormal(60, 0.7),
    nowMs: 0,
    events: 0,
    messages: 0,
  }
}

/** Lets happen what is due until then, at most so many. @returns Whether all of it has happened. */
export function runWorld(world: World, untilMs: number, eventsMax: number): boolean {
  for (let i = 0; i < eventsMax; i++) {
    const next = world.queue.pop(untilMs)
    if (next === undefined) return true
    world.nowMs = next.atMs
    world.events += 1
    next.happening()
  }
  return false
}

export function hostAt(world: World, number: number): SimulatedHost {
  const known = world.hosts.get(number)
  if (known !== undefined) return known
  const { fleet, settings } = world
  const random = randomFrom(settings.seed * 1_000_003 + number, 'host')
  const isLiar = random.chance(settings.liars)
  const host: SimulatedHost = {
    number,
    power: 0,
    isPowered: true,
    isRunning: true,
    clockBeforeMs: UP_BEFORE_MS,
    poweredAtMs: 0,
    resets: 0,
    witness: healthyWitness(fleet, number),
    asking: undefined,
    releasedAtMs: undefined,
    runningAtMs: 0,
    isLiar,
    skewMs: random.normal(settings.skewMs),
    jitter: random.next(),
    alarms: 0,
  }
  world.hosts.set(number, host)
  return host
}

/** With a heartbeat of each of its wards, at most one interval old. */
function healthyWitness(fleet: Fleet, number: number): WitnessState {
  const empty = newWitness(fleet.plan.roster.version)
  const heartbeats = new Map<HostId, Clocks>()
  const shares = new Map<HostId, typeof HELD>()
  for (const ward of fleet.wards[number]) {
    const beforeMs = ((ward * 7919) % 1000) * (HEARTBEAT_MS / 1000)
    heartbeats.set(fleet.views[ward].id, { clockMs: UP_BEFORE_MS - beforeMs, wallMs: -beforeMs })
    shares.set(fleet.views[ward].id, HELD)
  }
  return { ...empty, durable: { ...empty.durable, heartbeats, shares } }
}

function clocksOf(world: World, host: SimulatedHost): Clocks {
  const clockMs = host.clockBeforeMs + (host.isPowered ? world.nowMs - host.poweredAtMs : 0)
  // A thief sets wall clocks to just after the theft: the best that he can do.
  const wallMs = world.stolen.has(host.number) ? 5 * 60_000 : world.nowMs + host.skewMs
  return { clockMs, wallMs }
}

export function powerOff(world: World, number: number): void {
  const host = hostAt(world, number)
  if (!host.isPowered) return
  host.clockBeforeMs += world.nowMs - host.poweredAtMs
  host.isPowered = false
  host.isRunning = false
  host.asking = undefined
  host.releasedAtMs = undefined
  host.power += 1
}

/** @param bootMs - Until its agent runs. */
export function powerOn(world: World, number: number, bootMs: number): void {
  const host = hostAt(world, number)
  if (host.isPowered) return
  host.isPowered = true
  host.poweredAtMs = world.nowMs
  host.resets += 1
  host.power += 1
  later(world, host, bootMs, () => start(world, host))
}

/** Does it after a while, unless the host loses its power before. */
function later(world: World, host: SimulatedHost, afterMs: number, happening: () => void): void {
  const { power } = host
  world.queue.push(world.nowMs + afterMs, () => {
    if (host.power === power) happening()
  })
}

function start(world: World, host: SimulatedHost): void {
  host.isRunning = true
  host.runningAtMs = world.nowMs
  stepOne(world, host, { kind: 'started', at: clocksOf(world, host), lastShutdown: 'abnormal' })
  const prior = priorOf(host)
  host.asking = newAsking(prior)
  stepOther(world, host, { kind: 'booted', attempt: String(host.power), prior, epochs: [EPOCH] })
}

function priorOf(host: SimulatedHost): PriorShutdown {
  const tpm = <T>(value: T) => ({ value, source: 'tpm', signed: true }) as const
  const other = <T>(value: T, source: 'kernel' | 'journal' | 'wtmp' | 'pstore' | 'file-system') =>
    ({ value, source, signed: false }) as const
  return {
    orderly: tpm(false),
    resetIncrease: tpm(host.resets),
    restartIncrease: tpm(0),
    poweredMs: tpm(host.clockBeforeMs),
    cleanMarker: { value: false, source: 'marker', signed: true },
    bootId: other(String(host.power), 'kernel'),
    journalShutdown: other(false, 'journal'),
    wtmpShutdown: other(false, 'wtmp'),
    kernelCrash: other(false, 'pstore'),
    fileSystemClean: other(false, 'file-system'),
  }
}

function stepOther(world: World, host: SimulatedHost, event: AskingEvent): void {
  if (host.asking === undefined) return
  const { fleet } = world
  const { state, actions } = stepAsking(host.asking, event, {
    view: fleet.views[host.number],
    policy: fleet.plan.policy,
    rosterVersion: fleet.plan.roster.version,
    isValid: ({ bytes }) => bytes === RIGHT,
  })
  host.asking = state
  for (const action of actions) carryOut(world, host, action)
}

function carryOut(world: World, host: SimulatedHost, action: AskingAction): void {
  switch (action.kind) {
    case 'observe':
      observe(world, host, host.number, (observations) => stepOther(world, host, { kind: 'observed', observations }))
      break
    case 'set-timer':
      later(world, host, action.afterMs * (1 + host.jitter / 4), () => stepOther(world, host, { kind: 'timer' }))
      break
    case 'ask-share':
      askShare(world, host, action.to, action.request)
      break
    case 'release':
      host.releasedAtMs = world.nowMs
      later(world, host, 30_000 * (1 + host.jitter), () => heartbeat(world, host))
      break
    case 'alarm':
      host.alarms += 1
      break
  }
}

/** All peers at once; the answer comes with the slowest, or after a second when one stays silent. */
function observe(
  world: World,
  host: SimulatedHost,
  about: number,
  done: (observations: readonly Observation[]) => void,
  except = -1,
): void {
  const observations: Observation[] = []
  let waitMs = 0
  for (const peer of world.fleet.peers[about]) {
    if (peer === except) continue
    const observation = ask(world, host, peer, about)
    observations.push(observation)
    waitMs = Math.max(waitMs, observation.kind === 'attested' ? observation.roundTripMs : OBSERVE_MS)
  }
  later(world, host, waitMs, () => done(observations))
}

function ask(world: World, host: SimulatedHost, peer: number, about: number): Observation {
  world.messages += 1
  if (!passes(world, host.number, peer)) {
    const isImitated = world.stolen.has(host.number) && !world.settings.relay && world.random.chance(IMITATED)
    return isImitated ? UNATTESTED : UNREACHABLE
  }
  const other = hostAt(world, peer)
  if (!other.isRunning || isLost(world)) return UNREACHABLE
  const roundTripMs = roundTrip(world, host.number, peer)
  const report = reportOf(other.witness, world.fleet.views[about].id, clocksOf(world, other))
  if (!other.isLiar) return { kind: 'attested', report, roundTripMs }
  // The lie that would help a thief most: everybody is down, and the heartbeat was just now.
  const lie = {
    uptimeMs: 60_000,
    lastShutdown: 'abnormal',
    lease: report.lease && { boundMs: 0, isContinuous: true, wallMs: 0 },
  } as const
  return { kind: 'attested', report: lie, roundTripMs }
}

function passes(world: World, from: number, to: number): boolean {
  const { stolen, settings } = world
  if (stolen.get(from) !== stolen.get(to) && !settings.relay) return false
  return !world.isCut(from, to)
}

function isLost({ random, settings }: World): boolean {
  return settings.loss > 0 && (random.chance(settings.loss) || random.chance(settings.loss))
}

/** Of the path when all is well, in milliseconds. */
function baseline({ fleet }: World, from: number, to: number): number {
  const a = fleet.views[from].domain
  const b = fleet.views[to].domain
  if (a.zone !== b.zone) return 3
  return a.room === b.room ? 0.4 : 0.8
}

/** The fastest of an exchange; a relay adds its way. */
function roundTrip(world: World, from: number, to: number): number {
  const { random, stolen, relayMs } = world
  const pathMs = baseline(world, from, to) * (1 + 0.2 * random.next())
  return stolen.get(from) === stolen.get(to) ? pathMs : pathMs + relayMs * (1 + 0.1 * random.next())
}

function askShare(world: World, host: SimulatedHost, to: HostId, request: ReleaseRequest): void {
  const number = world.fleet.numbers.get(to)
  world.messages += 1
  if (number === undefined || !passes(world, host.number, number) || isLost(world)) return
  const witness = hostAt(world, number)
  if (!witness.isRunning) return
  const roundTripMs = roundTrip(world, host.number, number)
  const baselineMs = baseline(world, host.number, number)
  later(world, witness, roundTripMs / 2, () => {
    const asked = { request, isAttested: true, isMeasurementApproved: true, roundTripMs, baselineMs }
    stepOne(world, witness, { kind: 'asked', asked, at: clocksOf(world, witness) })
  })
}

function stepOne(world: World, host: SimulatedHost, event: WitnessEvent): void {
  const { fleet } = world
  const { id, domain } = fleet.views[host.number]
  const view = (of: HostId) => fleet.views[fleet.numbers.get(of) ?? -1]
  const { state, actions } = stepWitness(host.witness, event, { id, domain, policy: fleet.plan.policy, view })
  host.witness = state
  for (const action of actions) serve(world, host, action)
}

function serve(world: World, witness: SimulatedHost, action: WitnessAction): void {
  const { numbers } = world.fleet
  switch (action.kind) {
    case 'observe': {
      const { about } = action
      const done = (observations: readonly Observation[]): void =>
        stepOne(world, witness, { kind: 'observed', about, observations, at: clocksOf(world, witness) })
      observe(world, witness, numbers.get(about) ?? -1, done, witness.number)
      break
    }
    case 'give-share': {
      const { host, epoch, index } = action.request
      const share: Share = { host, epoch, index, bytes: witness.isLiar ? WRONG : RIGHT, digest: DIGEST }
      reply(world, witness, action.request, (from, attempt) => ({ kind: 'share', from, attempt, share }))
      break
    }
    case 'refuse': {
      const { refusals } = action
      reply(world, witness, action.request, (from, attempt) => ({ kind: 'refused', from, attempt, refusals }))
      break
    }
    case 'acknowledge':
      break
  }
}

function reply(
  world: World,
  witness: SimulatedHost,
  { host: id, attempt }: ReleaseRequest,
  event: (from: HostId, attempt: string) => AskingEvent,
): void {
  const number = world.fleet.numbers.get(id)
  world.messages += 1
  if (number === undefined || !passes(world, witness.number, number) || isLost(world)) return
  const host = hostAt(world, number)
  const from = world.fleet.views[witness.number].id
  later(world, host, roundTrip(world, witness.number, number) / 2, () => stepOther(world, host, event(from, attempt)))
}

/** Of a released host: its witnesses count resets and ages from here. */
function heartbeat(world: World, host: SimulatedHost): void {
  const { peers, views, plan } = world.fleet
  const from = views[host.number].id
  let signed = 0
  for (const peer of peers[host.number].subarray(0, views[host.number].witnesses)) {
    const witness = hostAt(world, peer)
    world.messages += 1
    if (!witness.isRunning || !passes(world, host.number, peer) || isLost(world)) continue
    stepOne(world, witness, { kind: 'heartbeat', from, at: clocksOf(world, witness) })
    signed += 1
  }
  if (signed >= plan.policy.threshold) host.resets = 0
  if (world.settings.heartbeats) later(world, host, HEARTBEAT_MS, () => heartbeat(world, host))
}
