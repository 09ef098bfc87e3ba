import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { POLICY } from '../plan/sample.ts'
import type { PriorShutdown } from '../types.ts'
import { nearnessOf, type PeerStatus, shutdownOf, statusOf, wasClean } from './facts.ts'
import { describeRefusal, type LocalFacts, localRefusals, type Refusal, seenRefusals } from './gate.ts'
import { judgeLease, type LeaseAge } from './lease.ts'
import { type Evidence, HYPOTHESES, judge } from './verdict.ts'

const tpm = <T>(value: T) => ({ value, source: 'tpm', signed: true }) as const
const unknown = { value: undefined, source: 'kernel', signed: false } as const
const abnormal: PriorShutdown = {
  orderly: tpm(false),
  resetIncrease: tpm(1),
  restartIncrease: tpm(0),
  poweredMs: tpm(0),
  cleanMarker: { value: false, source: 'marker', signed: true },
  bootId: unknown,
  journalShutdown: unknown,
  wtmpShutdown: unknown,
  kernelCrash: unknown,
  fileSystemClean: unknown,
}
const clean = { ...abnormal, orderly: tpm(true), cleanMarker: { value: true, source: 'marker', signed: true } } as const
const MINUTE_MS = 60_000

describe('the gate', () => {
  const good: LocalFacts = {
    isAttested: true,
    isMeasurementApproved: true,
    membership: 'active',
    requestRoster: 3,
    ownRoster: 3,
    epoch: 'held',
    isSameRack: false,
    resetIncrease: 1,
    restartIncrease: 0,
    roundTripMs: 4,
    baselineMs: 3,
  }

  test('has nothing against a host that is as it should be, at every bound', () => {
    expect(
      localRefusals({ ...good, resetIncrease: 6, roundTripMs: 8, requestRoster: 4, restartIncrease: 2 }, POLICY),
    ).toEqual([])
  })

  const cases: readonly [Refusal['rule'], Partial<LocalFacts>][] = [
    ['ATTESTED', { isAttested: false }],
    ['MEASUREMENT', { isMeasurementApproved: false }],
    ['ROSTER', { membership: 'expunged' }],
    ['ROSTER', { membership: 'revoked' }],
    ['ROSTER', { membership: 'unknown' }],
    ['ROSTER_OLD', { requestRoster: 2 }],
    ['EPOCH', { epoch: 'missing' }],
    ['EPOCH', { epoch: 'superseded' }],
    ['WITNESS_DOMAIN', { isSameRack: true }],
    ['RESETS', { resetIncrease: 7 }],
    ['RESETS', { resetIncrease: undefined }],
    ['RESTARTS', { resetIncrease: 0, restartIncrease: 1 }],
    ['RESTARTS', { restartIncrease: undefined }],
    ['ROUND_TRIP', { roundTripMs: 8.1 }],
    ['ROUND_TRIP', { roundTripMs: Number.NaN }],
  ]
  test.each(cases)('refuses by %s alone %o', (rule, change) => {
    const refusals = localRefusals({ ...good, ...change }, POLICY)
    expect(refusals.map((refusal) => refusal.rule)).toEqual([rule])
    const { fact, change: remedy } = describeRefusal(refusals[0])
    expect(fact.length * remedy.length).toBeGreaterThan(0)
  })

  test('refuses an old lease, one of unknown age, and what the verdict holds back', () => {
    const verdict = judge({ ...evidence('up'), leaseAgeMs: MINUTE_MS }, 0.02)
    const rules = (lease: { ageMs: number; basis: 'wall' } | undefined) =>
      seenRefusals({ lease, verdict }, POLICY).map(({ rule }) => rule)
    expect(rules({ ageMs: POLICY.leaseMs, basis: 'wall' })).toEqual([])
    expect(rules({ ageMs: POLICY.leaseMs + 1, basis: 'wall' })).toEqual(['LEASE'])
    expect(rules({ ageMs: Number.NaN, basis: 'wall' })).toEqual(['LEASE'])
    expect(rules(undefined)).toEqual(['LEASE'])
    for (const action of ['hold', 'lock'] as const) {
      const [refusal] = seenRefusals({ lease: { ageMs: 0, basis: 'wall' }, verdict: { ...verdict, action } }, POLICY)
      expect(refusal).toMatchObject({ rule: 'VERDICT', action })
      expect(describeRefusal(refusal).change).not.toBe('')
    }
  })
})

