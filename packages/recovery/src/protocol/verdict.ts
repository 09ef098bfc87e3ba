/**
 * What has happened to a host, as odds over five hypotheses: spec/recovery.md §6. It can hold back and choose the way
 * of booting; it replaces no rule of the gate.
 */
import type { PriorShutdown } from '../types.ts'
import { type Nearness, type PeerStatus, type Shutdown, shutdownOf, STATUSES } from './facts.ts'
import { HEARTBEAT_MS } from './lease.ts'

export const HYPOTHESES = ['clean', 'isolated', 'mass', 'partition', 'theft'] as const
export type Hypothesis = (typeof HYPOTHESES)[number]

export interface Evidence {
  readonly prior: PriorShutdown
  /** Undefined facts are left out. */
  readonly leaseAgeMs: number | undefined
  readonly measurementApproved: boolean | undefined
  readonly roundTripHolds: boolean | undefined
  readonly peers: readonly { readonly nearness: Nearness; readonly status: PeerStatus }[]
}

export type Action = 'boot' | 'boot-checked' | 'recover' | 'hold' | 'lock'
/** `zone-cut`: a zone that is dark and sees no other. */
export type Extent = 'rack' | 'room' | 'zone' | 'zone-cut' | 'fleet'

export interface Verdict {
  readonly action: Action
  readonly likeliest: Hypothesis
  readonly odds: Readonly<Record<Hypothesis, number>>
  /** How far a mass outage would best explain what is seen. */
  readonly extent: Extent
}

/** Whether shares may be asked for, given and combined. */
export function releases({ action }: Verdict): boolean {
  return action !== 'hold' && action !== 'lock'
}

const PRIOR: Row = [0.9, 0.07, 0.025, 0.0045, 0.0005]
const SHUTDOWN: Readonly<Record<Exclude<Shutdown, 'unknown'>, Row>> = {
  clean: [0.985, 0.004, 0.004, 0.004, 0.3],
  orderly: [0.013, 0.03, 0.03, 0.03, 0.2],
  lost: [0.002, 0.966, 0.966, 0.966, 0.5],
}
const MORE_RESETS_MEAN: Row = [0.05, 0.05, 0.35, 0.35, 1.5]
const AGE_MEDIAN_MINUTES: Row = [5, 12, 70, 70, 1500]
const APPROVED: Row = [0.999, 0.999, 0.999, 0.999, 0.7]
const ROUND_TRIP: Row = [0.999, 0.999, 0.999, 0.999, 0.5]
/** A group of n peers counts as n^0.35 of its mean. */
const TEMPER = 0.35
const EXTENTS = ['rack', 'room', 'zone', 'zone-cut', 'fleet'] as const

type Row = readonly [number, number, number, number, number]

/** Chances of the five statuses, softened so that nothing is impossible, as logarithms. */
const soft = (row: Row): Row => row.map((chance) => Math.log((chance + 0.01) / 1.05)) as unknown as Row
const UP = soft([0.965, 0.01, 0.005, 0, 0.02])
const OUT = soft([0, 0.82, 0, 0, 0.18])
const DARK = soft([0, 0, 0, 0, 1])
const FOREIGN = soft([0, 0, 0, 0.6, 0.4])

/** Log likelihood of what one group shows, under each of the four tables. */
interface Group {
  readonly nearness: Nearness
  readonly up: number
  readonly out: number
  readonly dark: number
  readonly foreign: number
}

export function judge(evidence: Evidence, theftOdds: number): Verdict {
  const groups = groupsOf(evidence.peers)
  const extents = EXTENTS.map((extent) => total(groups, (group) => massScore(extent, group)))
  const scores = HYPOTHESES.map((_, i) => ownScore(evidence, i))
  const allUp = total(groups, ({ up }) => up)
  scores[0] += allUp
  scores[1] += allUp
  scores[2] += logMean(extents)
  scores[3] += logMean(partitions(groups))
  scores[4] += theft(groups, allUp)
  const all = logSum(scores)
  const [clean, isolated, mass, partition, stolen] = scores.map((score) => Math.exp(score - all))
  const odds = { clean, isolated, mass, partition, theft: stolen }
  const likeliest = HYPOTHESES.reduce((best, each) => (odds[each] > odds[best] ? each : best))
  const extent = EXTENTS[extents.indexOf(Math.max(...extents))]
  return { action: stolen >= theftOdds || likeliest === 'theft' ? 'lock' : ACTIONS[likeliest], likeliest, odds, extent }
}

