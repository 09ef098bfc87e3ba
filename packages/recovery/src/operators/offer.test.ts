/** What hosts offer, and how it comes into the plan. */
import { canonical, equal, fromHex, hex, TPMA_OBJECT, utf8 } from '@reprise/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecoveryError } from '../error.ts'
import type { Plan, RosterHost } from '../types.ts'
import { planChanges } from './changes.ts'
import { mergeOffers } from './merge.ts'
import { type CheckedOffer, checkOffer, makeOffer } from './offer.ts'
import { type TestAk, testAk, testOperator, testPlan } from './testing.ts'

const storageKey = new Uint8Array(80).fill(3)
const byte = (value: number): Uint8Array => new Uint8Array(32).fill(value)
const registers = { 4: byte(0x44), 7: byte(0x77), 14: byte(0) }

function offerOf(host: string, ak: TestAk, change: Readonly<Record<number, Uint8Array>> = {}): Promise<Uint8Array> {
  const facts = { fleet: 'lab', host, akPublic: ak.akPublic, storageKey, approvals: 5n }
  return makeOffer(facts, async (statement) => ak.quote(statement, { ...registers, ...change }))
}

/** As people write it: no keys of hosts, no boots. */
const draft: Plan = withHosts(
  testPlan({ version: 1, operators: [testOperator('alice')], needed: 1, boots: [] }),
  (host) => {
    return { ...host, ak: undefined, approvals: undefined }
  },
)

function withHosts(plan: Plan, change: (host: RosterHost) => RosterHost): Plan {
  return { ...plan, roster: { ...plan.roster, hosts: plan.roster.hosts.map(change) } }
}

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    if (error instanceof RecoveryError) return error.code
    throw error
  }
  return 'taken'
}

describe('an offer', () => {
  test('shows that the key holds these registers now', async () => {
    const ak = testAk()
    const { offer, ak: name, tier } = await checkOffer(await offerOf('h1', ak), 'h1.json')
    expect(name).toBe(ak.name)
    expect(offer).toMatchObject({ fleet: 'lab', host: 'h1', approvals: 5n })
    expect(equal(offer.storageKey, storageKey)).toBe(true)
    expect(offer.registers.map(({ pcr, value }) => [pcr, hex(value)])).toEqual(
      Object.entries(registers).map(([pcr, value]) => [Number(pcr), hex(value)]),
    )
    expect(tier).toMatchObject({ kind: 'unproven' })
  })

  test('of a key that signs anything, or could leave its TPM, is refused', async () => {
    const { fixedTPM, sign, restricted } = TPMA_OBJECT
    for (const attributes of [fixedTPM | sign, restricted | sign]) {
      const bytes = await offerOf('h1', testAk(attributes))
      expect(await codeOf(() => checkOffer(bytes, 'x'))).toBe('OFFER')
    }
  })

  test('is refused with any byte of it changed', async () => {
    const bytes = await offerOf('h1', testAk())
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 2), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = bytes.slice()
        changed[at] ^= flip
        expect(await codeOf(() => checkOffer(changed, 'x'))).toBe('OFFER')
      }),
      { numRuns: 300 },
    )
  })

  test('with other members, or of strangers, is refused and nothing else', async () => {
    const json = JSON.parse(Buffer.from(await offerOf('h1', testAk())).toString()) as Record<string, unknown>
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(json)), fc.jsonValue(), async (member, value) => {
        const code = await codeOf(() => checkOffer(utf8(canonical({ ...json, [member]: value })), 'x'))
        // A certificate beside it is nobody's word for anything.
        expect(code).toBe(['certificates', 'ekCertificate'].includes(member) && code === 'taken' ? 'taken' : 'OFFER')
      }),
    )
  })
})

