/** Agents of a small fleet over loopback, each with its swtpm: provisioned, cut off, and back. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Lab, makeLab, provisionAll, until } from './testing.ts'

let lab: Lab
beforeEach(async () => {
  lab = await makeLab()
})
afterEach(() => lab[Symbol.asyncDispose]())

describe('a fleet', () => {
  test('that loses its power as a whole comes back, and has new halves', async () => {
    await provisionAll(lab)
    for (const host of lab.hosts) await lab.cut(host)
    await Promise.all(lab.hosts.map((host) => lab.powerOn(host)))
    for (const { agent } of lab.hosts) {
      await until(() => agent!.stand().isReleased && agent!.stand().epoch === 2)
    }
    expect(lab.hosts.map(({ agent }) => agent!.stand().state)).toEqual(lab.hosts.map(() => 'serving'))
  })
})
