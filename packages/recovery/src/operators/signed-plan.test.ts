/** Who may say what the plan is. */
import { canonical, equal, fromHex, utf8 } from '@reprise/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { approvalMessage } from '../sealing/approval.ts'
import type { Plan } from '../types.ts'
import { shareApprovals, signApprovals } from './approvals.ts'
import {
  encodeSignedPlan,
  followingPlan,
  isSignedPlan,
  parseSignedPlan,
  readSignedPlan,
  type SignedPlan,
  signPlan,
} from './signed-plan.ts'
import { codeOf, testOperator, testPlan, type TestOperator } from './testing.ts'
import { verifierOf } from './signatures.ts'

const [alice, bob, carol, dora] = ['alice', 'bob', 'carol', 'dora'].map(testOperator)
const approver = testOperator('approver')

const planOf = (version: number, operators: readonly TestOperator[], change: Partial<Plan> = {}): Plan =>
  testPlan({ version, operators, needed: 2, approver: approver.signer.point, ...change })

function signedBy(signed: SignedPlan, ...by: readonly TestOperator[]): SignedPlan {
  return by.reduce((before, { signer }) => signPlan(before, signer), signed)
}

const first = signedBy(followingPlan(planOf(1, [alice, bob, carol]), undefined), alice, carol)
/** From here on dora signs in place of carol. */
const second = signedBy(followingPlan(planOf(2, [alice, bob, dora]), first), bob, carol)
const third = signedBy(followingPlan(planOf(3, [alice, bob, dora]), second), alice, dora)

const read = (signed: SignedPlan, known?: SignedPlan): string =>
  codeOf(() => readSignedPlan(encodeSignedPlan(signed), known && { kind: 'plan', plan: known.plan }))

