/** A thousand power cuts of one host: its TPM never locks anybody out, and it comes back every time. */
import { expect, test } from 'vitest'
import { manyCuts } from './comes-back.ts'
import { TestFleet } from './fleet.ts'

test('a thousand power cuts, a healthy heartbeat now and then: no lockout', { timeout: 3_600_000 }, async () => {
  await using world = await TestFleet.create()
  await world.powerOn(world.lab.ids)
  await world.released(world.lab.ids)
  expect(await manyCuts(world, { rounds: 200, cutsPerRound: 5 })).toBe(0)
})
