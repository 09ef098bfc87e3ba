import { hash } from 'node:crypto'
import { hex, utf8 } from '@reprise/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecoveryError } from '../error.ts'
import type { Plan, RosterHost } from '../types.ts'
import { approvedBoots } from './boots.ts'
import { planDigest, shareDigest } from './digest.ts'
import { placeWitnesses } from './placement.ts'
import { readPlan } from './read.ts'
import { evenPlan, SHAPE } from './sample.ts'
import { survivalOf } from './survive.ts'

const sha256 = (data: Uint8Array): Uint8Array => hash('sha256', data, 'buffer')
const head = 'fleet: lab\nversion: 1\nlongestOutage: 8h\n'
const small = 'policy: { witnesses: 3, threshold: 2, perPdu: 4, perRoom: 4, ownZone: 3 }\n'
const host = (name: string, more = ''): string =>
  `  - { name: ${name}, address: "10.0.0.${name.slice(1)}:8471", zone: z, room: m, rack: k${name.slice(1)}, pdu: p${more} }\n`
const hosts = `hosts:\n${['h1', 'h2', 'h3', 'h4', 'h5'].map((name) => host(name)).join('')}`
const good = head + small + hosts

interface Reported {
  readonly code: string
  readonly path: string
  readonly line: number
  readonly hint: string
}

function problemsOf(text: string): readonly Reported[] {
  try {
    readPlan(utf8(text), 'plan.yaml')
  } catch (error) {
    if (error instanceof RecoveryError && error.code === 'PLAN') return error.data['problems'] as Reported[]
    throw error
  }
  return []
}

