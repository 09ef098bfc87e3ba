/** Agents of a small fleet over loopback, each with its swtpm: provisioned, cut off, and back. */

import { PcrExtend } from '@reprise/tpm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Quote } from '../quote.ts'
import { IMAGE_PCR } from '../sealing/image/take.ts'
import { loadedStatement } from './proofs.ts'
import { agentOf, type Lab, type LabHost, makeLab, provisionAll, until } from './testing.ts'

let lab: Lab
beforeAll(async () => {
  lab = await makeLab()
  await provisionAll(lab)
})
afterAll(() => lab[Symbol.asyncDispose]())

const epochOf = (host: LabHost): number => agentOf(host).stand().epoch
async function released(host: LabHost, epoch: number): Promise<void> {
  await until(() => agentOf(host).stand().isReleased && epochOf(host) === epoch)
}

describe('a fleet', () => {
  test('is provisioned: each host has a secret, a heartbeat that all witnesses signed, and a capped boot', async () => {
    for (const host of lab.hosts) {
      const { state, epoch, heartbeatWitnesses, wards } = agentOf(host).stand()
      expect({ state, epoch, heartbeatWitnesses, wards }).toEqual({
        ...{ state: 'serving', epoch: 1, heartbeatWitnesses: 4, wards: 4 },
      })
    }
    const [owner, witness] = lab.hosts
    // Its channel may be from before the owner had closed its boot.
    const { network } = agentOf(witness).ground
    network.renew()
    const opened = await network.reach(owner.name)
    expect(opened).toMatchObject({ kind: 'attested', channel: { peer: { boot: 'one', isCapped: true } } })
  })

  test('that loses its power as a whole comes back by locked witnesses, and has new halves', async () => {
    for (const host of lab.hosts) await lab.cut(host)
    await Promise.all(lab.hosts.map((host) => lab.powerOn(host)))
    for (const host of lab.hosts) await released(host, 2)
    expect(lab.hosts.map((host) => agentOf(host).stand().state)).toEqual(lab.hosts.map(() => 'serving'))
  })

  test('brings back one host that crashed, by witnesses that were released and capped', async () => {
    const [host] = lab.hosts
    await lab.cut(host)
    await lab.powerOn(host)
    await released(host, 3)
    const by = lab.hosts.slice(1).flatMap(({ lines }) => lines.filter((line) => /^share given.*"epoch":2/.test(line)))
    expect(by.length).toBeGreaterThanOrEqual(2)
  })

  test('goes on with an agent that is started anew in the same boot', async () => {
    const host = lab.host('h2')
    await lab.crash(host)
    const agent = await lab.powerOn(host)
    expect(agent.life.phase).toEqual({ kind: 'released', by: 'this-boot' })
    expect(await agent.life.rotate(undefined)).toBe(3)
    await until(() => agent.stand().heartbeatWitnesses === 4)
  })

  test('takes back a host that was shut down, by its signed marker', async () => {
    const host = lab.host('h3')
    await agentOf(host).stop()
    host.agent = undefined
    const agent = await lab.powerOn(host)
    await released(host, 3)
    const { report } = await agentOf(lab.host('h4'))
      .ground.network.reach('h3')
      .then(async (opened) => {
        if (opened.kind !== 'attested') throw new Error(opened.why)
        const answer = await opened.channel.say({ kind: 'observe', about: 'h1' }, 10_000)
        if (answer.kind !== 'observed') throw new Error(answer.kind)
        return answer
      })
    expect(report.lastShutdown).toBe('clean')
    expect(agent.stand().change).toEqual([])
  })

  test('has in each log what the host did, with countersignatures', async () => {
    const { length } = agentOf(lab.host('h1')).stand().audit
    expect(length).toBeGreaterThan(10)
  })
})

describe('three machines', () => {
  let three: Lab
  beforeAll(async () => {
    three = await makeLab({ hosts: 3, policy: { witnesses: 2, threshold: 2, perRoom: 2, ownZone: 2 } })
    await provisionAll(three)
  })
  afterAll(() => three[Symbol.asyncDispose]())

  const allDark = async (): Promise<void> => {
    for (const host of three.hosts) await three.cut(host)
    await Promise.all(three.hosts.map((host) => three.powerOn(host)))
  }

  test('that were all dark come back: each judges leases by two clocks', async () => {
    await allDark()
    for (const host of three.hosts) await released(host, 2)
  })

  test('are shown an image by a quote of this boot, and of no earlier one', async () => {
    const digest = new Uint8Array(32).fill(7)
    const [{ name }, witness] = three.hosts
    const measured = async (): Promise<Quote> => {
      const { ground } = agentOf(three.host(name))
      await ground.pinned.tpm.execute(PcrExtend({ pcrHandle: IMAGE_PCR, digests: { sha256: digest } }))
      return await ground.hostTpm.quote(loadedStatement(name, digest), [IMAGE_PCR])
    }
    const shown = async ({ attest, signature }: Quote) => {
      const opened = await agentOf(three.host(name)).ground.network.reach(witness.name)
      if (opened.kind !== 'attested') throw new Error(opened.why)
      const message = { kind: 'loaded', imageDigest: digest, quote: { attest, signature } } as const
      return await opened.channel.say(message, 30_000)
    }
    const earlier = await measured()
    expect(await shown(earlier)).toMatchObject({ kind: 'loaded' })
    await allDark()
    for (const host of three.hosts) await released(host, 3)
    const now = await measured()
    expect(await shown(earlier)).toEqual({ kind: 'failed', code: 'PROOF', text: 'it was quoted in another boot' })
    expect(await shown(now)).toMatchObject({ kind: 'loaded' })
  })
})
