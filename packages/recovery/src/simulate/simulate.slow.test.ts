import { describe, expect, test } from 'vitest'
import { evenPlan } from '../plan/sample.ts'
import { explain } from './explain.ts'
import { fleetOf } from './fleet.ts'
import { simulate, simulateThefts } from './run.ts'
import { SCENARIOS, scenarioNamed, scopeNamed } from './scenario.ts'

/** 512 hosts in 64 racks, 16 rooms and 4 zones: small enough for every scenario. */
const fleet = fleetOf(evenPlan({ zones: 4, roomsPerZone: 4, racksPerRoom: 4, hostsPerRack: 8, racksPerPdu: 1 }))

describe('simulate', () => {
  test('gives the same answer for the same seed, and another for another', async () => {
    const scenario = scenarioNamed('bad-day')
    const first = await simulate(fleet, scenario, 7)
    expect(await simulate(fleet, scenario, 7)).toEqual(first)
    expect(await simulate(fleet, scenario, 8)).not.toEqual(first)
  })

  test.each(['fleet-dark', 'zone-gone', 'zone-dark', 'rack-dark', 'flapping', 'bad-day'])(
    '%s: nearly all come back',
    async (name) => {
      const { stuck, released, within20Min } = await simulate(fleet, scenarioNamed(name), 3)
      expect(released).toBeGreaterThan(5)
      expect(stuck.count).toBeLessThanOrEqual(0.005 * stuck.trials)
      if (name === 'fleet-dark') expect(within20Min.rate).toBeGreaterThanOrEqual(0.995)
    },
  )

  test('a zone that is dark and cut off comes back by itself', async () => {
    const { stuck } = await simulate(fleet, scenarioNamed('zone-cut'), 3)
    expect(stuck.count).toBeLessThanOrEqual(0.03 * stuck.trials)
  })

  test.each(['room-cut', 'host-cut'])('%s: holds until the cable is mended', async (name) => {
    const { stuck, within20Min } = await simulate(fleet, scenarioNamed(name), 3)
    expect({ stuck: stuck.count, early: within20Min.count }).toEqual({ stuck: 0, early: 0 })
  })

  test.each(['stolen-host', 'stolen-rack', 'stolen-room', 'stolen-relay'])('%s: nothing is released', async (name) => {
    const { falseReleases } = await simulate(fleet, scenarioNamed(name), 3)
    expect(falseReleases.trials).toBeGreaterThan(0)
    expect(falseReleases.count).toBe(0)
  })

  test('a stolen zone is more than the plan bears: the simulation sees what it must', async () => {
    const { falseReleases } = await simulate(fleet, scenarioNamed('stolen-zone'), 3)
    expect(falseReleases.count).toBeGreaterThan(0)
  })

  test('witnesses that must be unlocked first would leave the whole fleet dark: a plan of two zones has no such trap', async () => {
    const two = fleetOf(evenPlan({ zones: 2, roomsPerZone: 5, racksPerRoom: 4, hostsPerRack: 2, racksPerPdu: 1 }))
    const { stuck } = await simulate(two, scenarioNamed('fleet-dark', { never: 0 }), 1)
    expect(stuck.count).toBe(0)
  })

  test('thefts: nothing in three thousand attempts; through a near relay some, so that it is seen', async () => {
    const options = { trials: 3000, seed: 1, liars: 0.4 }
    const { all, host, rack, room } = await simulateThefts(fleet, { ...options, relay: false })
    expect(all).toMatchObject({ count: 0, trials: 3000 })
    expect([host, rack, room].map(({ trials }) => trials)).toEqual([1000, 1000, 1000])
    const lax = fleetOf(
      evenPlan(
        { zones: 4, roomsPerZone: 4, racksPerRoom: 4, hostsPerRack: 8, racksPerPdu: 1 },
        { roundTripMarginMs: 100 },
      ),
    )
    const near = { ...options, trials: 600, relay: true }
    const { all: found, released } = await simulateThefts(lax, near)
    const whole = found.count
    expect(whole).toBeGreaterThan(0)
    // Each that was found is played again by its number.
    const again = await simulateThefts(lax, { ...near, trials: 1, first: released[0] })
    expect(again).toMatchObject({ all: { count: 1, trials: 1 }, released: [released[0]] })
    const halves = [0, 300].map((first) => simulateThefts(lax, { ...near, trials: 300, first }))
    const [one, other] = await Promise.all(halves)
    expect(one.all.count + other.all.count).toBe(whole)
  })

  test('ends at once when it is told to', async () => {
    await expect(
      simulate(fleet, scenarioNamed('flapping'), 1, { signal: AbortSignal.abort(new Error('enough')) }),
    ).rejects.toThrow('enough')
  })

  test('refuses scenarios that the fleet does not have', async () => {
    expect(() => scenarioNamed('flood')).toThrow(expect.objectContaining({ code: 'SCENARIO' }))
    await expect(simulate(fleet, scenarioNamed('rack-dark', { outages: 65 }), 1)).rejects.toThrow('the fleet has 64')
    expect(Object.keys(SCENARIOS).length).toBeGreaterThan(10)
  })
})

describe('explain', () => {
  const host = fleet.views[0].id
  test('says what a host waits for that is cut off, off, healthy, released or stolen', () => {
    const at = (name: string, change: object, minutes: number) =>
      explain(fleet, scenarioNamed(name, change), 1, host, minutes * 60_000)
    const cut = at('fleet-dark', { never: 0, cut: 'host' }, 20)
    expect(cut).toMatchObject({ phase: 'holding', sharesHeld: 0, sharesNeeded: 5, verdict: { action: 'hold' } })
    expect(cut.changes[1]).toContain('5 more of its witnesses')
    expect(cut.peers).toHaveLength(18)
    expect(at('fleet-dark', { never: 1 }, 20)).toMatchObject({ phase: 'off', changes: ['power'] })
    expect(at('fleet-dark', { outage: 'none' }, 20)).toMatchObject({ phase: 'healthy', changes: [] })
    expect(at('fleet-dark', { never: 0 }, 60)).toMatchObject({ phase: 'released', changes: [], sharesHeld: 5 })
    const stolen = at('stolen-zone', { stolen: 'host', thefts: 512, theftMs: 60_000 * 600 }, 620)
    expect(stolen).toMatchObject({ isStolen: true, phase: 'locked', sharesHeld: 0 })
    expect(stolen.changes[0]).toContain('looks stolen')
  })

  test('refuses a host that is not there', () => {
    expect(() => explain(fleet, scenarioNamed('fleet-dark'), 1, 'nobody', 0)).toThrow('no active host nobody')
  })
})

describe('what is struck by name', () => {
  test('is that and nothing else', async () => {
    expect(scopeNamed(fleet, 'z1')).toBe('zone')
    expect(scopeNamed(fleet, 'z1-m0-k0-h0')).toBe('host')
    const outcome = await simulate(fleet, scenarioNamed('rack-dark', { named: 'z1-m0-k0' }), 3)
    expect(outcome.affected).toBe(8)
    expect(() => scopeNamed(fleet, 'z9')).toThrow('no zone')
    await expect(simulate(fleet, scenarioNamed('rack-dark', { named: 'z9' }), 3)).rejects.toThrow('no rack z9')
  })
})