describe('offers in a plan', () => {
  const offers = async (...of: readonly Promise<Uint8Array>[]): Promise<CheckedOffer[]> =>
    Promise.all(of.map(async (bytes) => checkOffer(await bytes, 'x')))
  const [one, two] = [testAk(), testAk()]
  const host = (plan: Plan, id: string): RosterHost | undefined => plan.roster.hosts.find((each) => each.id === id)

  test('give hosts their keys, and hosts that boot alike one boot', async () => {
    const merged = mergeOffers(
      draft,
      await offers(offerOf('h1', one), offerOf('h2', two), offerOf('h3', testAk(), { 4: byte(9) })),
    )
    expect(host(merged, 'h1')).toMatchObject({ ak: one.name, approvals: 5 })
    expect(merged.boots.map(({ hosts }) => hosts)).toEqual([['h1', 'h2'], ['h3']])
    expect(merged.boots[0].registers.map(({ pcr }) => pcr)).toEqual([4, 7])
    expect(host(merged, 'h4')).toMatchObject({ ak: undefined })
  })

  test('do not change what people wrote, and must agree with it', async () => {
    const boots = [{ name: 'known', registers: [{ pcr: 4, value: '44'.repeat(32) }], hosts: undefined }]
    const agreed = { ...draft, boots }
    expect(mergeOffers(agreed, await offers(offerOf('h1', one))).boots).toEqual(boots)
    const cases: readonly (readonly [Plan, readonly Promise<Uint8Array>[]])[] = [
      [agreed, [offerOf('h1', one, { 4: byte(9) })]],
      [withHosts(draft, (each) => ({ ...each, ak: two.name })), [offerOf('h1', one)]],
      [withHosts(draft, (each) => ({ ...each, approvals: 4 })), [offerOf('h1', one)]],
      [draft, [offerOf('h9', one)]],
      [draft, [offerOf('h1', one), offerOf('h1', one)]],
      [draft, [offerOf('h1', one, { 14: byte(1) })]],
      [{ ...draft, fleet: 'other' }, [offerOf('h1', one)]],
    ]
    for (const [i, [plan, of]] of cases.entries()) {
      const checked = await offers(...of)
      expect(await codeOf(() => mergeOffers(plan, checked)), `case ${i}`).toBe('OFFER')
    }
  })

  test('stand before the plan that was, which gives what neither says', async () => {
    const previous = mergeOffers(draft, await offers(offerOf('h1', one), offerOf('h2', two)))
    const again = { ...draft, roster: { version: 2, hosts: draft.roster.hosts.filter(({ id }) => id !== 'h2') } }
    const renewed = testAk()
    const merged = mergeOffers(again, await offers(offerOf('h3', renewed)), previous)
    expect(host(merged, 'h1')).toMatchObject({ ak: one.name, approvals: 5 })
    expect(host(merged, 'h3')).toMatchObject({ ak: renewed.name })
    expect(merged.boots).toEqual([{ ...previous.boots[0], hosts: ['h1', 'h3'] }])
    const changed = mergeOffers(again, await offers(offerOf('h1', renewed)), previous)
    const texts = planChanges(previous, changed).map(({ kind, text }) => `${kind} ${text}`)
    expect(texts).toContain('changed h1 HAS ANOTHER ATTESTATION KEY than before')
    expect(texts).toContain('removed h2 is gone')
  })

  test('changes of a plan are said once for hosts that change alike', () => {
    const plan = testPlan({ version: 1, operators: [testOperator('alice')], needed: 1 })
    expect(planChanges(plan, plan)).toEqual([])
    const moved = withHosts(plan, (each) => ({ ...each, address: `${each.address}1` }))
    expect(planChanges(plan, moved)).toEqual([{ kind: 'changed', text: 'h1, h2, h3, h4 has another address' }])
    const policy = { ...plan, policy: { ...plan.policy, threshold: 1 }, boots: [], approver: fromHexText('04') }
    expect(planChanges(plan, policy).map(({ text }) => text)).toEqual([
      'boot one',
      'boot two',
      'policy threshold: 1, was 2',
      'approver: 04, was none',
    ])
    expect(planChanges(undefined, plan)).toHaveLength(6)
  })
})

function fromHexText(text: string): string {
  return hex(fromHex(text))
}
