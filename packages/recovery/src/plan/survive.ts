/**
 * What a placement bears, and what theft defeats it (spec/recovery.md §2.7): exact, because hosts whose witnesses are
 * spread in the same pattern fare alike, and there are few patterns.
 */
import type { Placement } from './placement.ts'

/** Zones and rooms that are tried as gone together; racks are counted to the end. */
const ZONES_GONE_MAX = 2
const ROOMS_GONE_MAX = 3
/** Above it combinations are left out and single kinds stay: patterns times sets of rooms, a second of work. */
const COMBINATIONS_MAX = 30_000_000

/** How many witnesses of a host stand in each rack, by room, by zone. The own zone and in it the own room come first, and may be empty. */
interface Pattern {
  readonly zones: readonly (readonly (readonly number[])[])[]
  /** How many hosts have it. */
  hosts: number
  readonly example: number
}

/** With so many zones and rooms gone, other than the host's own, so many racks may be gone besides. */
export interface Loss {
  readonly zones: number
  readonly rooms: number
  readonly racks: number
}

export interface Theft {
  readonly kind: 'rack' | 'room' | 'zone'
  /** Racks, rooms or zones, the host's own among them, that hold enough shares of some host. */
  readonly least: number
  /** How many hosts that least theft would do for. */
  readonly hosts: number
  /** One of them. */
  readonly example: string
}

export interface Survival {
  readonly hosts: number
  /** Distinct patterns; all hosts of one fare alike. */
  readonly patterns: number
  /** Any so many may be gone for good, the host's own ones apart, and every host still finds K witnesses. */
  readonly alone: { readonly zones: number; readonly rooms: number; readonly racks: number; readonly hosts: number }
  /** Combinations; undefined where there are too many to go through. */
  readonly together: readonly Loss[] | undefined
  /** Hosts with at least K witnesses in their own zone: they come back although it is cut off from the others. */
  readonly zoneAlone: number
  /** Hosts with at least K witnesses in their own room. */
  readonly roomAlone: number
  /** A kind is absent where no number of them is enough. */
  readonly thefts: readonly Theft[]
  /** Shares that a host keeps for others. */
  readonly load: { readonly least: number; readonly most: number }
}

export function survivalOf(placement: Placement, threshold: number): Survival {
  const patterns = patternsOf(placement)
  const spare = (counts: readonly number[], gone: number, total: number): boolean =>
    total - sum(counts.toSorted(descending).slice(0, gone)) >= threshold
  const mostGone = (countsOf: (pattern: Pattern) => readonly number[]): number =>
    Math.min(
      ...patterns.map((pattern) => {
        const counts = countsOf(pattern)
        let gone = 0
        // Past the last list nothing more can be lost.
        while (gone < counts.length && spare(counts, gone + 1, total(pattern))) gone += 1
        return gone
      }),
    )
  const hostsWith = (holds: (pattern: Pattern) => boolean): number =>
    sum(patterns.filter(holds).map(({ hosts }) => hosts))
  return {
    hosts: placement.hosts.length,
    patterns: patterns.length,
    alone: {
      zones: mostGone(({ zones }) => zones.slice(1).map(ofZone)),
      rooms: mostGone(({ zones }) => zones.flatMap((zone, i) => zone.map(sum).slice(i === 0 ? 1 : 0))),
      racks: mostGone((pattern) => pattern.zones.flat(2)),
      hosts: Math.min(...patterns.map((pattern) => total(pattern) - threshold)),
    },
    together: combinations(patterns, threshold),
    zoneAlone: hostsWith(({ zones: [own] }) => ofZone(own) >= threshold),
    roomAlone: hostsWith(({ zones: [[own]] }) => sum(own) >= threshold),
    thefts: thefts(placement, patterns, threshold),
    load: loadOf(placement),
  }
}

function patternsOf({ hosts, witnesses }: Placement): readonly Pattern[] {
  const patterns = new Map<string, Pattern>()
  for (const [i, { domain }] of hosts.entries()) {
    const byZone = new Map<string, Map<string, Map<string, number>>>([
      [domain.zone, new Map([[domain.room, new Map()]])],
    ])
    for (const witness of witnesses[i]) {
      const { zone, room, rack } = hosts[witness].domain
      const rooms = byZone.get(zone) ?? new Map<string, Map<string, number>>()
      const racks = rooms.get(room) ?? new Map<string, number>()
      byZone.set(zone, rooms.set(room, racks.set(rack, (racks.get(rack) ?? 0) + 1)))
    }
    // The own zone and room were put in first and stay there; the order of the others says nothing.
    const zones = [...byZone.values()].map((rooms) =>
      [...rooms.values()].map((racks) => [...racks.values()].sort(descending)),
    )
    const [[ownRoom, ...ownOthers], ...others] = zones
    const ordered = [[ownRoom, ...sorted(ownOthers)], ...sorted(others.map((rooms) => sorted(rooms)))]
    const key = JSON.stringify(ordered)
    const pattern = patterns.get(key)
    if (pattern === undefined) patterns.set(key, { zones: ordered, hosts: 1, example: i })
    else pattern.hosts += 1
  }
  return [...patterns.values()]
}