describe('the age of a lease', () => {
  const running = (boundMs: number): LeaseAge => ({ boundMs, isContinuous: true, wallMs: boundMs })
  const stopped = (boundMs: number, wallMs: number): LeaseAge => ({ boundMs, isContinuous: false, wallMs })

  test('is that of clocks that ran, when there are enough', () => {
    expect(judgeLease(running(10), [], 'refuse')).toEqual({ ageMs: 10, basis: 'continuous' })
    expect(judgeLease(stopped(1, 1), [running(9), running(10), running(11)], 'refuse')).toEqual({
      ageMs: 10,
      basis: 'continuous',
    })
    expect(judgeLease(stopped(1, 1), [running(9), running(10)], 'refuse')).toEqual({ ageMs: 10, basis: 'continuous' })
    expect(judgeLease(stopped(1, 1), [running(9)], 'refuse')).toBeUndefined()
  })

  test('is that of wall clocks when all stood still, if the plan has it so', () => {
    const peers = [stopped(2, 90), stopped(3, 100)]
    expect(judgeLease(stopped(1, 110), peers, 'wall')).toEqual({ ageMs: 100, basis: 'wall' })
    expect(judgeLease(stopped(1, 110), peers, 'refuse')).toBeUndefined()
    // Three machines that were all dark: two witnesses, of whom the one that says less does not count.
    expect(judgeLease(stopped(1, 110), [stopped(2, 5)], 'wall')).toEqual({ ageMs: 110, basis: 'wall' })
    expect(judgeLease(stopped(1, 110), [], 'wall')).toBeUndefined()
  })

  test('is never below what the witness itself counted, and no minority of liars makes it younger', () => {
    const age = fc.nat(1_000_000)
    fc.assert(
      fc.property(
        age,
        fc.integer({ min: 1, max: 7 }),
        fc.array(age, { minLength: 0, maxLength: 14 }),
        (trueMs, honest, lies) => {
          const liars = lies.slice(0, honest)
          const judged = judgeLease(
            running(trueMs),
            [...Array.from({ length: honest }, () => running(trueMs)), ...liars.map(running)],
            'wall',
          )
          expect(judged?.ageMs).toBeGreaterThanOrEqual(trueMs)
          const asked = judgeLease(
            stopped(0, 0),
            [...Array.from({ length: honest + 2 }, () => running(trueMs)), ...liars.map(running)],
            'wall',
          )
          expect(asked?.ageMs).toBeGreaterThanOrEqual(
            Math.min(trueMs, ...(liars.length > honest + 1 ? liars : [trueMs])),
          )
        },
      ),
    )
  })
})

/** Three peers in each of rack, room, zone and two other zones. */
function evidence(...statuses: readonly PeerStatus[]): Evidence {
  const peers = Array.from({ length: 15 }, (_, i) => ({
    nearness: Math.floor(i / 3),
    status: statuses[Math.min(Math.floor(i / 3), statuses.length - 1)],
  }))
  return { prior: abnormal, leaseAgeMs: 20 * MINUTE_MS, measurementApproved: true, roundTripHolds: true, peers }
}

