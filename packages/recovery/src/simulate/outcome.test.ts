import { describe, expect, test } from 'vitest'
import { evenFleet } from '../plan/sample.ts'
import { betaCumulative, rateOf } from './bounds.ts'
import { curvesSvg } from './curves.ts'
import { fleetOf } from './fleet.ts'
import { randomFrom } from './random.ts'
import { simulate } from './run.ts'
import { scenarioNamed } from './scenario.ts'

test('a rack comes back, and a stolen one does not', async () => {
  const fleet = fleetOf(evenFleet(300))
  expect(fleet.views).toHaveLength(300)
  const dark = await simulate(fleet, scenarioNamed('fleet-dark', { never: 0 }), 1)
  expect(dark).toMatchObject({ affected: 300, returned: 300, released: 300, falseReleases: { trials: 0 } })
  const stolen = await simulate(fleet, scenarioNamed('stolen-room'), 1)
  expect(stolen.falseReleases.count).toBe(0)
  expect(stolen.falseReleases.trials).toBeGreaterThan(10)
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
