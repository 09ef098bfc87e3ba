/** The TPM half on swtpm: what opens it, and that the TPM itself refuses everything else. */

import { randomBytes } from 'node:crypto'
import { concat, decodeTpmtPublic, hex, TPM_PT, TPMA_NV } from '@reprise/core'
import {
  Load,
  meetPolicy,
  NvDefineSpace,
  NvUndefineSpace,
  NvWrite,
  openNvIndex,
  OWNER,
  PcrReset,
  ReadClock,
  readProperties,
  Unseal,
} from '@reprise/tpm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CAP_UNTOUCHED, capBoot } from './boot-state.ts'
import { removeIndex } from './indexes.ts'
import { leaseKey } from './keys.ts'
import {
  confirmedResetCount,
  leaseClauses,
  leasePolicy,
  type LeaseTerms,
  writeLease,
  leaseWritePolicy,
} from './lease.ts'
import { Secret } from './secret.ts'
import { openStorageKey, startSession } from './storage.ts'
import { person, said, TestChip } from './testing.ts'
import { halfBranches, openByLease, sealHalf, type TpmHalf } from './tpm-half.ts'

const host = 'web-1'
const SECRET = new Uint8Array(randomBytes(32))
const BUDGET = 3
const operators = [person(), person(), person()]

let made: TestChip
let chip: TestChip
let key: ReturnType<typeof leaseKey>
beforeAll(async () => {
  made = await TestChip.lay()
})
afterAll(() => made[Symbol.asyncDispose]())
beforeEach(async () => {
  chip = await made.copy()
  using root = Secret.random(32)
  key = leaseKey(root)
})
afterEach(() => chip[Symbol.asyncDispose]())

async function termsNow(): Promise<LeaseTerms> {
  return {
    boots: [TestChip.stateOf('release 1')],
    cap: CAP_UNTOUCHED,
    resetCountMax: (await confirmedResetCount(chip)) + BUDGET,
  }
}

async function sealed(terms: LeaseTerms, epoch = 1): Promise<TpmHalf> {
  using secret = Secret.owning(SECRET.slice())
  return await sealHalf(chip, {
    host,
    epoch,
    secret,
    lease: { kind: 'index', key, terms },
    operators: operators.map(({ point }) => point),
    needed: 2,
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  })
}

const OPENED = hex(SECRET)

/** Meets the same clauses without the digest that PolicyPCR takes as an early warning: the object itself must refuse. */
async function openBlindly(half: TpmHalf, terms: LeaseTerms): Promise<string> {
  if (half.lease.kind !== 'index') throw new Error('no index')
  const { index } = half.lease
  await using storage = await openStorageKey(chip)
  await using session = await startSession(chip.tpm, storage, 'policy')
  const inPublic = decodeTpmtPublic(half.sealed.public)
  await using item = await chip.tpm.execute(Load({ parentHandle: storage, inPrivate: half.sealed.private, inPublic }))
  const clauses = [
    ...leaseClauses(terms, 0).map(({ clause }) =>
      clause.kind === 'pcr' ? { ...clause, pcrDigest: new Uint8Array() } : clause,
    ),
    { kind: 'authorizeNv', index } as const,
    { kind: 'or', alternatives: halfBranches(half).map(({ digest }) => digest) } as const,
  ]
  await meetPolicy(chip.tpm, session, clauses)
  return hex((await chip.tpm.execute(Unseal({ itemHandle: item }), { sessions: [session] })).outData)
}

