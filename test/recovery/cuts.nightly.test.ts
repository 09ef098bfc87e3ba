/** A thousand power cuts of one host: its TPM never locks anybody out, and it comes back every time. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { manyCuts } from './comes-back.ts'
import { TestFleet } from './fleet.ts'

describe('a thousand power cuts, a healthy heartbeat now and then', () => {
  let world: TestFleet
  beforeAll(async () => {
    world = await TestFleet.create()
    await world.powerOn(world.lab.ids)
    await world.released(world.lab.ids)
  }, 600_000)
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
  })

  // In pieces, so that it is seen how far it is.
  test.each(Array.from({ length: 10 }, (_, i) => (i + 1) * 100))(
    '%i of them: no lockout',
    async () => {
      expect(await manyCuts(world, { rounds: 20, cutsPerRound: 5 })).toBe(0)
    },
    1_800_000,
  )
})