describe('a signed plan', () => {
  test('comes back as it was written', () => {
    for (const signed of [first, second, third]) expect(parseSignedPlan(encodeSignedPlan(signed))).toEqual(signed)
    expect(isSignedPlan(encodeSignedPlan(first))).toBe(true)
    expect(isSignedPlan(utf8('{ fleet: lab }'))).toBe(false)
  })

  test('is taken when the operators of the plan before signed it, over any number of versions', () => {
    expect(read(first)).toBe('taken')
    expect(read(second, first)).toBe('taken')
    expect(read(third, second)).toBe('taken')
    expect(read(third, first)).toBe('taken')
    expect(read(second, second)).toBe('taken')
  })

  test('is refused when it is older, of the same version and another, or of another fleet', () => {
    expect(read(second, third)).toBe('PLAN_OLD')
    const other = signedBy(
      followingPlan(planOf(2, [alice, bob, dora], { longestOutageMs: 3_600_000 }), first),
      bob,
      carol,
    )
    expect(read(other, second)).toBe('PLAN_OLD')
    const foreign = signedBy(followingPlan(planOf(9, [alice, bob, carol], { fleet: 'other' }), undefined), alice, bob)
    expect(read(foreign, first)).toBe('SIGNED_PLAN')
  })

  test('is refused when too few signed, or those of the new plan instead of those of the old one', () => {
    expect(read(signedBy(followingPlan(planOf(2, [alice, bob, carol]), first), alice))).toBe('SIGNED_PLAN')
    expect(codeOf(() => signPlan(followingPlan(planOf(2, [alice, bob, dora]), first), dora.signer))).toBe('KEY')
    const usurped = signedBy(followingPlan(planOf(2, [dora, bob]), undefined), dora, bob)
    expect(read(usurped)).toBe('taken')
    expect(read(usurped, first)).toBe('SIGNED_PLAN')
    // With the true first plan before it, and signatures of the usurpers.
    const grafted = { ...usurped, handovers: second.handovers }
    expect(read(grafted)).toBe('SIGNED_PLAN')
    expect(read({ ...second, handovers: [] }, first)).toBe('SIGNED_PLAN')
    expect(read({ ...third, handovers: third.handovers.slice(0, 1) }, first)).toBe('SIGNED_PLAN')
    expect(read({ ...third, handovers: third.handovers.slice(1) }, first)).toBe('SIGNED_PLAN')
  })

  test('is taken first by its digest alone', () => {
    const bytes = encodeSignedPlan(third)
    expect(readSignedPlan(bytes, { kind: 'pinned', digest: third.digest }).digest).toEqual(third.digest)
    expect(codeOf(() => readSignedPlan(bytes, { kind: 'pinned', digest: first.digest }))).toBe('SIGNED_PLAN')
  })

  test('follows one that has enough signatures, with a higher version', () => {
    const unsigned = followingPlan(planOf(1, [alice, bob]), undefined)
    expect(codeOf(() => followingPlan(planOf(2, [alice, bob]), unsigned))).toBe('SIGNED_PLAN')
    expect(codeOf(() => followingPlan(planOf(1, [alice, bob]), first))).toBe('SIGNED_PLAN')
    expect(codeOf(() => followingPlan(planOf(2, [alice, bob], { fleet: 'b' }), first))).toBe('SIGNED_PLAN')
  })

  test('counts nobody twice', () => {
    const twice = signedBy(followingPlan(planOf(2, [alice, bob, carol]), first), alice, alice)
    expect(twice.signatures).toHaveLength(1)
    expect(read({ ...twice, signatures: [...twice.signatures, ...twice.signatures] })).toBe('SIGNED_PLAN')
  })

  test('is refused with any byte of it changed', () => {
    const bytes = encodeSignedPlan({ ...second, approvals: [] })
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = bytes.slice()
        changed[at] ^= flip
        expect(codeOf(() => readSignedPlan(changed, { kind: 'plan', plan: first.plan }))).not.toBe('taken')
      }),
      { numRuns: 400 },
    )
  })

  test('of strangers is refused and nothing else, whatever it has', () => {
    const json = JSON.parse(Buffer.from(encodeSignedPlan(second)).toString()) as Record<string, unknown>
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(json)), fc.jsonValue(), (member, value) => {
        expect(codeOf(() => parseSignedPlan(utf8(canonical({ ...json, [member]: value }))))).toMatch(
          /^(?:SIGNED_PLAN|taken)$/,
        )
      }),
    )
    fc.assert(fc.property(fc.uint8Array(), (bytes) => codeOf(() => parseSignedPlan(bytes)) === 'SIGNED_PLAN'))
  })
})

describe('approvals', () => {
  const approved = signApprovals(first, approver.signer)

  test('are one for each active host and boot, and stand beside what operators signed', () => {
    expect(approved.approvals.map(({ host, boot }) => `${host} ${boot}`)).toEqual([
      'h1 one',
      'h1 two',
      'h2 one',
      'h3 one',
    ])
    expect(read(approved)).toBe('taken')
    expect(parseSignedPlan(encodeSignedPlan(approved))).toEqual(approved)
    const [own, ...none] = shareApprovals(approved, 'h2')
    expect(none).toEqual([])
    const { approval, signature } = own.signed
    expect(approval).toMatchObject({ host: 'h2', number: 7n, purpose: 'share' })
    expect(verifierOf(approver.signer.point)(approvalMessage(approval), signature.signature)).toBe(true)
    expect(equal(approval.boot[0].value, fromHex('11'.repeat(32)))).toBe(true)
  })

  test('of somebody else, for another host, boot or number do not count', () => {
    const [entry] = approved.approvals
    const changes = [
      { host: 'h2' },
      { boot: 'two' },
      { number: entry.number + 1n },
      { signature: alice.signer.sign(utf8('x')) },
    ]
    for (const change of changes)
      for (const host of ['h1', 'h2'])
        expect(shareApprovals({ plan: approved.plan, approvals: [{ ...entry, ...change }] }, host)).toEqual([])
    expect(codeOf(() => signApprovals(first, alice.signer))).toBe('KEY')
  })
})