describe('readPlan', () => {
  test('takes a plan and writes out its defaults', () => {
    const plan = readPlan(utf8(good), 'plan.yaml')
    expect(plan).toMatchObject({ mode: 'quorum', longestOutageMs: 28_800_000, policy: { leaseMs: 86_400_000 } })
    expect(plan.roster.hosts[4]).toMatchObject({ id: 'h5', ak: undefined, state: 'active' })
  })

  const key = (digit: string): string => `04${digit.repeat(128)}`
  const ak = `000b${'a'.repeat(64)}`
  const bootNamed = (name: string): string => `{ name: ${name}, registers: { 4: "${'1'.repeat(64)}" } }`

  test('takes boots, keys and the cap register', () => {
    const point = key('1')
    const more = `approver: "${point}"\nimageSigners: ["${point}"]\ncap: { value: "${'5'.repeat(64)}" }\nboots:\n  - name: one\n    registers: { 7: "${'7'.repeat(64)}", 4: "${'4'.repeat(64)}" }\n    hosts: [h1]\n`
    const plan = readPlan(utf8(good.replace('name: h1', 'hardware: R650, approvals: 3, name: h1') + more), 'plan.yaml')
    const registers = [
      { pcr: 4, value: '4'.repeat(64) },
      { pcr: 7, value: '7'.repeat(64) },
    ]
    expect(plan).toMatchObject({ approver: point, imageSigners: [point], cap: { pcr: 14, value: '5'.repeat(64) } })
    expect(plan.boots).toEqual([{ name: 'one', registers, hosts: ['h1'] }])
    expect(plan.roster.hosts[0]).toMatchObject({ hardware: 'R650', approvals: 3 })
    expect(approvedBoots(plan, 'h1').map(({ name }) => name)).toEqual(['one'])
    expect(approvedBoots(plan, 'h2')).toEqual([])
  })
  test.each([
    ['SYNTAX', 'fleet: [', 1],
    ['SYNTAX', '', undefined],
    ['SYNTAX', `${good}---\nfleet: other\n`, undefined],
    ['SYNTAX', good.replace('fleet: lab', 'fleet: &a lab').replace('version: 1', 'version: *a'), undefined],
    ['SYNTAX', good.replace('fleet: lab', 'fleet: *a'), undefined],
    ['FIELD', `${good}colour: red\n`, 11],
    ['FIELD', good.replace('8h', '8 hours'), 3],
    ['FIELD', good.replace('name: h2', 'name: -h2'), 7],
    ['FIELD', `${good}services: [{ name: db, ready: { port: 1, file: /x } }]\n`, 11],
    ['HOST_DUPLICATE', good.replace('name: h2', 'name: h1'), 7],
    ['ADDRESS_DUPLICATE', good.replace('10.0.0.2', '10.0.0.1'), 7],
    ['AK_DUPLICATE', head + small + hosts.replaceAll('pdu: p', `pdu: p, ak: ${ak}`), 7],
    ['DOMAIN', good.replace('room: m, rack: k2', 'room: n, rack: k2'), 7],
    ['DOMAIN', good.replace('zone: z, room: m, rack: k2', 'zone: y, room: m, rack: k2'), 7],
    ['SERVICE_DUPLICATE', `${good}services: [{ name: db }, { name: db }]\n`, 11],
    ['SERVICE_UNKNOWN', `${good}services: [{ name: db, after: [net] }]\n`, 11],
    ['CREDENTIAL_DUPLICATE', `${good}services: [{ name: db, credentials: [a, a] }]\n`, 11],
    ['THRESHOLD', good.replace('threshold: 2', 'threshold: 4'), 4],
    ['LEASE', good.replace('threshold: 2', 'threshold: 2, lease: 8h'), 4],
    ['BREAK_GLASS', `${good}breakGlass: { needed: 2, keys: [{ name: a, key: "${key('1')}" }] }\n`, 11],
    [
      'BREAK_GLASS',
      `${good}breakGlass:\n  needed: 2\n  keys:\n    - { name: a, key: "${key('1')}" }\n    - { name: b, key: "${key('1')}" }\n`,
      15,
    ],
    [
      'BREAK_GLASS',
      `${good}breakGlass:\n  needed: 1\n  keys:\n    - { name: a, key: "${key('1')}", escrow: "${key('3')}" }\n    - { name: b, key: "${key('2')}", escrow: "${key('3')}" }\n`,
      15,
    ],
    [
      'BREAK_GLASS',
      `${good}breakGlass: { needed: 4, keys: [${Array.from({ length: 8 }, (_, i) => `{ name: o${i}, key: "${key(`${i}`)}" }`).join(', ')}] }\n`,
      11,
    ],
    ['FIELD', `${good}approver: "04"\n`, 11],
    ['FIELD', `${good}imageSigners: ["${key('1')}", 17]\n`, 11],
    ['FIELD', `${good}cap: { register: 24 }\n`, 11],
    ['FIELD', `${good}boots: [{ name: one, registers: { "24": "${'1'.repeat(64)}" } }]\n`, 11],
    ['FIELD', good.replace('name: h2', 'approvals: 0, name: h2'), 7],
    ['BOOT', `${good}cap: { register: 16 }\n`, 11],
    ['BOOT', `${good}boots: [{ name: one, registers: {} }]\n`, 11],
    ['BOOT', `${good}boots:\n  - { name: one, registers: { 23: "${'1'.repeat(64)}" } }\n`, 12],
    ['BOOT', `${good}boots: [{ name: one, registers: { 14: "${'1'.repeat(64)}" } }]\n`, 11],
    ['BOOT', `${good}boots: [{ name: one, registers: { 4: "${'1'.repeat(64)}" }, hosts: [h9] }]\n`, 11],
    ['BOOT', `${good}boots: [${bootNamed('one')}, ${bootNamed('one')}]\n`, 11],
    ['BOOT', `${good}boots: [${Array.from({ length: 9 }, (_, i) => bootNamed(`b${i}`)).join(', ')}]\n`, 11],
    ['WITNESSES', good.replace('witnesses: 3', 'witnesses: 5'), 4],
    ['CAPS', good.replace('perPdu: 4', 'perPdu: 2'), 4],
  ])('refuses with %s %#', (code, text, line) => {
    const [problem] = problemsOf(text)
    expect(problem).toMatchObject({ code, ...(line !== undefined && { line }) })
    expect(problem.hint).not.toBe('')
  })

  test('names the whole circle of services', () => {
    const services =
      'services: [{ name: a, after: [b] }, { name: b, after: [c] }, { name: c, after: [b] }, { name: d, after: [a] }]\n'
    expect(() => readPlan(utf8(good + services), 'plan.yaml')).toThrow('b after c after b')
  })

  test('takes a chain of a thousand services', () => {
    const chain = Array.from({ length: 1000 }, (_, i) => `  - { name: s${i}${i > 0 ? `, after: [s${i - 1}]` : ''} }\n`)
    expect(readPlan(utf8(`${good}services:\n${chain.reverse().join('')}`), 'x').services).toHaveLength(1000)
  })

  test('reports all mistakes at once', () => {
    const text = good
      .replace('name: h2', 'name: h1')
      .replace('10.0.0.4', '10.0.0.3')
      .replace('threshold: 2', 'threshold: 9')
    expect(problemsOf(text).map(({ code }) => code)).toEqual(['HOST_DUPLICATE', 'ADDRESS_DUPLICATE', 'THRESHOLD'])
  })

  test('needs no witnesses in a fleet of one that is tpm-only', () => {
    const plan = readPlan(utf8(`${head}mode: tpm-only\nhosts:\n${host('h1')}`), 'plan.yaml')
    expect(placeWitnesses(plan).witnesses.map((list) => list.length)).toEqual([0])
  })

  test('never fails in another way, whatever it reads', () => {
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.string({ maxLength: 8 }), fc.nat(12), (at, added, cut) => {
        problemsOf(good.slice(0, at) + added + good.slice(at + cut))
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 75 : 300 },
    )
  })
})

