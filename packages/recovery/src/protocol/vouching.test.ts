import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judgeVouchers, type Voucher } from './vouching.ts'

const all = (counts: Partial<Record<Voucher, number>>): Voucher[] =>
  Object.entries(counts).flatMap(([what, count]) => Array.from({ length: count }, () => what as Voucher))

describe('judgeVouchers', () => {
  test.each<[string, Partial<Record<Voucher, number>>, string]>([
    ['a host that nobody knows yet', { none: 14 }, 'take'],
    ['one that nobody knows, with K answers', { none: 5, silent: 9 }, 'take'],
    ['one of whom too few answer', { none: 4, silent: 10 }, 'wait'],
    ['a new witness of a known host', { led: 5, silent: 9 }, 'take'],
    ['the same, and some lie', { led: 10, against: 4 }, 'take'],
    ['a thief before the host', { against: 14 }, 'refuse'],
    ['a thief with four liars', { led: 4, against: 10 }, 'refuse'],
    ['a thief, where one honest witness answers', { none: 13, against: 1 }, 'refuse'],
    ['a plan that changed nearly all witnesses', { led: 2, none: 12 }, 'take'],
  ])('%s', (_what, counts, expected) => {
    expect(judgeVouchers(all(counts), 5)).toBe(expected)
  })

  test('of two witnesses each asks the other', () => {
    expect(judgeVouchers(['none'], 2)).toBe('take')
    expect(judgeVouchers(['silent'], 2)).toBe('wait')
    expect(judgeVouchers(['against'], 2)).toBe('refuse')
    expect(judgeVouchers([], 2)).toBe('take')
  })

  test('fewer than K that lie never have a share taken that one honest witness is against', () => {
    const honest = fc.array(fc.constantFrom<Voucher>('against', 'none', 'silent'), { maxLength: 14 })
    const liars = fc.array(fc.constantFrom<Voucher>('led', 'against', 'none', 'silent'), { maxLength: 4 })
    fc.assert(
      fc.property(honest, liars, (said, lies) => {
        const vouchers = [...said, 'against' as const, ...lies]
        if (vouchers.length >= 5) expect(judgeVouchers(vouchers, 5)).toBe('refuse')
      }),
    )
  })
})
