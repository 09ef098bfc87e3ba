import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sectionPlaces } from '../module/section-places.ts'
import { nameFirstCalls, namesFirstCalls } from './first-calls.ts'
import { generate } from './generator.ts'
import { rewrite } from './rewrite.ts'

const OPTIONS = { floats: 'canonical', stackLimitSlots: 1 << 16, memoryLimitPages: 16 } as const
const SECTION = 'metadata.code.compilation_priority'

describe('naming what a program calls first', () => {
  test('adds one section to any module, which stays valid and is otherwise as it was', () => {
    const indices = fc.uniqueArray(fc.nat(1000), { maxLength: 200 })
    fc.assert(
      fc.property(fc.nat(), indices, (seed, functions) => {
        const { bytes } = rewrite(generate(seed, { canonicalSinks: false, signs: true }), OPTIONS)
        const named = nameFirstCalls(bytes, functions)
        expect([namesFirstCalls(bytes), namesFirstCalls(named)]).toEqual([false, true])
        const added = sectionPlaces(named).filter(
          ({ id, start, end }) => id === 0 && Buffer.from(named.subarray(start, end)).includes(SECTION),
        )
        const [{ at, end }] = added
        expect(added).toHaveLength(1)
        expect(Buffer.compare(Buffer.concat([named.subarray(0, at), named.subarray(end)]), bytes)).toBe(0)
        const module = new WebAssembly.Module(named.slice())
        const sections = WebAssembly.Module.customSections(module, SECTION)
        expect(sections.map((content) => new Uint8Array(content)[0] & 0x7f)).toEqual([functions.length & 0x7f])
      }),
      { numRuns: 30 },
    )
  })

  test('writes for each its index, no offset and the highest priority', () => {
    const bytes = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10, 1, 0])
    const named = nameFirstCalls(bytes, [7, 300])
    const content = named.subarray(named.length - 3 - 10, named.length - 3)
    expect([...content]).toEqual([2, 7, 0, 1, 0, 0xac, 0x02, 0, 1, 0])
    expect([...named.subarray(-3)]).toEqual([10, 1, 0])
  })

  test('is for a module with code', () => {
    expect(() => nameFirstCalls(Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]), [1])).toThrow('without code')
  })
})
