import { describe, expect, test } from 'vitest'
import { RateLimit } from './rate.ts'

describe('RateLimit', () => {
  test('lets an address have its burst, then what flows in', () => {
    let nowMs = 0
    const limit = new RateLimit({ burst: 2, perSecond: 0.5, now: () => nowMs })
    const take = (): boolean => limit.take('192.0.2.1')
    expect([take(), take(), take()]).toEqual([true, true, false])
    nowMs = 1999
    expect(take()).toBe(false)
    nowMs = 3000
    expect([take(), take()]).toEqual([true, false])
    nowMs = 1e9
    expect([take(), take(), take()]).toEqual([true, true, false])
    expect(limit.take('192.0.2.2')).toBe(true)
  })

  test('counts the addresses of an IPv6 network together, and mapped IPv4 ones by themselves', () => {
    const limit = new RateLimit({ burst: 1, perSecond: 0, now: () => 0 })
    expect(limit.take('2001:db8:1:2:3::1')).toBe(true)
    expect(limit.take('2001:db8:1:2:ffff::9')).toBe(false)
    expect(limit.take('2001:db8:1:3::1')).toBe(true)
    expect(limit.take('::ffff:192.0.2.1')).toBe(true)
    expect(limit.take('::ffff:192.0.2.2')).toBe(true)
  })
})