/** The frontier: for each number of zones and rooms, how many racks more. */
function combinations(patterns: readonly Pattern[], threshold: number): readonly Loss[] | undefined {
  const work = sum(
    patterns.map(({ zones }) => 2 ** Math.min(zones.length, 20) * Math.max(zones.flat().length, 1) ** ROOMS_GONE_MAX),
  )
  if (work > COMBINATIONS_MAX) return undefined
  const losses: Loss[] = []
  for (let zones = 0; zones <= ZONES_GONE_MAX; zones++)
    for (let rooms = 0; rooms <= ROOMS_GONE_MAX; rooms++) {
      const racks = Math.min(...patterns.map((pattern) => racksAfter(pattern, { zones, rooms, threshold })))
      if (racks >= 0) losses.push({ zones, rooms, racks })
    }
  return losses
}

/** Racks that may still be gone after the worst choice of so many zones and rooms; -1 when too few witnesses are left. */
function racksAfter(
  { zones: [own, ...others] }: Pattern,
  { zones, rooms, threshold }: { readonly zones: number; readonly rooms: number; readonly threshold: number },
): number {
  let worst = Infinity
  for (const left of choices(others, Math.min(zones, others.length))) {
    const roomsLeft = [...own.slice(1), ...left.flat()]
    for (const standing of choices(roomsLeft, Math.min(rooms, roomsLeft.length))) {
      const racks = [...own[0], ...standing.flat()].sort(descending)
      let witnesses = sum(racks)
      if (witnesses < threshold) return -1
      let gone = 0
      while (gone < racks.length && witnesses - racks[gone] >= threshold) {
        witnesses -= racks[gone]
        gone += 1
      }
      worst = Math.min(worst, gone)
    }
  }
  return worst
}

/** What is left of the items after each choice of `count` of them. */
function* choices<T>(items: readonly T[], count: number, from = 0): Generator<readonly T[]> {
  if (count === 0) {
    yield items
    return
  }
  for (let i = from; i + count <= items.length; i++)
    yield* choices([...items.slice(0, i), ...items.slice(i + 1)], count - 1, i)
}

function thefts({ hosts }: Placement, patterns: readonly Pattern[], threshold: number): readonly Theft[] {
  const found: Theft[] = []
  const kinds = [
    ['rack', ({ zones }: Pattern) => [0, ...zones.flat(2).sort(descending)]],
    [
      'room',
      ({ zones: [[own, ...near], ...far] }: Pattern) => [
        sum(own),
        ...[...near, ...far.flat()].map(sum).sort(descending),
      ],
    ],
    ['zone', ({ zones: [own, ...far] }: Pattern) => [ofZone(own), ...far.map(ofZone).sort(descending)]],
  ] as const
  for (const [kind, countsOf] of kinds) {
    let least = Infinity
    let of: Pattern[] = []
    for (const pattern of patterns) {
      const counts = countsOf(pattern)
      let shares = 0
      const needed = counts.findIndex((count) => (shares += count) >= threshold) + 1
      if (needed === 0 || needed > least) continue
      of = needed === least ? [...of, pattern] : [pattern]
      least = needed
    }
    if (least < Infinity)
      found.push({ kind, least, hosts: sum(of.map((pattern) => pattern.hosts)), example: hosts[of[0].example].id })
  }
  return found
}

function loadOf({ hosts, witnesses }: Placement): Survival['load'] {
  const held = new Int32Array(hosts.length)
  for (const list of witnesses) for (const witness of list) held[witness] += 1
  let least = Infinity
  let most = 0
  for (const count of held) {
    least = Math.min(least, count)
    most = Math.max(most, count)
  }
  return { least: hosts.length === 0 ? 0 : least, most }
}

const descending = (a: number, b: number): number => b - a
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const ofZone = (zone: readonly (readonly number[])[]): number => sum(zone.map(sum))
const total = ({ zones }: Pattern): number => sum(zones.map(ofZone))

function sorted<T>(lists: readonly T[]): T[] {
  return lists
    .map((list) => ({ list, key: JSON.stringify(list) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ list }) => list)
}
