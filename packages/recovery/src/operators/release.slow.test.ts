/** Break-glass by files on swtpm: a host that booted something nobody approved, and operators on their own machines. */
import { randomBytes } from 'node:crypto'
import { canonical, hex, utf8 } from '@reprise/core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CAP_UNTOUCHED } from '../sealing/boot-state.ts'
import type { Generation } from '../sealing/generations.ts'
import { escrowHalf } from '../sealing/quorum-half.ts'
import { leaseKey } from '../sealing/keys.ts'
import { confirmedResetCount } from '../sealing/lease.ts'
import { Secret } from '../sealing/secret.ts'
import { TestChip } from '../sealing/testing.ts'
import { sealHalf } from '../sealing/tpm-half.ts'
import type { Plan } from '../types.ts'
import { makeKey, readKey } from './keys.ts'
import { answerRelease, readReleaseRequest, type WaitingRelease, waitForOperators } from './release.ts'
import { testAk, testPlan } from './testing.ts'

const newKey = (name: string): ReturnType<typeof readKey> => readKey(utf8(makeKey(undefined).pem), name)
const people = ['alice', 'bob', 'carol'].map((name) => ({ name, signer: newKey(name), escrow: newKey(name) }))
const [alice, bob, carol] = people
const points = (kind: 'signer' | 'escrow'): Uint8Array[] => people.map((each) => Buffer.from(each[kind].point, 'hex'))
const ak = testAk()
const plan: Plan = (() => {
  const made = testPlan({ version: 2, operators: people, needed: 2 })
  const hosts = made.roster.hosts.map((host) => (host.id === 'h1' ? { ...host, ak: ak.name } : host))
  return { ...made, roster: { ...made.roster, hosts } }
})()
const HALVES = { tpm: new Uint8Array(randomBytes(32)), quorum: new Uint8Array(randomBytes(32)) }

let made: TestChip
let chip: TestChip
let generation: Pick<Generation, 'half' | 'escrow'>
beforeAll(async () => {
  made = await TestChip.lay()
})
afterAll(() => made[Symbol.asyncDispose]())
beforeEach(async () => {
  chip = await made.copy()
  generation = await sealed()
  await chip.cut()
  await chip.boot('rescue')
})
afterEach(() => chip[Symbol.asyncDispose]())

async function sealed(): Promise<typeof generation> {
  using secret = Secret.owning(HALVES.tpm.slice())
  using quorum = Secret.owning(HALVES.quorum.slice())
  using root = Secret.random(32)
  const terms = {
    boots: [TestChip.stateOf('release 1')],
    cap: CAP_UNTOUCHED,
    resetCountMax: (await confirmedResetCount(chip)) + 3,
  }
  const half = await sealHalf(chip, {
    ...{ host: 'h1', epoch: 1, secret, needed: 2, operators: points('signer') },
    lease: { kind: 'index', key: leaseKey(root), terms },
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  })
  return {
    half,
    escrow: await escrowHalf(quorum, { host: 'h1', epoch: 1, operators: points('escrow'), threshold: 2 }),
  }
}

function wait(of: Pick<Generation, 'half' | 'escrow'> = generation): Promise<WaitingRelease> {
  // With the registers that it is over, as agents quote.
  const quote = async (statement: Uint8Array): ReturnType<Parameters<typeof waitForOperators>[2]['quote']> =>
    ak.quote(statement)
  return waitForOperators(chip, of, {
    fleet: 'lab',
    akPublic: ak.akPublic,
    quote,
    expirationS: 600,
    nowMs: 1_700_000_000_000,
  })
}

async function answer(request: Uint8Array, who: (typeof people)[number]): Promise<Uint8Array> {
  return answerRelease(await readReleaseRequest(request, plan), who.signer, who.escrow)
}

describe('a release by operators', () => {
  test('opens both halves once, for two of three', async () => {
    const waiting = await wait()
    const answers = [await answer(waiting.request, carol), await answer(waiting.request, alice)]
    await expect(waiting.use(answers.slice(1))).rejects.toMatchObject({ code: 'OPERATORS' })
    await expect(waiting.use([answers[1], answers[1]])).rejects.toMatchObject({ code: 'OPERATORS' })
    const released = await waiting.use(answers)
    if (released.kind !== 'opened') throw new Error(released.rule)
    expect([hex(released.tpm.bytes), released.quorum && hex(released.quorum.bytes)]).toEqual([
      hex(HALVES.tpm),
      hex(HALVES.quorum),
    ])
    expect(released.operators).toEqual([carol.signer.point, alice.signer.point])
    // The counter of the TPM went on: the same operators open nothing again in this generation.
    const again = await wait()
    const used = await again.use([await answer(again.request, alice), await answer(again.request, bob)])
    expect(used).toMatchObject({ kind: 'refused', rule: 'used' })
  })

  test('takes no answers to another request, of strangers, or that were changed', async () => {
    const [first, second] = [await wait(), await wait()]
    const [mine, other] = [await answer(first.request, alice), await answer(second.request, bob)]
    await expect(first.use([mine, other])).rejects.toThrow('another request')
    const changed = JSON.parse(Buffer.from(await answer(first.request, bob)).toString()) as { share: { enc: string } }
    const swapped = { ...changed, share: (JSON.parse(Buffer.from(mine).toString()) as typeof changed).share }
    await expect(first.use([mine, utf8(canonical(swapped))])).rejects.toThrow('does not hold')
    await expect(first.use([mine, utf8(canonical({ ...changed, share: null }))])).rejects.toThrow('does not hold')
    await expect(first.use([mine, utf8('{}')])).rejects.toMatchObject({ code: 'STATEMENT' })
    expect(await first.use([mine, await answer(first.request, bob)])).toMatchObject({ kind: 'opened' })
    await second.abandon()
  })

  test('is asked for by the TPM of that host, or no operator signs', async () => {
    const waiting = await wait()
    const foreign = {
      ...plan,
      roster: { ...plan.roster, hosts: plan.roster.hosts.map((host) => ({ ...host, ak: undefined })) },
    }
    await expect(readReleaseRequest(waiting.request, foreign)).rejects.toThrow('is not taken')
    const json = JSON.parse(Buffer.from(waiting.request).toString()) as { asked: Record<string, unknown> }
    // A thief who wants the shares for himself.
    const stolen = { ...json, asked: { ...json.asked, recipient: newKey('thief').point } }
    await expect(readReleaseRequest(utf8(canonical(stolen)), plan)).rejects.toThrow('does not vouch')
    const asked = await readReleaseRequest(waiting.request, plan)
    await expect(answerRelease(asked, newKey('mallory'), alice.escrow)).rejects.toMatchObject({ code: 'KEY' })
    await expect(answerRelease(asked, alice.signer, undefined)).rejects.toMatchObject({ code: 'KEY' })
    await expect(answerRelease(asked, alice.signer, bob.escrow)).rejects.toMatchObject({ code: 'SHARES' })
    await waiting.abandon()
  })

  test('of a host without a quorum half needs no shares', async () => {
    const alone = { half: generation.half, escrow: [] }
    const waiting = await wait(alone)
    const asked = await readReleaseRequest(waiting.request, plan)
    const answers = await Promise.all([alice, bob].map(({ signer }) => answerRelease(asked, signer, undefined)))
    const released = await waiting.use(answers)
    expect(released).toMatchObject({ kind: 'opened', quorum: undefined })
  })
})