const ACTIONS = { clean: 'boot', isolated: 'boot-checked', mass: 'recover', partition: 'hold' } as const

/** What the host itself shows. */
function ownScore(evidence: Evidence, i: number): number {
  const { prior, leaseAgeMs, measurementApproved, roundTripHolds } = evidence
  const shutdown = shutdownOf(prior)
  const { clean, orderly, lost } = SHUTDOWN
  let score = Math.log(PRIOR[i] * (shutdown === 'unknown' ? 1 - clean[i] : { clean, orderly, lost }[shutdown][i]))
  const resets = prior.resetIncrease.value
  if (resets !== undefined) {
    const more = Math.max(0, resets - 1)
    score += more * Math.log(MORE_RESETS_MEAN[i]) - MORE_RESETS_MEAN[i]
  }
  if (leaseAgeMs !== undefined) {
    // Within an interval the age says when the last heartbeat happened to be, and nothing of what came then.
    const minutes = Math.max(leaseAgeMs, HEARTBEAT_MS) / 60_000
    score -= Math.log(minutes / AGE_MEDIAN_MINUTES[i]) ** 2 / 2
  }
  if (measurementApproved !== undefined) score += chance(APPROVED[i], measurementApproved)
  if (roundTripHolds !== undefined) score += chance(ROUND_TRIP[i], roundTripHolds)
  return score
}

function chance(probability: number, holds: boolean): number {
  return Math.log(holds ? probability : 1 - probability)
}

function groupsOf(peers: Evidence['peers']): readonly Group[] {
  const counts: number[][] = []
  for (const { nearness, status } of peers) {
    counts[nearness] ??= [0, 0, 0, 0, 0]
    counts[nearness][STATUSES.indexOf(status)] += 1
  }
  return counts.flatMap((seen, nearness) => {
    const size = seen.reduce((sum, count) => sum + count, 0)
    const weight = size ** TEMPER / size
    const score = (row: Row): number => weight * seen.reduce((sum, count, status) => sum + count * row[status], 0)
    return [{ nearness, up: score(UP), out: score(OUT), dark: score(DARK), foreign: score(FOREIGN) }]
  })
}

/** Whether a group is within that reach: 0 the rack, 1 the room, 2 the zone. */
function reaches(reach: number, { nearness }: Group): boolean {
  return nearness <= reach
}

function massScore(extent: Extent, group: Group): number {
  if (extent === 'fleet') return group.out
  if (extent === 'zone-cut') return reaches(2, group) ? group.out : group.dark
  return reaches(EXTENTS.indexOf(extent), group) ? group.out : group.up
}

/**
 * Nothing can be reached, or rack or room (up or out as a whole), or a zone that is up; the rest is dark. A zone that is
 * out and sees no other is a mass outage: it has witnesses enough to come back by itself.
 */
function partitions(groups: readonly Group[]): readonly number[] {
  const near = (reach: number, table: 'up' | 'out'): number =>
    total(groups, (group) => (reaches(reach, group) ? group[table] : group.dark))
  return [
    total(groups, ({ dark }) => dark),
    near(0, 'up'),
    near(0, 'out'),
    near(1, 'up'),
    near(1, 'out'),
    near(2, 'up'),
  ]
}

function theft(groups: readonly Group[], allUp: number): number {
  const withOut = (reach: number): number =>
    total(groups, (group) => (reaches(reach, group) ? group.out : group.foreign))
  return logSum([
    Math.log(0.5) + total(groups, ({ foreign }) => foreign),
    Math.log(0.15) + withOut(0),
    Math.log(0.15) + withOut(1),
    Math.log(0.2) + allUp,
  ])
}

function total(groups: readonly Group[], score: (group: Group) => number): number {
  let sum = 0
  for (const group of groups) sum += score(group)
  return sum
}

function logSum(logs: readonly number[]): number {
  const most = Math.max(...logs)
  return most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0))
}

function logMean(logs: readonly number[]): number {
  return logSum(logs) - Math.log(logs.length)
}