describe('digests', () => {
  test('of a plan depend on every field, and not on how it was written', () => {
    const digest = (text: string): string => hex(planDigest(readPlan(utf8(text), 'x'), sha256))
    expect(digest(`# a comment\n${good}`)).toBe(digest(good))
    expect(digest(good.replace('threshold: 2', 'threshold: 3'))).not.toBe(digest(good))
    expect(digest(good.replace('pdu: p }', `pdu: p, ak: 000b${'a'.repeat(64)} }`))).not.toBe(digest(good))
  })

  test('of a share bind its host, epoch and index', () => {
    const bytes = new Uint8Array(33)
    const of = (host: string, epoch: number, index: number): string =>
      hex(shareDigest({ host, epoch, index }, bytes, sha256))
    expect(new Set([of('a', 1, 1), of('b', 1, 1), of('a', 2, 1), of('a', 1, 2)]).size).toBe(4)
  })
})

/** Fleets with rooms of several sizes, some hosts expunged, and policies that may ask too much. */
const plans = fc
  .record({
    zones: fc.integer({ min: 1, max: 3 }),
    roomsPerZone: fc.integer({ min: 1, max: 3 }),
    racksPerRoom: fc.integer({ min: 1, max: 4 }),
    hostsPerRack: fc.integer({ min: 1, max: 3 }),
    racksPerPdu: fc.integer({ min: 1, max: 2 }),
    witnesses: fc.integer({ min: 2, max: 8 }),
    threshold: fc.integer({ min: 2, max: 4 }),
    perPdu: fc.integer({ min: 1, max: 2 }),
    perRoom: fc.integer({ min: 1, max: 4 }),
    ownZone: fc.integer({ min: 0, max: 8 }),
    keep: fc.infiniteStream(fc.integer({ min: 0, max: 5 })),
  })
  .map(({ keep, witnesses, threshold, perPdu, perRoom, ownZone, ...shape }): Plan => {
    const plan = evenPlan(shape, { witnesses, threshold, perPdu, perRoom, ownZone })
    const roster = plan.roster.hosts.filter(() => keep.next().value !== 0)
    return { ...plan, roster: { version: 1, hosts: roster } }
  })

function most<T>(values: readonly T[]): number {
  const counts = new Map<T, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return Math.max(0, ...counts.values())
}

describe('placeWitnesses', () => {
  test('keeps every cap, or there is none within the caps', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const { policy } = plan
        let placement
        try {
          placement = placeWitnesses(plan)
        } catch (error) {
          expect((error as RecoveryError).code).toBe('PLACEMENT')
          const active = plan.roster.hosts
          expect(active.some((host) => capacity(host, active, plan) < policy.witnesses)).toBe(true)
          return
        }
        for (const [i, own] of placement.hosts.entries()) {
          const chosen = [...placement.witnesses[i]].map((at) => placement.hosts[at].domain)
          expect(new Set(placement.witnesses[i]).size).toBe(policy.witnesses)
          expect(chosen.some(({ rack }) => rack === own.domain.rack)).toBe(false)
          expect(most([...chosen, own.domain].map(({ pdu }) => pdu))).toBeLessThanOrEqual(Math.max(policy.perPdu, 1))
          expect(most(chosen.map(({ room }) => room))).toBeLessThanOrEqual(policy.perRoom)
          expect(chosen.filter(({ zone }) => zone === own.domain.zone).length).toBeLessThanOrEqual(policy.ownZone)
        }
      }),
    )
  })

  test('does not depend on the order of the hosts', () => {
    const plan = evenPlan({ zones: 2, roomsPerZone: 4, racksPerRoom: 4, hostsPerRack: 2, racksPerPdu: 1 })
    const turned = { ...plan, roster: { version: 1, hosts: plan.roster.hosts.toReversed() } }
    expect(placeWitnesses(turned)).toEqual(placeWitnesses(plan))
  })

  test('loads ten thousand hosts evenly', () => {
    const { load } = survivalOf(placeWitnesses(evenPlan(SHAPE)), 5)
    expect(load.most - load.least).toBeLessThanOrEqual(3)
  })
})

