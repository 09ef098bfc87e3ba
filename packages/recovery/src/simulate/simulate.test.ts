import { describe, expect, test } from 'vitest'
import { evenPlan } from '../plan/sample.ts'
import { betaCumulative, rateOf } from './bounds.ts'
import { curvesSvg } from './curves.ts'
import { fleetOf } from './fleet.ts'
import { randomFrom } from './random.ts'
import { simulate, simulateThefts } from './run.ts'
import { SCENARIOS, scenarioNamed } from './scenario.ts'

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
    expect((await simulateThefts(lax, { ...options, trials: 600, relay: true })).all.count).toBeGreaterThan(0)
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

describe('bounds', () => {
  test('are those of Clopper and Pearson', () => {
    // R: binom.test(5, 100)$conf.int and binom.test(1, 10)$conf.int
    expect(rateOf(5, 100).low).toBeCloseTo(0.01643188, 7)
    expect(rateOf(5, 100).high).toBeCloseTo(0.11283491, 7)
    expect(rateOf(1, 10).low).toBeCloseTo(0.002528579, 8)
    expect(rateOf(1, 10).high).toBeCloseTo(0.4450161, 6)
  })

  test('without an event: three over the trials', () => {
    expect(1e6 * rateOf(0, 1e6).high).toBeCloseTo(2.9957, 3)
    expect(rateOf(7, 7)).toMatchObject({ high: 1 })
    expect(rateOf(0, 0)).toMatchObject({ rate: undefined, low: 0, high: 1 })
  })

  test('the beta function where it has a short form', () => {
    expect(betaCumulative(0.3, 1, 1)).toBeCloseTo(0.3, 12)
    expect(betaCumulative(0.3, 2, 1)).toBeCloseTo(0.09, 12)
  })
})

describe('chance', () => {
  test('streams of one seed differ, and are even', () => {
    const a = randomFrom(1, 'a')
    const b = randomFrom(1, 'b')
    const values = Array.from({ length: 20_000 }, () => a.next())
    expect(values.slice(0, 5)).not.toEqual(Array.from({ length: 5 }, () => b.next()))
    expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeCloseTo(0.5, 2)
    const [low, high] = [randomFrom(2 ** 33 + 1, 'a').next(), randomFrom(1, 'a').next()]
    expect(low).not.toBe(high)
  })
})

test('curves are one SVG that escapes what it is called', () => {
  const svg = curvesSvg(
    [
      { atS: 0, powered: 0, running: 0, released: 0 },
      { atS: 60, powered: 9, running: 8, released: 7 },
    ],
    'a <b> & "c"',
  )
  expect(svg).toContain('a &#60;b&#62; &#38; &#34;c&#34;')
  expect(svg.match(/<path /g)).toHaveLength(3)
  expect(svg.endsWith('</svg>\n')).toBe(true)
})
