import { describe, expect, test } from 'vitest'
import type { Answer, Message } from './messages.ts'
import { identities, lab, opened } from './testing/lab.ts'
import type { PlanView } from './plan-view.ts'
import { channelPool } from './pool.ts'
import { softwareHost } from './testing/software-host.ts'

const status: Message = { kind: 'status' }

describe('a channel', () => {
  test('is opened when both sides prove themselves, and tells who is there', async () => {
    const seen: object[] = []
    await using here = await lab({
      answer(from) {
        seen.push(from)
        return Promise.resolve({ kind: 'taken', planVersion: 1 })
      },
    })
    const { peer, say } = opened(await here.open())
    const proven = { boot: 'release 1', isCapped: false, resetCount: 7, restartCount: 0, clockMs: 1_000_000 }
    expect(peer).toMatchObject({ host: 'witness-1', ...proven, isClockSafe: true, firmwareVersion: 0x2024_0101n })
    expect(peer.roundTripMs).toBeGreaterThan(0)
    await say(status, 5000)
    expect(peer.akPublic).toEqual(here.witness.akPublic)
    const { akPublic } = here.asking
    expect(seen).toEqual([{ ...peer, host: 'web-1', akPublic, roundTripMs: expect.any(Number) as number }])
  })

  test('carries messages of all sizes, each with its own answer', async () => {
    await using here = await lab({
      async answer(_, message): Promise<Answer> {
        if (message.kind === 'plan') return { kind: 'taken', planVersion: message.signed.length }
        if (message.kind !== 'commit') return { kind: 'failed', code: 'NOT_FOR_YOU', text: message.kind }
        // Later ones answer sooner.
        await new Promise((resolve) => setTimeout(resolve, 20 - (message.epoch % 20)))
        return { kind: 'committed', epoch: message.epoch }
      },
    })
    const { say } = opened(await here.open())
    const epochs = Array.from({ length: 100 }, (_, i) => i + 1)
    const answers = await Promise.all(epochs.map((epoch) => say({ kind: 'commit', epoch }, 10_000)))
    expect(answers).toEqual(epochs.map((epoch) => ({ kind: 'committed', epoch })))
    for (const lengthBytes of [1, 40_000, 3_000_000]) {
      const signed = new Uint8Array(lengthBytes).fill(7)
      expect(await say({ kind: 'plan', signed }, 20_000)).toEqual({ kind: 'taken', planVersion: lengthBytes })
    }
  })

  test('is opened by many at once', async () => {
    await using here = await lab({ limits: { unattestedPerAddress: 64, perHost: 64 } })
    const channels = (await Promise.all(Array.from({ length: 40 }, () => here.open()))).map(opened)
    const answers = await Promise.all(channels.map(({ say }) => say(status, 10_000)))
    expect(answers).toHaveLength(40)
  })

  test('says of a capped host, and of one in no approved boot, what it is', async () => {
    const asking = softwareHost('web-1')
    asking.registers.set(4, new Uint8Array(32).fill(1)).set(14, new Uint8Array(32).fill(1))
    const seen: object[] = []
    await using here = await lab({
      asking,
      answer(from) {
        seen.push(from)
        return Promise.resolve({ kind: 'taken', planVersion: 1 })
      },
    })
    await opened(await here.open()).say(status, 5000)
    expect(seen).toMatchObject([{ host: 'web-1', boot: undefined, isCapped: true }])
  })

  test('is open between hosts with different plans, each of which judges by its own', async () => {
    await using here = await lab()
    const newer = { ...here.view, version: 2, digest: new Uint8Array(32) }
    const boots = [{ name: 'release 2', registers: new Map([[11, new Uint8Array(32)]]) }, ...newer.boots]
    const channel = opened(await here.open({ view: { ...newer, boots } }))
    expect(channel.peer).toMatchObject({ boot: 'release 2', planVersion: 1 })
    expect(await channel.say(status, 5000)).toMatchObject({ kind: 'taken' })
  })

  test('of a boot that is for other hosts is of no boot', async () => {
    await using here = await lab({
      plan: (view) => ({ ...view, boots: view.boots.map((boot) => ({ ...boot, hosts: ['web-1'] })) }),
    })
    expect(opened(await here.open()).peer.boot).toBeUndefined()
  })

  test('tells the peer nothing of what went wrong in here', async () => {
    await using here = await lab({ answer: () => Promise.reject(new Error('secret path')) })
    const answer = await opened(await here.open()).say(status, 5000)
    expect(answer).toMatchObject({ kind: 'failed', code: 'NOT_NOW' })
    expect(JSON.stringify(answer)).not.toContain('secret')
    expect(here.log.join()).toContain('secret path')
  })

  test('answers with a failure when the answer cannot be sent', async () => {
    await using here = await lab({ answer: () => Promise.resolve({ kind: 'committed', epoch: 0 }) })
    expect(await opened(await here.open()).say(status, 5000)).toMatchObject({ kind: 'failed' })
  })

  test('takes nothing that cannot be said, and goes on', async () => {
    await using here = await lab()
    const { say } = opened(await here.open())
    await expect(say({ kind: 'observe', about: 'No Name' }, 5000)).rejects.toThrow(/cannot be said/)
    expect(await say(status, 5000)).toMatchObject({ kind: 'taken' })
  })

  test('gives up a message in time, and takes its late answer', async () => {
    const late = Promise.withResolvers<void>()
    await using here = await lab({
      async answer(_, message) {
        if (message.kind === 'commit') await late.promise
        return { kind: 'taken', planVersion: 1 }
      },
    })
    const { say } = opened(await here.open())
    await expect(say({ kind: 'commit', epoch: 1 }, 20)).rejects.toThrow(/did not answer within 20 ms/)
    late.resolve()
    expect(await say(status, 5000)).toMatchObject({ kind: 'taken' })
  })

  test('sends nothing that was given up before it had a place', async () => {
    const heard: number[] = []
    const late = Promise.withResolvers<void>()
    await using here = await lab({
      limits: { inFlight: 2 },
      async answer(_, message) {
        if (message.kind === 'commit') heard.push(message.epoch)
        if (heard.length <= 2) await late.promise
        return { kind: 'taken', planVersion: 1 }
      },
    })
    const { say } = opened(await here.open())
    const first = [1, 2].map((epoch) => say({ kind: 'commit', epoch }, 60_000))
    await expect(say({ kind: 'commit', epoch: 3 }, 20)).rejects.toThrow(/did not answer/)
    const fourth = say({ kind: 'commit', epoch: 4 }, 60_000)
    late.resolve()
    await Promise.all([...first, fourth])
    expect(heard).toEqual([1, 2, 4])
  })

  test('ends after its time, however much is said, and tells those who wait', async () => {
    await using here = await lab({ limits: { lifeMs: 300 }, answer: () => new Promise(() => undefined) })
    const channel = opened(await here.open())
    await expect(channel.say(status, 10_000)).rejects.toMatchObject({ code: 'CHANNEL' })
    expect(channel.isOpen).toBe(false)
    expect(channel.remainingMs).toBe(0)
  })

  test('ends when nobody says anything, not when an answer takes its time', async () => {
    await using here = await lab({
      limits: { idleMs: 1500 },
      async answer() {
        await new Promise((resolve) => setTimeout(resolve, 2000))
        return { kind: 'taken', planVersion: 1 }
      },
    })
    const channel = opened(await here.open())
    expect(await channel.say(status, 10_000)).toMatchObject({ kind: 'taken' })
    while (channel.isOpen) await new Promise((resolve) => setTimeout(resolve, 10))
    await expect(channel.say(status, 1000)).rejects.toThrow(/closed/)
  })

  test('of the plan before takes no more messages', async () => {
    await using here = await lab()
    const channel = opened(await here.open())
    here.view = { ...here.view, version: 2, digest: new Uint8Array(32) }
    await expect(channel.say(status, 10_000)).rejects.toMatchObject({ code: 'CHANNEL' })
    expect(await opened(await here.open()).say(status, 5000)).toMatchObject({ kind: 'taken' })
  })

  test('ends with its server, and says so', async () => {
    await using here = await lab({ answer: () => new Promise(() => undefined) })
    const channel = opened(await here.open())
    const waiting = channel.say(status, 10_000)
    await here.server.close()
    await expect(waiting).rejects.toMatchObject({ code: 'CHANNEL' })
    expect(await here.open()).toMatchObject({ kind: 'unreachable' })
  })
})