describe('the verdict', () => {
  test.each([
    ['boot', 'clean', 'up', { ...evidence('up'), prior: clean, leaseAgeMs: 5 * MINUTE_MS }],
    ['boot-checked', 'isolated', 'all up', evidence('up')],
    ['recover', 'mass', 'the rack out', evidence('abnormal', 'up')],
    ['recover', 'mass', 'the room out', evidence('abnormal', 'abnormal', 'up')],
    ['recover', 'mass', 'all out', evidence('abnormal')],
    ['recover', 'mass', 'all out for eight hours', { ...evidence('abnormal'), leaseAgeMs: 480 * MINUTE_MS }],
    [
      'recover',
      'mass',
      'the zone out, and nothing else seen',
      evidence('abnormal', 'abnormal', 'abnormal', 'unreachable'),
    ],
    ['hold', 'partition', 'nothing seen', { ...evidence('unreachable'), leaseAgeMs: undefined }],
    ['hold', 'partition', 'the rack up, and nothing else seen', evidence('up', 'unreachable')],
    ['hold', 'partition', 'the room out, and nothing else seen', evidence('abnormal', 'abnormal', 'unreachable')],
    ['lock', 'theft', 'strangers all around', { ...evidence('unattested'), leaseAgeMs: 1500 * MINUTE_MS }],
    // A crash, and a shutdown, in the seconds after a heartbeat: what tells them apart is not the age of the lease.
    ['boot-checked', 'isolated', 'a crash seconds after a heartbeat', { ...evidence('up'), leaseAgeMs: 3000 }],
    ['boot', 'clean', 'a reboot seconds after a heartbeat', { ...evidence('up'), prior: clean, leaseAgeMs: 3000 }],
    [
      'boot-checked',
      'isolated',
      'a crash of which the TPM says nothing',
      { ...evidence('up'), prior: { ...abnormal, orderly: tpm(undefined) }, leaseAgeMs: 3000 },
    ],
    ['recover', 'mass', 'all out seconds after a heartbeat', { ...evidence('abnormal'), leaseAgeMs: 3000 }],
    [
      'lock',
      'theft',
      'the rack out among strangers',
      { ...evidence('abnormal', 'unattested'), leaseAgeMs: 1500 * MINUTE_MS },
    ],
  ] as const)('is %s: %s (%s)', (action, likeliest, _seen, given) => {
    expect(judge(given, 0.02)).toMatchObject({ action, likeliest })
  })

  test('names the extent of an outage', () => {
    expect(judge(evidence('abnormal', 'up'), 0.02).extent).toBe('rack')
    expect(judge(evidence('abnormal', 'abnormal', 'abnormal', 'up'), 0.02).extent).toBe('zone')
    expect(judge(evidence('abnormal'), 0.02).extent).toBe('fleet')
  })

  test('does not count forty hosts of a dead rack as forty witnesses', () => {
    const few = evidence('unreachable', 'up')
    const mates = Array.from({ length: 37 }, () => ({ nearness: 0, status: 'unreachable' as const }))
    const many = { ...few, peers: [...few.peers, ...mates] }
    const shift =
      Math.log(judge(many, 0.02).odds.theft / judge(many, 0.02).odds.isolated) -
      Math.log(judge(few, 0.02).odds.theft / judge(few, 0.02).odds.isolated)
    expect(shift).toBeLessThan(37)
    expect(shift).toBeGreaterThan(0)
  })

  test('gives odds that add up, whatever is seen', () => {
    const status = fc.constantFrom<PeerStatus>('up', 'abnormal', 'clean', 'unattested', 'unreachable')
    const peers = fc.array(fc.record({ nearness: fc.nat(6), status }), { maxLength: 30 })
    fc.assert(
      fc.property(peers, fc.option(fc.nat(1e9), { nil: undefined }), fc.nat(100), (peers, leaseAgeMs, resets) => {
        const prior = { ...abnormal, resetIncrease: tpm(resets) }
        const { odds, action } = judge(
          { prior, leaseAgeMs, measurementApproved: undefined, roundTripHolds: undefined, peers },
          0.02,
        )
        const sum = HYPOTHESES.reduce((total, each) => total + odds[each], 0)
        expect(sum).toBeCloseTo(1, 9)
        if (odds.theft >= 0.02) expect(action).toBe('lock')
      }),
    )
  })
})

describe('facts', () => {
  test('a peer that started before the outage is up, a later one is what its shutdown was', () => {
    const seen = (uptimeMs: number, lastShutdown: 'clean' | 'abnormal') =>
      ({ kind: 'attested', report: { uptimeMs, lastShutdown, lease: undefined }, roundTripMs: 1 }) as const
    expect(statusOf(seen(101, 'abnormal'), 100)).toBe('up')
    expect(statusOf(seen(100, 'abnormal'), 100)).toBe('abnormal')
    expect(statusOf(seen(100, 'clean'), 100)).toBe('clean')
    expect(statusOf(seen(59 * MINUTE_MS, 'clean'), undefined)).toBe('clean')
    expect(statusOf({ kind: 'unreachable' }, 100)).toBe('unreachable')
  })

  test('a shutdown was clean by its signed marker, unless the TPM or the kernel says otherwise', () => {
    expect(wasClean(clean)).toBe(true)
    expect(wasClean({ ...clean, cleanMarker: { ...clean.cleanMarker, signed: false } })).toBe(false)
    expect(wasClean({ ...clean, orderly: tpm(false) })).toBe(false)
    expect(wasClean({ ...clean, kernelCrash: { value: true, source: 'pstore', signed: false } })).toBe(false)
    expect(wasClean(abnormal)).toBe(false)
  })

  test('a shutdown without a marker is what the TPM says of it', () => {
    expect([clean, abnormal].map(shutdownOf)).toEqual(['clean', 'lost'])
    const untold = { ...abnormal, orderly: tpm(undefined) }
    const crash = { value: true, source: 'pstore', signed: false } as const
    expect(shutdownOf(untold)).toBe('unknown')
    expect(shutdownOf({ ...abnormal, orderly: tpm(true) })).toBe('orderly')
    expect(shutdownOf({ ...untold, kernelCrash: crash })).toBe('lost')
    expect(shutdownOf({ ...clean, kernelCrash: crash })).toBe('lost')
  })

  test('nearness numbers the other zones as they come', () => {
    const at = (zone: string, room: string, rack: string) => ({ zone, room, rack, pdu: 'p' })
    const peers = [
      at('a', 'm', 'k'),
      at('a', 'm', 'l'),
      at('a', 'n', 'x'),
      at('b', 'o', 'y'),
      at('c', 'p', 'z'),
      at('b', 'q', 'w'),
    ]
    expect(nearnessOf(at('a', 'm', 'k'), peers)).toEqual([0, 1, 2, 3, 4, 3])
  })
})
