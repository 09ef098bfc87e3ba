/** Shares in the TPM of a witness: what opens them, and that the TPM itself refuses the rest. */

import { hex } from '@reprise/core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Share } from '../types.ts'
import { approvalMessage, type ShareApproval, type SignedApproval } from './approval.ts'
import { capBoot } from './boot-state.ts'
import { approvalsCounter, count, openCounter, readCounter } from './indexes.ts'
import { keepShare, type KeptShare, openShare, splitHalf } from './quorum-half.ts'
import { Secret } from './secret.ts'
import type { Opened } from './storage.ts'
import { person, TestChip } from './testing.ts'

const approver = person()
const witness = { id: 'db-4', approver: approver.point }

let made: TestChip
let chip: TestChip
let share: Share
let kept: KeptShare
let approval: ShareApproval
beforeAll(async () => {
  made = await TestChip.lay()
  using half = Secret.random(32)
  share = (await splitHalf(half, { host: 'web-1', epoch: 3, count: 5, threshold: 3 }))[2]
})
afterAll(() => made[Symbol.asyncDispose]())
beforeEach(async () => {
  chip = await made.copy()
  kept = await keepShare(chip, share, witness)
  const counter = await openCounter(chip, 'approvals')
  expect({ handle: counter.handle, name: counter.name }).toEqual(approvalsCounter())
  const number = await readCounter(chip, counter)
  approval = { purpose: 'share', host: 'db-4', counter, number, boot: TestChip.stateOf('release 1') }
})
afterEach(() => chip[Symbol.asyncDispose]())

const sign = (what: ShareApproval, by = approver): SignedApproval<ShareApproval> => ({
  approval: what,
  signature: by.sign(approvalMessage(what)),
})
const open = (signed: SignedApproval<ShareApproval>): Promise<Opened> =>
  openShare(chip, kept, { approval: signed, approver: approver.point })
async function said(opening: Promise<Opened>): Promise<string> {
  const opened = await opening
  if (opened.kind === 'refused') return `${opened.rule} ${opened.response}`
  using secret = opened.secret
  return hex(secret.bytes)
}

describe('a kept share', () => {
  test('opens in an approved boot, capped as well, after any number of resets and after hibernation', async () => {
    const signed = sign(approval)
    expect(await said(open(signed))).toBe(hex(share.bytes))
    await capBoot(chip.tpm)
    expect(await said(open(signed))).toBe(hex(share.bytes))
    for (let cuts = 0; cuts < 12; cuts++) {
      await chip.cut()
      await chip.boot()
    }
    await chip.suspend()
    await chip.boot()
    expect(await said(open(signed))).toBe(hex(share.bytes))
  })

  test('does not open in another boot, until that one is approved', async () => {
    await chip.cut()
    await chip.boot('release 2')
    expect(await said(open(sign(approval)))).toBe('boot TPM_RC_VALUE')
    const next = { ...approval, boot: TestChip.stateOf('release 2') }
    expect(await said(open({ ...sign(approval), approval: next }))).toBe('approval TPM_RC_SIGNATURE')
    expect(await said(open(sign(next, person())))).toBe('approval TPM_RC_SIGNATURE')
    expect(await said(open(sign(next)))).toBe(hex(share.bytes))
  })

  test('does not open by an approval of another host, or one that was taken back', async () => {
    expect(await said(open(sign({ ...approval, host: 'db-5' })))).toBe('policy TPM_RC_POLICY_FAIL')
    await count(chip, await openCounter(chip, 'approvals'))
    expect(await said(open(sign(approval)))).toBe('revoked TPM_RC_POLICY')
    expect(await said(open(sign({ ...approval, number: approval.number + 1n })))).toBe(hex(share.bytes))
  })

  test('does not open on another TPM', async () => {
    await using other = await TestChip.lay(1)
    await other.boot()
    await expect(openShare(other, kept, { approval: sign(approval), approver: approver.point })).rejects.toMatchObject({
      response: { name: 'TPM_RC_INTEGRITY' },
    })
  })
})
