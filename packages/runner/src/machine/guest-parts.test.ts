import { PAGE_BYTES } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sparseMemory } from './guest-parts.ts'

const PAGES = 80

describe('a memory of which some pages hold something', () => {
  test('is put as it is in the place of one of zeros', () => {
    const pages = fc.uniqueArray(fc.nat(PAGES - 1), { maxLength: 12 })
    fc.assert(
      fc.property(pages, (held) => {
        const memory = new Uint8Array(PAGES * PAGE_BYTES)
        for (const page of held) memory.fill(1 + (page % 250), page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
        const target = new Uint8Array(memory.length)
        const runs = held.toSorted((a, b) => a - b).map((page) => [page, 1] as const)
        sparseMemory(memory, runs).copyTo(target)
        expect(Buffer.compare(target, memory)).toBe(0)
      }),
      { numRuns: 100 },
    )
  })
})
