import { describe, expect, test } from 'vitest'
import { hex } from '../bytes/index.ts'
import { NO_POLICY, type TrustPolicy } from '../certificates/index.ts'
import { Findings } from './findings.ts'
import type { AttestationKey } from './host.ts'
import type { OpenedRecord } from './open.ts'
import { checkRequirements, checkTrust, lowestTier, type TrustRequest, type VerifiedHost } from './trust.ts'

const key = (byte: number): AttestationKey => ({ name: new Uint8Array(34).fill(byte) }) as unknown as AttestationKey
const nameOf = (byte: number): string => hex(key(byte).name)

async function trustOf(keys: readonly (AttestationKey | undefined)[], more: Partial<TrustRequest> = {}) {
  const findings = new Findings()
  const document = { hosts: keys.map(() => ({ certificates: [] })) } as unknown as TrustRequest['document']
  const crypto = {} as TrustRequest['crypto']
  const request = { document, keys, crypto, trust: undefined, requireEnrolment: false, nowMs: undefined, ...more }
  const answer = await checkTrust({ findings } as OpenedRecord, request)
  return {
    ...answer,
    found: findings.list().map(({ code, severity, path, message }) => [code, severity, path, message]),
  }
}

describe('hosts that enrolled themselves', () => {
  const self = (i: number, severity: string): unknown => [
    'SELF_ENROLLED',
    severity,
    `record.json $.hosts[${i}]`,
    `host ${i} enrolled itself; its attestation key has the Name ${nameOf(i + 1)}`,
  ]

  test('are said to have done so, each by itself', async () => {
    const { hosts, found, isRevocationChecked } = await trustOf([key(1), key(2)])
    expect(found).toEqual([self(0, 'warns'), self(1, 'warns')])
    const judged = { enrolment: 'self', name: null, authority: null, tier: 'software' }
    expect(hosts).toEqual([
      { akName: nameOf(1), ...judged },
      { akName: nameOf(2), ...judged },
    ])
    expect(isRevocationChecked).toBe(false)
  })

  test('are not enough for a reader who wants more, or names others', async () => {
    const policy = (more: Partial<TrustPolicy>): Partial<TrustRequest> => ({ trust: { ...NO_POLICY, ...more } })
    const others: Partial<TrustRequest>[] = [
      { requireEnrolment: true },
      policy({ attestationKeys: [{ name: nameOf(9) }] }),
      policy({ authorities: [{} as TrustPolicy['authorities'][number]] }),
    ]
    for (const each of others) expect((await trustOf([key(1)], each)).found).toEqual([self(0, 'withholds')])
    expect((await trustOf([key(1)], policy({}))).found).toEqual([self(0, 'warns')])
  })

  test('are enough for a reader who knows them, at the tier that he knows', async () => {
    const attestationKeys = [{ name: nameOf(1), tier: 'firmware' as const }, { name: nameOf(2) }]
    const { hosts, found } = await trustOf([key(1), key(2)], { trust: { ...NO_POLICY, attestationKeys } })
    expect(found).toEqual([])
    expect(hosts.map(({ tier }) => tier)).toEqual(['firmware', 'software'])
  })

  test('without a key have no name', async () => {
    const { hosts, found } = await trustOf([undefined], { requireEnrolment: true })
    expect([hosts[0].akName, found]).toEqual([null, []])
  })
})

describe('a revocation list', () => {
  const list = { issuedAtMs: 1_000_000, nextUpdateMs: 2_000_000 }
  const found = async (nowMs: number | undefined, revocationsMaximumAgeMs?: number): Promise<unknown[]> => {
    const revocations = [{ kind: 'signed', name: 'list', list, root: {} }] as unknown as TrustPolicy['revocations']
    const aged = revocationsMaximumAgeMs !== undefined && { revocationsMaximumAgeMs }
    return (await trustOf([], { nowMs, trust: { ...NO_POLICY, revocations, ...aged } })).found
  }

  test('is used until a newer one is due', async () => {
    expect(await found(2_000_000)).toEqual([])
    expect(await found(2_000_001)).toEqual([
      ['REVOCATION_LIST', 'withholds', 'list', expect.stringContaining('a newer one was due 1970-01-01T00:33:20')],
    ])
  })

  test('is used until it is too old for the policy', async () => {
    expect(await found(1_500_000, 500_000)).toEqual([])
    expect(await found(1_500_001, 500_000)).toEqual([
      ['REVOCATION_LIST', 'withholds', 'list', expect.stringContaining('older than the policy allows')],
    ])
  })

  test('is not used without the time, and not when it is none', async () => {
    expect(await found(undefined)).toEqual([
      ['REVOCATION_LIST', 'withholds', 'list', 'how old it is cannot be told without the time'],
    ])
    const revocations = [{ kind: 'unusable', name: 'list', why: 'it is a poem' }] as const
    expect((await trustOf([], { nowMs: 0, trust: { ...NO_POLICY, revocations } })).found).toEqual([
      ['REVOCATION_LIST', 'withholds', 'list', 'it is a poem'],
    ])
  })
})

describe('what the policy asks of the whole', () => {
  const host = (tier: VerifiedHost['tier']): VerifiedHost => ({
    ...{ akName: null, enrolment: 'self', name: null, authority: null },
    tier,
  })

  test('is asked of the lowest host', () => {
    expect(lowestTier([])).toBe('software')
    expect(lowestTier([host('hardware')])).toBe('hardware')
    expect(lowestTier([host('hardware'), host('firmware'), host('hardware')])).toBe('firmware')
  })

  const codesOf = (is: Parameters<typeof checkRequirements>[1], more: Partial<TrustPolicy>): string[] => {
    const findings = new Findings()
    checkRequirements(findings, is, { ...NO_POLICY, ...more })
    return findings.list().map(({ code }) => code)
  }

  test.each([
    ['software', 'firmware', ['TIER_TOO_LOW']],
    ['firmware', 'firmware', []],
    ['hardware', 'firmware', []],
    ['software', 'software', []],
  ] as const)('a %s TPM where %s is asked for', (tier, minimumTier, codes) => {
    expect(codesOf({ tier, measurer: 'unmeasured' }, { minimumTier })).toEqual(codes)
  })

  test.each([
    ['unmeasured', 'boot', ['MEASURER_TOO_LOW']],
    ['boot', 'boot', []],
    ['runtime', 'boot', []],
    ['boot', 'runtime', ['MEASURER_TOO_LOW']],
  ] as const)('measured: %s, where %s is asked for', (measurer, requireMeasurer, codes) => {
    expect(codesOf({ tier: 'software', measurer }, { requireMeasurer })).toEqual(codes)
  })

  test('is nothing without a policy', () => {
    const findings = new Findings()
    checkRequirements(findings, { tier: 'software', measurer: 'unmeasured' }, undefined)
    expect(findings.list()).toEqual([])
  })
})