describe('the lease opens the TPM half', () => {
  test('in an approved boot, after power cuts within the budget, and not after one more', async () => {
    const terms = await termsNow()
    const half = await sealed(terms)
    expect(said(await openByLease(chip, half, terms))).toBe(OPENED)
    for (let cuts = 0; cuts < BUDGET; cuts++) {
      await chip.cut()
      await chip.boot()
      expect(said(await openByLease(chip, half, terms))).toBe(OPENED)
    }
    await chip.cut()
    await chip.boot()
    expect(said(await openByLease(chip, half, terms))).toBe('resets TPM_RC_POLICY')
    // Somebody who claims a larger budget meets another policy than the index holds.
    expect(said(await openByLease(chip, half, { ...terms, resetCountMax: 1000 }))).toBe('lease TPM_RC_VALUE')
  })

  test('again when a heartbeat has renewed it, without sealing anything again', async () => {
    const old = await termsNow()
    const half = await sealed(old)
    for (let cuts = 0; cuts <= BUDGET; cuts++) {
      await chip.cut()
      await chip.boot()
    }
    const terms = await termsNow()
    if (half.lease.kind !== 'index') throw new Error('no index')
    const renewal = { host, index: half.lease.index, key, policy: leasePolicy(terms) }
    expect(await writeLease(chip, renewal)).toBe('written')
    expect(await writeLease(chip, renewal)).toBe('unchanged')
    expect(said(await openByLease(chip, half, terms))).toBe(OPENED)
    expect(said(await openByLease(chip, half, { ...old, resetCountMax: old.resetCountMax + 50 }))).toBe(
      'lease TPM_RC_VALUE',
    )
  })

  test('in either of two boots that a firmware update needs, and in no third', async () => {
    const boots = [TestChip.stateOf('release 1'), TestChip.stateOf('release 2')]
    const terms = { ...(await termsNow()), boots }
    const half = await sealed(terms)
    expect(said(await openByLease(chip, half, terms, 0))).toBe(OPENED)
    await chip.cut()
    await chip.boot('release 2')
    expect(said(await openByLease(chip, half, terms, 0))).toBe('boot TPM_RC_VALUE')
    expect(said(await openByLease(chip, half, terms, 1))).toBe(OPENED)
    await chip.cut()
    await chip.boot('somebody else')
    expect(said(await openByLease(chip, half, terms, 0))).toBe('boot TPM_RC_VALUE')
    expect(said(await openByLease(chip, half, terms, 1))).toBe('boot TPM_RC_VALUE')
  })
})

