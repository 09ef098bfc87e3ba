/** Credentials and image keys from one host to another, over channels that attest both: spec/agent.md §11. */

import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Socket, connect } from 'node:net'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Answer } from '../../channel/messages.ts'
import { encodeStatement, signStatement } from '../../operators/index.ts'
import { Secret } from '../../sealing/secret.ts'
import { CREDENTIALS_VERSION, readCredentials } from '../own/credentials.ts'
import { contentsOf } from '../own/provisioning.ts'
import { statePaths } from '../state/folder.ts'
import { agentOf, type Lab, type LabHost, makeLab, until } from '../testing.ts'
import { encodeContents, partsOf } from './contents.ts'

const HOUR_MS = 3_600_000

let lab: Lab
let taker: LabHost
let giver: LabHost
let madeMs = Date.now()
beforeAll(async () => {
  lab = await makeLab()
  for (const host of lab.hosts) await lab.powerOn(host)
  taker = lab.host('h1')
  giver = lab.host('h2')
  const others = lab.hosts.slice(1)
  await Promise.all(others.map((host) => agentOf(host).life.provision([], undefined)))
  // Nothing of theirs is under way at the host whose agent is killed.
  for (const host of others) await until(() => agentOf(host).stand().heartbeatWitnesses === 4)
})
afterAll(() => lab[Symbol.asyncDispose]())

interface Permit {
  readonly host?: string
  readonly by?: string
  readonly signers?: number
  readonly untilMs?: number
}

function permit({ host = 'h1', by = 'h2', signers = 2, untilMs = Date.now() + HOUR_MS }: Permit = {}): Uint8Array {
  const { plan } = lab.signed
  madeMs += 1
  const statement = { kind: 'delivery', fleet: 'lab', host, by, madeMs, untilMs } as const
  const unsigned = { statement, signatures: [] as never[], digest: new Uint8Array() }
  const signed = lab.operators
    .slice(0, signers)
    .reduce((sum, { signer }) => signStatement(sum, signer, plan), unsigned as ReturnType<typeof signStatement>)
  return encodeStatement(signed)
}

function contents(password: string, versions: readonly number[] = [1]) {
  const named = new Map([['password', Secret.owning(Buffer.from(password.padEnd(40_000)))]])
  return contentsOf(
    named,
    versions.map((version) => ({ version, key: Secret.owning(new Uint8Array(32).fill(version)) })),
  )
}

interface Told {
  readonly statement?: Uint8Array
  readonly password?: string
  readonly versions?: readonly number[]
  readonly from?: LabHost
  readonly to?: LabHost
  readonly roundTripMs?: number
  readonly timeoutMs?: number
}

async function deliver(told: Told = {}): Promise<number> {
  const { statement = permit(), password = 'one', versions, from = giver, to = taker, timeoutMs = 60_000 } = told
  using given = contents(password, versions)
  return await agentOf(from).deliver({
    ...{ to: to.name, statement, contents: given, timeoutMs, roundTripMs: told.roundTripMs },
    ...{ signal: AbortSignal.timeout(100_000), say: () => undefined },
  })
}

/** A part, by whoever has a channel to the host, whatever its agent would say. */
async function sayPart(from: LabHost, statement: Uint8Array, part: number): Promise<Answer> {
  const opened = await agentOf(from).ground.network.reach('h1')
  if (opened.kind !== 'attested') throw new Error(opened.why)
  using given = contents('one')
  using whole = encodeContents(given)
  const all = partsOf(whole)
  const message = { kind: 'deliver', statement, part, parts: all.length, bytes: all[part].slice() } as const
  return await opened.channel.say(message, 30_000)
}

async function passwordOf(host: LabHost): Promise<string> {
  const { life } = agentOf(host)
  let found = ''
  await life.withKey(CREDENTIALS_VERSION, async (key) => {
    const all = await readCredentials({ path: statePaths(host.state).credentials, host: host.name, key })
    found = Buffer.from(all.get('password')?.bytes ?? [])
      .toString()
      .trim()
  })
  return found
}

function unchanged(): void {
  expect(agentOf(taker).life.phase.kind).toBe('unprovisioned')
  expect(existsSync(statePaths(taker.state).credentials)).toBe(false)
}

