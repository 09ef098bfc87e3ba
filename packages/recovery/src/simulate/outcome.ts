/** What came of a simulation, in numbers. */
import type { AskingPhase } from '../protocol/asking.ts'
import { type Rate, rateOf } from './bounds.ts'
import type { Prepared } from './scenario.ts'
import type { SimulatedHost } from './world.ts'

export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly most: number
}

/** Hosts by then, in seconds since the outage began. */
export interface CurvePoint {
  readonly atS: number
  readonly powered: number
  readonly running: number
  readonly released: number
}

export interface Outcome {
  readonly affected: number
  /** Those whose power came back and stayed. */
  readonly returned: number
  readonly released: number
  /** Of the returned ones, those that were not released by the end. */
  readonly stuck: Rate
  /** Of the returned ones, those that were released within 20 minutes of their power. */
  readonly within20Min: Rate
  /** Of the stolen hosts, those that got their secret. */
  readonly falseReleases: Rate
  /** How those that were not released stand at the end. */
  readonly waiting: Readonly<Partial<Record<AskingPhase['kind'] | 'locked-final' | 'booting', number>>>
  /** Seconds from power to release, and from the agent's start to it; undefined when nobody was released. */
  readonly fromPowerS: Percentiles | undefined
  readonly fromStartS: Percentiles | undefined
  readonly alarms: number
  readonly events: number
  readonly messages: number
  readonly curve: readonly CurvePoint[]
}

const POINTS = 240
const TWENTY_MIN_MS = 20 * 60_000

export function outcomeOf({ world, affected, stolen }: Prepared): Outcome {
  const hosts = affected.flatMap((number) => world.hosts.get(number) ?? [])
  const returned = hosts.filter(({ isPowered }) => isPowered)
  const released = returned.filter(isReleased)
  const inTime = released.filter((host) => host.releasedAtMs - host.poweredAtMs <= TWENTY_MIN_MS)
  const thieves = stolen.flatMap((number) => world.hosts.get(number) ?? [])
  return {
    affected: affected.length,
    returned: returned.length,
    released: released.length,
    stuck: rateOf(returned.length - released.length, returned.length),
    within20Min: rateOf(inTime.length, returned.length),
    falseReleases: rateOf(thieves.filter(isReleased).length, thieves.length),
    waiting: waitingOf([...returned, ...thieves].filter((host) => !isReleased(host))),
    fromPowerS: percentiles(released.map((host) => host.releasedAtMs - host.poweredAtMs)),
    fromStartS: percentiles(released.map((host) => host.releasedAtMs - host.runningAtMs)),
    alarms: [...hosts, ...thieves].reduce((sum, { alarms }) => sum + alarms, 0),
    events: world.events,
    messages: world.messages,
    curve: curveOf(returned),
  }
}

function isReleased(host: SimulatedHost): host is SimulatedHost & { releasedAtMs: number } {
  return host.releasedAtMs !== undefined
}

function waitingOf(hosts: readonly SimulatedHost[]): Outcome['waiting'] {
  const counts: Record<string, number> = {}
  for (const { asking } of hosts) {
    const phase = asking?.phase
    const name =
      phase === undefined ? 'booting' : phase.kind === 'locked' && phase.isFinal ? 'locked-final' : phase.kind
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

function percentiles(valuesMs: readonly number[]): Percentiles | undefined {
  if (valuesMs.length === 0) return undefined
  const sorted = valuesMs.toSorted((a, b) => a - b)
  const at = (part: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]) / 1000
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), most: at(1) }
}

function curveOf(hosts: readonly SimulatedHost[]): readonly CurvePoint[] {
  const powered = sorted(hosts.map(({ poweredAtMs }) => poweredAtMs))
  const running = sorted(hosts.filter(({ isRunning }) => isRunning).map(({ runningAtMs }) => runningAtMs))
  const released = sorted(hosts.filter(isReleased).map(({ releasedAtMs }) => releasedAtMs))
  const endMs = Math.max(...[powered, running, released].map((times) => times.at(-1) ?? 0), 1000)
  return Array.from({ length: POINTS + 1 }, (_, i) => {
    const atMs = (endMs * i) / POINTS
    return {
      atS: atMs / 1000,
      powered: until(powered, atMs),
      running: until(running, atMs),
      released: until(released, atMs),
    }
  })
}

function sorted(valuesMs: number[]): readonly number[] {
  return valuesMs.sort((a, b) => a - b)
}

/** How many of the sorted values are at most that. */
function until(values: readonly number[], most: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[middle] <= most) low = middle + 1
    else high = middle
  }
  return low
}