/** How many witnesses the caps admit for a host, counted without choosing any. */
function capacity({ id, domain }: RosterHost, active: readonly RosterHost[], { policy }: Plan): number {
  const perRoom = new Map<string, Map<string, number>>()
  for (const other of active.filter((each) => each.id !== id && each.domain.rack !== domain.rack)) {
    const pdus = perRoom.get(other.domain.room) ?? new Map<string, number>()
    perRoom.set(other.domain.room, pdus.set(other.domain.pdu, (pdus.get(other.domain.pdu) ?? 0) + 1))
  }
  let own = 0
  let others = 0
  for (const [room, pdus] of perRoom) {
    const fits = [...pdus].map(([pdu, count]) => Math.min(count, policy.perPdu - (pdu === domain.pdu ? 1 : 0)))
    const count = Math.min(
      policy.perRoom,
      fits.reduce((a, b) => a + b, 0),
    )
    if (active.find((each) => each.domain.room === room)?.domain.zone === domain.zone) own += count
    else others += count
  }
  return Math.min(own, policy.ownZone) + others
}

describe('survivalOf', () => {
  test('agrees with trying every loss and every theft', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        let placement
        try {
          placement = placeWitnesses(plan)
        } catch {
          return
        }
        const { threshold, witnesses } = plan.policy
        if (threshold > witnesses || placement.hosts.length === 0) return
        const survival = survivalOf(placement, threshold)
        const losses = [...(survival.together ?? []), { zones: 0, rooms: 0, racks: survival.alone.racks }]
        for (const { zones, rooms, racks } of losses) {
          expect(worstLeft(placement, { zones, rooms, racks })).toBeGreaterThanOrEqual(threshold)
          expect(worstLeft(placement, { zones, rooms, racks: racks + 1 })).toBeLessThan(threshold)
        }
      }),
      { numRuns: 30 },
    )
  })

  test('knows the fleet of ten thousand', () => {
    const survival = survivalOf(placeWitnesses(evenPlan(SHAPE)), 5)
    expect(survival).toMatchObject({ hosts: 10_240, zoneAlone: 10_240, roomAlone: 0 })
    expect(survival.alone).toEqual({ zones: 3, rooms: 7, racks: 10, hosts: 10 })
    expect(survival.thefts.map(({ kind, least }) => [kind, least])).toEqual([
      ['rack', 6],
      ['room', 3],
      ['zone', 1],
    ])
  })
})

/** The fewest witnesses that any host has left, over every choice of foreign zones, rooms and racks. */
function worstLeft(
  { hosts, witnesses }: ReturnType<typeof placeWitnesses>,
  gone: { readonly zones: number; readonly rooms: number; readonly racks: number },
): number {
  let worst = Infinity
  for (const [i, own] of hosts.entries()) {
    const left = [...witnesses[i]].map((at) => hosts[at].domain)
    worst = Math.min(worst, lose(left, own.domain, gone))
  }
  return worst
}

type Domains = readonly RosterHost['domain'][]

function lose(left: Domains, own: RosterHost['domain'], gone: { zones: number; rooms: number; racks: number }): number {
  const kind = gone.zones > 0 ? 'zone' : gone.rooms > 0 ? 'room' : gone.racks > 0 ? 'rack' : undefined
  if (kind === undefined) return left.length
  const names = [...new Set(left.map((domain) => domain[kind]).filter((name) => name !== own[kind]))]
  let worst = Infinity
  for (const chosen of subsets(names, Math.min(gone[`${kind}s`], names.length))) {
    const standing = left.filter((domain) => !chosen.includes(domain[kind]))
    worst = Math.min(worst, lose(standing, own, { ...gone, [`${kind}s`]: 0 }))
  }
  return worst
}

function subsets(names: readonly string[], count: number): string[][] {
  if (count === 0) return [[]]
  return names.flatMap((name, i) => subsets(names.slice(i + 1), count - 1).map((rest) => [name, ...rest]))
}