describe('a pool', () => {
  test('has one channel for all who want it, and another one when it has failed', async () => {
    await using here = await lab()
    const { asking } = here
    const pool = channelPool({ tpm: asking, view: () => here.view, timeoutMs: 60_000, identity: identities.asking })
    const [first, second] = (await Promise.all([pool.to('witness-1'), pool.to('witness-1')])).map(opened)
    expect(second).toBe(first)
    expect(opened(await pool.to('witness-1'))).toBe(first)
    expect(asking.quotes).toBe(1)
    await expect(first.say({ kind: 'observe', about: 'No Name' }, 1000)).rejects.toThrow(/cannot be said/)
    const third = opened(await pool.to('witness-1'))
    expect(third).not.toBe(first)
    here.view = { ...here.view, version: 2, digest: new Uint8Array(32) }
    expect(opened(await pool.to('witness-1'))).not.toBe(third)
    pool.close()
    await expect(pool.to('witness-1')).rejects.toMatchObject({ code: 'CHANNEL' })
  })

  test('tries anew what could not be reached', async () => {
    await using here = await lab()
    let isDown = true
    const down = {
      ...here.view,
      hosts: new Map([...here.view.hosts].map(([id, host]) => [id, { ...host, address: '127.0.0.1:1' }])),
    }
    const view = (): PlanView => (isDown ? down : { ...here.view })
    const pool = channelPool({ tpm: here.asking, view, timeoutMs: 60_000, identity: identities.asking })
    expect(await pool.to('witness-1')).toMatchObject({ kind: 'unreachable' })
    isDown = false
    opened(await pool.to('witness-1'))
    await expect(pool.to('nobody')).rejects.toThrow(/has no host nobody/)
    pool.close()
  })
})
