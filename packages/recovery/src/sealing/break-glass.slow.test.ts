/** The other ways to the TPM half on swtpm: operators, and leases that an approver signs. */

import { randomBytes } from 'node:crypto'
import { hex } from '@reprise/core'
import { hasCommand } from '@reprise/tpm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { approvalMessage, type LeaseApproval, type SignedApproval } from './approval.ts'
import { CAP_UNTOUCHED, capBoot } from './boot-state.ts'
import { count, openCounter, readCounter, removeIndex } from './indexes.ts'
import { leaseKey } from './keys.ts'
import { confirmedResetCount, type LeaseTerms } from './lease.ts'
import { Secret } from './secret.ts'
import type { Opened } from './storage.ts'
import { person, said, TestChip } from './testing.ts'
import {
  breakGlassMessage,
  type BreakGlassRequest,
  openByApproval,
  openByOperators,
  sealHalf,
  type SealHalfRequest,
  type TpmHalf,
} from './tpm-half.ts'

const host = 'web-1'
const SECRET = new Uint8Array(randomBytes(32))
const OPENED = hex(SECRET)
const operators = [person(), person(), person()]

let made: TestChip
let chip: TestChip
beforeAll(async () => {
  made = await TestChip.lay()
})
afterAll(() => made[Symbol.asyncDispose]())
beforeEach(async () => {
  chip = await made.copy()
})
afterEach(() => chip[Symbol.asyncDispose]())

async function termsNow(): Promise<LeaseTerms> {
  const resetCountMax = (await confirmedResetCount(chip)) + 3
  return { boots: [TestChip.stateOf('release 1')], cap: CAP_UNTOUCHED, resetCountMax }
}

async function sealed(change: Partial<SealHalfRequest> = {}): Promise<TpmHalf> {
  using secret = Secret.owning(SECRET.slice())
  using root = Secret.random(32)
  return await sealHalf(chip, {
    ...{ host, epoch: 1, secret, needed: 2, operators: operators.map(({ point }) => point) },
    lease: { kind: 'index', key: leaseKey(root), terms: await termsNow() },
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    ...change,
  })
}

describe('break-glass', () => {
  const collect =
    (who: readonly number[], change: Partial<BreakGlassRequest> = {}) =>
    async (request: BreakGlassRequest) =>
      who.map((operator) => ({
        operator,
        signature: operators[operator].sign(breakGlassMessage({ ...request, ...change })),
      }))
  const open = (half: TpmHalf, ask: ReturnType<typeof collect>, expirationS = 3600): Promise<Opened> =>
    openByOperators(chip, half, { expirationS, collect: ask })

  test('opens the half for two of three operators, in any boot, and once', async () => {
    const half = await sealed()
    await chip.cut()
    await chip.boot('rescue')
    expect(said(await open(half, collect([2, 0])))).toBe(OPENED)
    expect(said(await open(half, collect([2, 0])))).toBe('used TPM_RC_POLICY')
    expect(said(await open(half, collect([1, 2])))).toBe('used TPM_RC_POLICY')
    const next = await sealed({ epoch: 2 })
    expect(said(await open(next, collect([1, 2])))).toBe(OPENED)
  })

  test('is refused for too few, for one twice, and for another key, host, nonce, session or time', async () => {
    const half = await sealed()
    await expect(open(half, collect([1]))).rejects.toMatchObject({ code: 'OPERATORS' })
    await expect(open(half, collect([1, 1]))).rejects.toMatchObject({ code: 'OPERATORS' })
    for (const seconds of [0, -1, 0.5, 1e9]) {
      await expect(open(half, collect([0, 1]), seconds)).rejects.toMatchObject({ code: 'USAGE' })
    }
    const changes: readonly Partial<BreakGlassRequest>[] = [
      { host: 'web-2' },
      { nonce: new Uint8Array(32) },
      { nonceTpm: new Uint8Array(32) },
      { expirationS: 7200 },
    ]
    for (const change of changes) {
      expect(said(await open(half, collect([0, 1], change)))).toBe('operators TPM_RC_SIGNATURE')
    }
    const [first, ...rest] = operators
    operators.splice(0, 3, person(), ...rest)
    expect(said(await open(half, collect([0, 1])))).toBe('operators TPM_RC_SIGNATURE')
    operators[0] = first
    // Statements of an earlier session, whoever kept them, and those that came too late.
    let kept: Awaited<ReturnType<ReturnType<typeof collect>>> = []
    const late = async (request: BreakGlassRequest): ReturnType<ReturnType<typeof collect>> => {
      kept = await collect([0, 1])(request)
      await new Promise((resolve) => setTimeout(resolve, 1_100))
      return kept
    }
    expect(said(await open(half, late, 1))).toBe('operators TPM_RC_EXPIRED')
    expect(said(await open(half, async () => kept, 1))).toBe('operators TPM_RC_SIGNATURE')
    expect(said(await open(half, collect([0, 1])))).toBe(OPENED)
  })

  test('takes up to 64 ways to choose operators, and each key once', async () => {
    const many = Array.from({ length: 9 }, () => person().point)
    for (const [needed, keys] of [
      [4, many],
      [0, many],
      [10, many],
      [1, []],
      [2, [many[0], many[1], many[0]]],
      [32, Array.from({ length: 64 }, (_, i) => Uint8Array.of(4, i))],
    ] as const)
      await expect(sealed({ needed, operators: keys })).rejects.toMatchObject({ code: 'USAGE' })
    const people = Array.from({ length: 7 }, () => person())
    const half = await sealed({ needed: 4, operators: people.map(({ point }) => point) })
    const opened = await openByOperators(chip, half, {
      expirationS: 60,
      collect: async (request) =>
        [6, 5, 3, 0].map((operator) => ({ operator, signature: people[operator].sign(breakGlassMessage(request)) })),
    })
    expect(said(opened)).toBe(OPENED)
  })

  test('stays refused when its counter is taken away and made anew', async () => {
    const half = await sealed()
    expect(said(await open(half, collect([0, 1])))).toBe(OPENED)
    await removeIndex(chip, half.breakGlass.counter.handle)
    expect(await readCounter(chip, await openCounter(chip, 'breakGlass'))).toBeGreaterThan(half.breakGlass.unused)
    expect(said(await open(half, collect([0, 1])))).toBe('used TPM_RC_POLICY')
  })
})

