import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type DeliveryPermit, judgeDelivery, type Taker } from './delivery.ts'

const permit: DeliveryPermit = { host: 'h1', by: 'h2', madeMs: 1000, untilMs: 2000, digest: 'aa' }
const taker: Taker = { host: 'h1', state: 'unprovisioned', isMeasurementApproved: true, taken: undefined, wallMs: 1500 }
const word = (change: Partial<DeliveryPermit>, taking: Partial<Taker>, from = 'h2'): string => {
  const judged = judgeDelivery({ ...permit, ...change }, from, { ...taker, ...taking })
  return judged.kind === 'refuse' ? judged.code : judged.kind
}

describe('judgeDelivery', () => {
  test('takes what is permitted, and knows it when it comes again', () => {
    expect(word({}, {})).toBe('take')
    expect(word({}, { state: 'released' })).toBe('take')
    const taken = { digest: 'aa', madeMs: 1000 }
    expect(word({}, { state: 'released', taken })).toBe('known')
    expect(word({}, { state: 'released', taken, wallMs: 9999 })).toBe('known')
    // A crash between its file and its first generation.
    expect(word({}, { taken })).toBe('take')
  })

  test.each([
    ['for another host', 'NOT_FOR_YOU', { host: 'h3' }, {}],
    ['that ran out', 'STATEMENT', {}, { wallMs: 2001 }],
    ['at a time that is none', 'STATEMENT', {}, { wallMs: Number.NaN }],
    ['older than what was taken', 'STATEMENT', {}, { taken: { digest: 'bb', madeMs: 1000 } }],
    ['in a boot that nobody approved', 'PROOF', {}, { isMeasurementApproved: false }],
    ['to a host that waits for its release', 'NOT_NOW', {}, { state: 'waiting' as const }],
  ])('refuses one %s', (_what, code, change, taking) => {
    expect(word(change, taking)).toBe(code)
  })

  test('refuses whoever is not the one that operators named', () => {
    expect(word({}, {}, 'h3')).toBe('NOT_FOR_YOU')
  })

  test('of any run of deliveries a host never goes back to an older one', () => {
    const said = fc.record({ madeMs: fc.integer({ min: 1, max: 9 }), digest: fc.constantFrom('a', 'b', 'c', 'd') })
    fc.assert(
      fc.property(fc.array(said, { maxLength: 20 }), (all) => {
        let now: Taker = { ...taker, state: 'released', wallMs: 0 }
        for (const { madeMs, digest } of all) {
          // One digest is one statement, so it has one time.
          const made = { ...permit, digest: `${digest}${madeMs}`, madeMs }
          const judged = judgeDelivery(made, 'h2', now)
          if (judged.kind !== 'take') continue
          expect(madeMs).toBeGreaterThan(now.taken?.madeMs ?? 0)
          now = { ...now, taken: { digest: made.digest, madeMs } }
        }
      }),
    )
  })
})