describe('a host without a secret is given nothing', () => {
  test.each<[string, Permit, RegExp]>([
    ['that too few operators signed', { signers: 1 }, /signed by 1 of 3/],
    ['that is for another host', { host: 'h3' }, /not h2 to h1/],
    ['that is another one’s to use', { by: 'h3' }, /not h2 to h1/],
    ['that ran out', { untilMs: 5 }, /is over/],
  ])('by a permission %s', async (_what, of, why) => {
    await expect(deliver({ statement: permit(of) })).rejects.toThrow(why)
    unchanged()
  })

  test('by a host that operators did not name, with the statement of another', async () => {
    expect(await sayPart(lab.host('h3'), permit(), 0)).toMatchObject({ kind: 'failed', code: 'NOT_FOR_YOU' })
    unchanged()
  })

  test('by a statement that says something else', async () => {
    const statement = { kind: 'revocation', fleet: 'lab', host: 'h4', madeMs: 1 } as const
    const { plan } = lab.signed
    const [ada, bob] = lab.operators
    const signed = signStatement(signStatement({ statement, signatures: [] }, ada.signer, plan), bob.signer, plan)
    expect(await sayPart(giver, encodeStatement(signed), 0)).toMatchObject({ kind: 'failed', code: 'STATEMENT' })
    await expect(deliver({ statement: encodeStatement(signed) })).rejects.toMatchObject({ code: 'STATEMENT' })
    unchanged()
  })

  test('when it stands farther away than it should', async () => {
    const lines = taker.lines.length
    await expect(deliver({ roundTripMs: 1e-6 })).rejects.toMatchObject({ code: 'DELIVERY' })
    expect(taker.lines.slice(lines).filter((line) => line.startsWith('delivery'))).toEqual([])
    unchanged()
  })

  test('in a boot that nobody approved: nothing is said to it', async () => {
    await lab.cut(taker)
    const agent = await lab.powerOn(taker, { release: 'release of a thief' })
    await expect(deliver()).rejects.toThrow(/registers are those of no approved boot/)
    expect(agent.stand().alarms).toEqual([])
    await lab.cut(taker)
    await lab.powerOn(taker)
    unchanged()
  })

  test('by way of another host that answers at its address', async () => {
    await lab.cut(taker)
    const addresses = new Map(lab.signed.plan.roster.hosts.map(({ id, address }) => [id, address.split(':')]))
    const [host] = addresses.get('h1') ?? []
    const [other, port] = addresses.get('h5') ?? []
    const sockets = new Set<Socket>()
    const relay = createServer((socket) => {
      const onward = connect({ host: other, port: Number(port), localAddress: host })
      for (const each of [socket, onward]) sockets.add(each.on('error', () => undefined))
      socket.pipe(onward).pipe(socket)
    })
    relay.listen(Number(port), host)
    await once(relay, 'listening')
    await expect(deliver()).rejects.toThrow(/h5 answers there, not h1/)
    relay.close()
    for (const socket of sockets) socket.destroy()
    await lab.powerOn(taker)
    unchanged()
  })

  test('as long as it does not answer, and then the time is over', async () => {
    await lab.cut(taker)
    await expect(deliver({ timeoutMs: 1000 })).rejects.toMatchObject({ code: 'DELIVERY' })
    await lab.powerOn(taker)
  })

  test('and never to where it stands itself, nor what operators’ statements are spread for', async () => {
    await expect(agentOf(giver).hear(permit())).rejects.toMatchObject({ code: 'STATEMENT' })
    await expect(deliver({ statement: permit({ by: 'h1' }) })).rejects.toThrow(/deliver to itself/)
  })
})

describe('kill -9', () => {
  test('between two parts leaves nothing, and the delivery begins again', async () => {
    const statement = permit()
    expect(await sayPart(giver, statement, 0)).toEqual({ kind: 'delivering', next: 1 })
    expect(await sayPart(giver, statement, 2)).toEqual({ kind: 'delivering', next: 1 })
    await lab.crash(taker)
    await lab.powerOn(taker)
    agentOf(giver).ground.network.renew()
    expect(await sayPart(giver, statement, 1)).toEqual({ kind: 'delivering', next: 0 })
    unchanged()
  })

  test.each(['cleared', 'sealed', 'written'] as const)('after "%s" leaves a host without a secret', async (step) => {
    await lab.crash(taker)
    let isOver = false
    await lab.powerOn(taker, {
      afterStep: (now) => {
        isOver ||= now === step
        if (isOver) throw new Error('killed')
      },
    })
    await expect(deliver({ password: 'half' })).rejects.toMatchObject({ code: 'DELIVERY' })
    await lab.cut(taker)
    await lab.powerOn(taker)
    expect(agentOf(taker).life.phase.kind).toBe('unprovisioned')
  })
})

describe('a host that has just attested', () => {
  test('is provisioned with what is delivered, and comes back with it', async () => {
    await deliver({ password: 'one', versions: [1, 2] })
    expect(agentOf(taker).life.phase).toEqual({ kind: 'released', by: 'provisioning' })
    expect(await passwordOf(taker)).toBe('one')
    for (const host of [taker, giver]) {
      const events = readFileSync(statePaths(host.state).audit, 'utf8').trim().split('\n')
      expect(events.filter((line) => line.includes('"kind":"delivery"'))).toHaveLength(1)
    }
    await until(() => agentOf(taker).stand().heartbeatWitnesses === 4)
    await lab.cut(taker)
    await lab.powerOn(taker)
    await until(() => agentOf(taker).stand().isReleased)
    expect(await passwordOf(taker)).toBe('one')
    await agentOf(taker).life.withKey(2, async ({ bytes }) => expect(bytes).toEqual(new Uint8Array(32).fill(2)))
  })

  test('is changed by a later delivery, not by one that is played again or older', async () => {
    const [first, second] = [permit(), permit()]
    await until(() => agentOf(taker).stand().heartbeatWitnesses === 4)
    const before = agentOf(taker).life.epoch
    expect(await deliver({ statement: second, password: 'two', versions: [2] })).toBeGreaterThanOrEqual(before)
    expect(await passwordOf(taker)).toBe('two')
    await deliver({ statement: second, password: 'three' })
    await expect(deliver({ statement: first, password: 'three' })).rejects.toThrow(/permitted later/)
    expect(await passwordOf(taker)).toBe('two')
    await deliver({ password: 'four', versions: [3] })
    expect(await passwordOf(taker)).toBe('four')
    for (const version of [1, 2, 3])
      await agentOf(taker).life.withKey(version, async ({ bytes }) => expect(bytes[0]).toBe(version))
  })

  test('takes nothing more once it was revoked, and gives nothing', async () => {
    const statement = { kind: 'revocation', fleet: 'lab', host: 'h1', madeMs: Date.now() } as const
    const { plan } = lab.signed
    const [ada, bob] = lab.operators
    const signed = signStatement(signStatement({ statement, signatures: [] }, ada.signer, plan), bob.signer, plan)
    await agentOf(giver).hear(encodeStatement(signed))
    await expect(deliver({ password: 'five' })).rejects.toThrow(/it was revoked/)
  })
})
