import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { diffPages } from './pages.ts'

const all = { maxPages: Infinity, maxBytes: Infinity }

describe('diffPages', () => {
  test('finds pages and bytes, counts all and names the first ones', () => {
    const a = new Uint8Array(3 << 20)
    const b = a.slice()
    for (const address of [4095, 4096, 5000, 2_500_000]) b[address] = 7
    expect(diffPages(a, b, { maxPages: 2, maxBytes: 3 })).toEqual({
      pages: [0, 1],
      pageCount: 3,
      bytes: [
        { address: 4095, a: 0, b: 7 },
        { address: 4096, a: 0, b: 7 },
        { address: 5000, a: 0, b: 7 },
      ],
    })
  })

  test('what only one memory has differs', () => {
    expect(diffPages(new Uint8Array(4096), new Uint8Array(3 * 4096), { maxPages: 9, maxBytes: 1 })).toEqual({
      pages: [1, 2],
      pageCount: 2,
      bytes: [{ address: 4096, a: null, b: 0 }],
    })
  })

  test('equal memories have no differences', () => {
    expect(diffPages(new Uint8Array(10_000), new Uint8Array(10_000), all)).toEqual({
      pages: [],
      pageCount: 0,
      bytes: [],
    })
  })

  test('agrees with a comparison byte by byte, also for views into larger buffers', () => {
    const change = fc.record({ at: fc.nat(9999), value: fc.nat(255) })
    fc.assert(
      fc.property(fc.nat(9999), fc.nat(9999), fc.array(change), (aLength, bLength, changes) => {
        const a = new Uint8Array(20_000).subarray(3, 3 + aLength)
        const b = new Uint8Array(20_000).subarray(5, 5 + bLength)
        for (const { at, value } of changes) if (at < bLength) b[at] = value
        const expected: number[] = []
        for (let at = 0; at < Math.max(aLength, bLength); at++) if (a[at] !== b[at]) expected.push(at)
        const found = diffPages(a, b, all)
        expect(found.bytes.map(({ address }) => address)).toEqual(expected)
        expect(found.pages).toEqual([...new Set(expected.map((at) => at >> 12))])
        expect(found.pageCount).toBe(found.pages.length)
      }),
    )
  })
})
