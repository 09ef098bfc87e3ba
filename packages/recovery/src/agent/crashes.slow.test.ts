/** kill -9 at each step of provisioning and rotation: the agent alone, and with the power of its TPM. */

import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GenerationStep } from '../sealing/generations.ts'
import { statePaths } from './state/folder.ts'
import { agentOf, type Lab, type LabHost, makeLab, provisionAll, until } from './testing.ts'

class Crash extends Error {}

/** Everything after that step fails, as if the process were gone. */
function crashingAfter(step: GenerationStep): { readonly afterStep: (now: GenerationStep) => void } {
  let isOver = false
  return {
    afterStep: (now) => {
      isOver ||= now === step
      if (isOver) throw new Crash(now)
    },
  }
}

const released = (host: LabHost): boolean => agentOf(host).stand().isReleased

describe('a rotation', () => {
  let lab: Lab
  let host: LabHost
  beforeAll(async () => {
    lab = await makeLab()
    await provisionAll(lab)
    host = lab.host('h1')
  })
  afterAll(() => lab[Symbol.asyncDispose]())
  const steps: readonly GenerationStep[] = ['cleared', 'sealed', 'written', 'committed', 'index gone', 'retired']

  async function cutOff(step: GenerationStep): Promise<number> {
    await lab.crash(host)
    const agent = await lab.powerOn(host, crashingAfter(step))
    expect(agent.life.phase).toEqual({ kind: 'released', by: 'this-boot' })
    await expect(agent.life.rotate(undefined)).rejects.toThrow(Crash)
    return agent.stand().epoch
  }

  test.each(steps)('that a kill cuts off after "%s" is gone on with in the same boot', async (step) => {
    const before = await cutOff(step)
    await lab.crash(host)
    const agent = await lab.powerOn(host)
    expect(agent.life.phase).toEqual({ kind: 'released', by: 'this-boot' })
    expect(await agent.life.rotate(undefined)).toBeGreaterThan(before)
    await until(() => agent.stand().heartbeatWitnesses === 4)
  })

  test.each(steps)('that loses its power after "%s" leaves a secret that comes back', async (step) => {
    const before = await cutOff(step)
    await lab.cut(host)
    await lab.powerOn(host)
    await until(() => released(host) && agentOf(host).stand().epoch > before)
    await until(() => agentOf(host).stand().heartbeatWitnesses === 4)
  })

  test('that breaks off again and again while shares are handed out leaves witnesses that start anew', async () => {
    // Nothing of its own is under way: it was provisioned, and did not crash.
    const [owner, witness, silent] = [lab.host('h3'), lab.host('h2'), lab.host('h5')]
    const epochsKept = (): readonly number[] => {
      const { wards } = JSON.parse(readFileSync(statePaths(witness.state).witness, 'utf8')) as {
        readonly wards: readonly { readonly host: string; readonly shares: readonly { readonly epoch: number }[] }[]
      }
      return wards.find((ward) => ward.host === owner.name)?.shares.map(({ epoch }) => epoch) ?? []
    }
    const committed = await agentOf(owner).life.rotate(undefined)
    // Without it nothing is decided.
    await lab.crash(silent)
    for (let round = 0; round < 3; round++) {
      const breakOff = (missing: readonly string[]): void => {
        if (!missing.includes(witness.name)) throw new Crash('the witness has its share')
      }
      await expect(agentOf(owner).life.rotate(breakOff)).rejects.toThrow(Crash)
      const epoch = Number(/\d+/.exec(owner.lines.findLast((line) => line.startsWith('prepared ')) ?? '')?.[0])
      expect(epochsKept()).toEqual([committed, epoch])
    }
    for (const each of [witness, owner, silent]) {
      await lab.crash(each)
      await lab.powerOn(each)
    }
    expect(agentOf(owner).life.phase).toEqual({ kind: 'released', by: 'this-boot' })
    expect(await agentOf(owner).life.rotate(undefined)).toBeGreaterThan(committed)
  })
})

describe('provisioning', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await makeLab({ hosts: 6 })
    for (const host of lab.hosts) await lab.powerOn(host)
  })
  afterAll(() => lab[Symbol.asyncDispose]())

  test.each(['cleared', 'sealed', 'written'] as const)('that is cut off after "%s" is done again', async (step) => {
    const host = lab.host('h1')
    await lab.crash(host)
    const agent = await lab.powerOn(host, crashingAfter(step))
    await expect(agent.life.provision([], undefined)).rejects.toThrow(Crash)
    await lab.cut(host)
    await lab.powerOn(host)
    expect(agentOf(host).life.phase.kind).toBe('unprovisioned')
  })

  test('that is cut off after the decision leaves a host that comes back', async () => {
    const host = lab.host('h1')
    await lab.crash(host)
    const agent = await lab.powerOn(host, crashingAfter('committed'))
    await expect(agent.life.provision([], undefined)).rejects.toThrow(Crash)
    await lab.crash(host)
    expect((await lab.powerOn(host)).life.phase).toEqual({ kind: 'released', by: 'this-boot' })
    await lab.cut(host)
    await lab.powerOn(host)
    await until(() => released(host))
  })

  test('by hosts that were provisioned later works as well', async () => {
    await Promise.all(lab.hosts.slice(1).map((host) => agentOf(host).life.provision([], undefined)))
    for (const host of lab.hosts) await until(() => released(host))
  })

  test.each(['host', 'owner', 'witness', 'generations', 'plan', 'akAuth', 'audit'] as const)(
    'has no agent that starts from a damaged file: %s',
    async (name) => {
      const host = lab.host('h2')
      const path = statePaths(host.state)[name]
      await lab.crash(host)
      const whole = readFileSync(path)
      // A log that ends in the middle of a line is one that a crash cut off.
      const damaged = name === 'audit' ? whole.subarray(10) : whole.subarray(0, whole.length >> 1)
      try {
        writeFileSync(path, damaged)
        const error: unknown = await lab.powerOn(host).catch((failure: unknown) => failure)
        expect(error).toMatchObject({ message: expect.stringContaining(path) as string })
        // Secrets and their digests are not said.
        if (name !== 'akAuth') expect((error as Error).message).toMatch(/[0-9a-f]{64}/)
      } finally {
        writeFileSync(path, whole)
      }
      expect((await lab.powerOn(host)).life.phase.kind).toBe('released')
    },
  )
})
