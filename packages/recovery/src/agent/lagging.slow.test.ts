/** A witness that was away when halves were drawn anew: spec/agent.md §8. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { agentOf, type Lab, makeLab, provisionAll, until } from './testing.ts'

let lab: Lab
beforeAll(async () => {
  lab = await makeLab({ hosts: 6, policy: { witnesses: 5, threshold: 2, ownZone: 5, perRoom: 5 } })
  await provisionAll(lab)
})
afterAll(() => lab[Symbol.asyncDispose]())

test('it gets a share with the next rotation, which begins when it answers again, over all links that it missed', async () => {
  const [host, , , , , away] = lab.hosts
  await lab.crash(away)
  expect(await agentOf(host).life.rotate(undefined)).toBe(2)
  expect(await agentOf(host).life.rotate(undefined)).toBe(3)
  // The next heartbeats are soon.
  await lab.crash(host)
  const times = { heartbeatMs: 1000, observeMs: 5000, answerMs: 30_000 }
  const agent = await lab.powerOn(host, { times })
  expect(agent.life.phase).toEqual({ kind: 'released', by: 'this-boot' })
  await until(() => agent.stand().heartbeatWitnesses === 4)
  expect(agent.stand().epoch).toBe(3)
  await lab.powerOn(away)
  await until(() => agent.stand().epoch === 4 && agent.stand().heartbeatWitnesses === 5)
  // And the host comes back by it.
  await lab.cut(host)
  for (const other of lab.hosts.slice(1, 4)) await lab.crash(other)
  await lab.powerOn(host)
  await until(() => agentOf(host).stand().isReleased || agentOf(host).stand().state === 'holding')
  for (const other of lab.hosts.slice(1, 4)) await lab.powerOn(other)
  await until(() => agentOf(host).stand().isReleased)
})