describe('the TPM refuses', () => {
  test('another boot, and a boot that was capped, until the next reset', async () => {
    const terms = await termsNow()
    const half = await sealed(terms)
    expect(await openBlindly(half, terms)).toBe(OPENED)
    await capBoot(chip.tpm)
    expect(said(await openByLease(chip, half, terms))).toBe('boot TPM_RC_VALUE')
    await expect(openBlindly(half, terms)).rejects.toMatchObject({ response: { name: 'TPM_RC_VALUE' } })
    await expect(chip.tpm.execute(PcrReset({ pcrHandle: CAP_UNTOUCHED.pcr }))).rejects.toMatchObject({
      response: { name: 'TPM_RC_LOCALITY' },
    })
    await chip.cut()
    await chip.boot('another release')
    await expect(openBlindly(half, terms)).rejects.toMatchObject({ response: { name: 'TPM_RC_VALUE' } })
    await chip.cut()
    await chip.boot()
    expect(await openBlindly(half, terms)).toBe(OPENED)
  })

  test('Shutdown(STATE) and Startup(CLEAR), which counts no reset', async () => {
    const terms = await termsNow()
    const half = await sealed(terms)
    const before = (await chip.tpm.execute(ReadClock())).currentTime.clockInfo
    await chip.suspend()
    await chip.boot()
    const after = (await chip.tpm.execute(ReadClock())).currentTime.clockInfo
    expect([after.resetCount, after.restartCount]).toEqual([before.resetCount, before.restartCount + 1])
    expect(said(await openByLease(chip, half, terms))).toBe('restarts TPM_RC_POLICY')
    await chip.cut()
    await chip.boot()
    expect(said(await openByLease(chip, half, terms))).toBe(OPENED)
  })

  test('a lease whose powered time is over', async () => {
    const clock = (await chip.tpm.execute(ReadClock())).currentTime.clockInfo.clock
    const terms = { ...(await termsNow()), clockMaxMs: clock + 60_000n }
    const half = await sealed(terms)
    expect(said(await openByLease(chip, half, terms))).toBe(OPENED)
    const over = { ...terms, clockMaxMs: clock }
    if (half.lease.kind !== 'index') throw new Error('no index')
    await new Promise((resolve) => setTimeout(resolve, 20))
    await writeLease(chip, { host, index: half.lease.index, key, policy: leasePolicy(over) })
    expect(said(await openByLease(chip, half, over))).toBe('powered TPM_RC_POLICY')
    expect(said(await openByLease(chip, half, terms))).toBe('lease TPM_RC_VALUE')
  })

  test('a lease index that somebody without the key writes, or defines anew and writes', async () => {
    const terms = await termsNow()
    const half = await sealed(terms)
    if (half.lease.kind !== 'index') throw new Error('no index')
    const { index } = half.lease
    const generous = { ...terms, boots: [TestChip.stateOf('the thief')], resetCountMax: 0xffffffff }
    using root = Secret.random(32)
    const thief = leaseKey(root)
    const steal = { host, index, key: thief, policy: leasePolicy(generous) }
    await expect(writeLease(chip, steal)).rejects.toMatchObject({ response: { name: 'TPM_RC_POLICY_FAIL' } })
    const data = concat(Uint8Array.of(0, 0x0b), leasePolicy(generous).digest)
    for (const authHandle of [index, OWNER]) {
      await expect(chip.tpm.execute(NvWrite({ authHandle, nvIndex: index, data }))).rejects.toMatchObject({
        response: { name: expect.stringMatching(/^TPM_RC_(NV_AUTHORIZATION|AUTH_UNAVAILABLE)$/) as string },
      })
    }

    // With an empty owner password anybody may take the index away. The same one, with the same Name, is no use to them.
    const redefine = async (change: { attributes?: number; authPolicy?: Uint8Array }): Promise<void> => {
      await chip.tpm.execute(NvUndefineSpace({ authHandle: OWNER, nvIndex: await openNvIndex(chip.tpm, index.handle) }))
      const attributes = index.nvPublic.attributes & ~TPMA_NV.WRITTEN
      const publicInfo = { ...index.nvPublic, attributes, ...change }
      await chip.tpm.execute(NvDefineSpace({ authHandle: OWNER, publicInfo }))
    }
    await chip.cut()
    await chip.boot('the thief')
    await redefine({})
    expect(said(await openByLease(chip, half, generous))).toBe('lease TPM_RC_NV_UNINITIALIZED')
    await expect(writeLease(chip, steal)).rejects.toMatchObject({ response: { name: 'TPM_RC_POLICY_FAIL' } })
    // With another policy or other attributes it is another index.
    await redefine({ authPolicy: leaseWritePolicy(host, thief).digest })
    await writeLease(chip, steal)
    expect(said(await openByLease(chip, half, generous))).toBe('policy TPM_RC_VALUE')
    await redefine({ attributes: TPMA_NV.AUTHWRITE | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA })
    const open = await openNvIndex(chip.tpm, index.handle)
    await chip.tpm.execute(NvWrite({ authHandle: open, nvIndex: open, data }))
    expect(said(await openByLease(chip, half, generous))).toBe('policy TPM_RC_VALUE')
  })

  test('a blob of a generation whose lease index is gone, and one on another TPM', async () => {
    const terms = await termsNow()
    const old = await sealed(terms, 1)
    using root = Secret.random(32)
    key = leaseKey(root)
    const now = await sealed(terms, 2)
    if (old.lease.kind !== 'index') throw new Error('no index')
    expect(said(await openByLease(chip, old, terms))).toBe(OPENED)
    await removeIndex(chip, old.lease.index.handle)
    expect(said(await openByLease(chip, old, terms))).toBe('lease TPM_RC_HANDLE')
    expect(said(await openByLease(chip, now, terms))).toBe(OPENED)

    await using other = await TestChip.lay(1)
    await other.boot()
    await expect(
      openByLease({ tpm: other.tpm, persist: other.persist, storageKey: chip.storageKey }, now, terms),
    ).rejects.toMatchObject({
      code: 'PIN',
    })
    await expect(openByLease(other, now, terms)).rejects.toMatchObject({ response: { name: 'TPM_RC_INTEGRITY' } })
  })

  test('to say the half where somebody on the bus could read it', async () => {
    const terms = await termsNow()
    const half = await sealed(terms)
    expect(said(await openByLease(chip, half, terms))).toBe(OPENED)
    const seen = Buffer.concat(chip.wire)
    expect(seen.length).toBeGreaterThan(4000)
    for (let at = 0; at <= SECRET.length - 8; at += 8) expect(seen.includes(SECRET.subarray(at, at + 8))).toBe(false)
  })

  test('50 power cuts, each with a refused attempt in it, without locking itself', async () => {
    const terms = await termsNow()
    const half = await sealed(terms)
    for (let cuts = 1; cuts <= 50; cuts++) {
      await chip.cut()
      await chip.boot()
      const opened = said(await openByLease(chip, half, terms))
      expect(opened).toBe(cuts <= BUDGET ? OPENED : 'resets TPM_RC_POLICY')
    }
    expect((await readProperties(chip.tpm, TPM_PT.LOCKOUT_COUNTER)).get(TPM_PT.LOCKOUT_COUNTER)).toBe(0)
    const renewed = await termsNow()
    if (half.lease.kind !== 'index') throw new Error('no index')
    await writeLease(chip, { host, index: half.lease.index, key, policy: leasePolicy(renewed) })
    expect(said(await openByLease(chip, half, renewed))).toBe(OPENED)
  })
})
