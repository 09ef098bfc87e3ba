import { afterEach, describe, expect, test } from 'vitest'
import type { Answerer, Opened } from './channel.ts'
import { drawIdentity } from './identity.ts'
import { openChannel } from './open.ts'
import type { PlanView } from './plan-view.ts'
import { channelPool } from './pool.ts'
import { type ChannelServer, serveChannels, type ServeRequest } from './serve.ts'
import { softwareHost, type SoftwareHost, TEST_BOOT, viewOf } from './testing.ts'

const ids = { asking: drawIdentity(), witness: drawIdentity() }
const servers: ChannelServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

const taken: Answerer = (_, message) =>
  Promise.resolve({ kind: 'taken', planVersion: message.kind === 'plan' ? message.signed.length : 0 })

interface Fleet {
  readonly asking: SoftwareHost
  readonly witness: SoftwareHost
  readonly view: PlanView
  readonly open: (more?: Partial<Parameters<typeof openChannel>[0]>) => Promise<Opened>
}

async function fleet(more: Partial<ServeRequest> = {}, asking = softwareHost('web-1')): Promise<Fleet> {
  const witness = softwareHost('witness-1')
  for (const host of [asking, witness]) for (const [pcr, value] of TEST_BOOT) host.registers.set(pcr, value)
  const hosts = [asking, witness].map(({ host, ak }) => ({ host, ak, state: 'active' as const, address: '' }))
  const before = viewOf(hosts)
  const server = await serveChannels({
    ...{ tpm: witness, view: () => before, address: { host: '127.0.0.1', port: 0 } },
    ...{ identity: ids.witness, answer: taken },
    ...more,
  })
  servers.push(server)
  const view = { ...viewOf(hosts.map((host) => ({ ...host, address: server.address }))), digest: before.digest }
  const open: Fleet['open'] = (other) =>
    openChannel({ tpm: asking, view, to: 'witness-1', timeoutMs: 10_000, identity: ids.asking, ...other })
  return { asking, witness, view, open }
}

describe('a channel', () => {
  test('is opened when both sides prove themselves, and carries messages', async () => {
    const { open } = await fleet()
    const opened = await open()
    if (opened.kind !== 'attested') throw new Error(opened.why)
    const { channel } = opened
    expect(channel.peer).toMatchObject({ host: 'witness-1', boot: 'release 1', isCapped: false, resetCount: 7 })
    expect(channel.peer.exporter).toHaveLength(32)
    expect(channel.peer.roundTripMs).toBeGreaterThan(0)
    expect(await channel.say({ kind: 'status' }, 5000)).toEqual({ kind: 'taken', planVersion: 0 })
    const many = await Promise.all(
      Array.from({ length: 100 }, (_, i) => channel.say({ kind: 'observe', about: `web-${i}` }, 5000)),
    )
    expect(many).toHaveLength(100)
    const signed = new Uint8Array(1 << 20).fill(7)
    expect(await channel.say({ kind: 'plan', signed }, 20_000)).toEqual({ kind: 'taken', planVersion: 1 << 20 })
    channel.close()
    await expect(channel.say({ kind: 'status' }, 1000)).rejects.toThrow(/closed/)
  })

  test('is used again by the pool, and opened anew when it has failed', async () => {
    const { asking, view } = await fleet()
    const pool = channelPool({ tpm: asking, view: () => view, timeoutMs: 10_000, identity: ids.asking })
    const [first, second] = await Promise.all([pool.to('witness-1'), pool.to('witness-1')])
    if (first.kind !== 'attested' || second.kind !== 'attested') throw new Error('unattested')
    expect(second.channel).toBe(first.channel)
    expect(asking.quotes).toBe(1)
    first.channel.close()
    const third = await pool.to('witness-1')
    expect(third.kind === 'attested' && third.channel !== first.channel).toBe(true)
    expect(asking.quotes).toBe(2)
    pool.close()
  })
})
