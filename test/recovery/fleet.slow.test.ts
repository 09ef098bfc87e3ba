/** A fleet of real agents with software TPMs on this machine: who comes back, and who does not. */
import { afterAll, beforeAll } from 'vitest'
import { changes, delivering, handingOut, updating } from './changes.ts'
import { comesBack } from './comes-back.ts'
import { TestFleet } from './fleet.ts'
import { changedDisks, stolenRack } from './thieves.ts'

let world: TestFleet
beforeAll(async () => {
  world = await TestFleet.create()
}, 300_000)
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

comesBack(() => world)
stolenRack(() => world)
changes(() => world)
delivering(() => world)
handingOut(() => world)
changedDisks(() => world)
updating(() => world)