describe('where a chip has no PolicyAuthorizeNV, the approver signs leases', () => {
  const approver = person()

  test('for this host and number, until they are taken back', async () => {
    const terms = await termsNow()
    const half = await sealed({ lease: { kind: 'approvals', approver: approver.point }, needed: 3 })
    const counter = await openCounter(chip, 'approvals')
    const number = await readCounter(chip, counter)
    const approve = (approval: LeaseApproval, by = approver): SignedApproval<LeaseApproval> => ({
      approval,
      signature: by.sign(approvalMessage(approval)),
    })
    const good: LeaseApproval = { purpose: 'lease', host, counter, number, terms }
    expect(said(await openByApproval(chip, half, approve(good)))).toBe(OPENED)
    expect(said(await openByApproval(chip, half, approve(good, person())))).toBe('approval TPM_RC_SIGNATURE')
    expect(said(await openByApproval(chip, half, approve({ ...good, host: 'web-2' })))).toBe('policy TPM_RC_VALUE')
    const larger = { ...good, terms: { ...terms, resetCountMax: terms.resetCountMax + 1 } }
    expect(said(await openByApproval(chip, half, { ...approve(good), approval: larger }))).toBe(
      'approval TPM_RC_SIGNATURE',
    )
    await capBoot(chip.tpm)
    expect(said(await openByApproval(chip, half, approve(good)))).toBe('boot TPM_RC_VALUE')
    await chip.suspend()
    await chip.boot()
    expect(said(await openByApproval(chip, half, approve(good)))).toBe('restarts TPM_RC_POLICY')
    await chip.cut()
    await chip.boot()
    expect(said(await openByApproval(chip, half, approve(good)))).toBe(OPENED)
    await count(chip, counter)
    expect(said(await openByApproval(chip, half, approve(good)))).toBe('revoked TPM_RC_POLICY')
    const next = { ...good, number: number + 1n, terms: await termsNow() }
    expect(said(await openByApproval(chip, half, approve(next)))).toBe(OPENED)
  })

  test('which a chip says by its commands', async () => {
    expect(await hasCommand(chip.tpm, 'PolicyAuthorizeNV')).toBe(true)
  })
})
