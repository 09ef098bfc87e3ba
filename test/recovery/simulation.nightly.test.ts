/** What takes minutes of simulation: a million thefts, and a hundred thousand hosts. */
import { describe, expect, test } from 'vitest'
import { evenFleet, fleetOf, scenarioNamed, simulate, simulateThefts } from '../../packages/recovery/src/index.ts'

const PIECE = 100_000
const SEED = 2611

describe('a million thefts of hosts, racks and rooms, with 40 % liars among the rest', () => {
  const fleet = fleetOf(evenFleet(10_240))
  // In pieces, so that it is seen how far it is, and one can be done again by itself.
  test.each(Array.from({ length: 10 }, (_, i) => i * PIECE))(
    'from %i on: nothing is released',
    async (first) => {
      const { all } = await simulateThefts(fleet, { trials: PIECE, first, seed: SEED, relay: false, liars: 0.4 })
      expect(all).toMatchObject({ count: 0, trials: PIECE })
    },
    3_600_000,
  )
})

describe('a hundred thousand hosts', () => {
  test.each(['fleet-dark', 'zone-gone'])(
    '%s: nearly all come back',
    async (name) => {
      const { stuck, within20Min } = await simulate(fleetOf(evenFleet(100_000)), scenarioNamed(name), SEED)
      expect(stuck.count).toBeLessThanOrEqual(0.005 * stuck.trials)
      if (name === 'fleet-dark') expect(within20Min.rate).toBeGreaterThanOrEqual(0.995)
    },
    7_200_000,
  )
})
