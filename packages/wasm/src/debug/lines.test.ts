import { utf8 } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assemble, unsigned } from '../module/assembler.ts'
import { findSources } from './lines.ts'

const text = (value: string): number[] => [...utf8(value), 0]
const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)]
const u16 = (value: number): number[] => u32(value).slice(0, 2)

function withSections(sections: Readonly<Record<string, readonly number[]>>): Uint8Array {
  const module = assemble({ functions: [{ code: [], exported: '_start' }] })
  const custom = Object.entries(sections).flatMap(([name, content]) => {
    const body = [...unsigned(name.length), ...utf8(name), ...content]
    return [0, ...unsigned(body.length), ...body]
  })
  return Uint8Array.from([...module, ...custom])
}

/** Lines 7 to 9 at 16, 20 and 23, up to 30; then the same at 0, as the linker leaves what it dropped. */
const sequence = (start: number): number[] => [
  ...[0, 5, 2, ...u32(start)], // set_address
  ...[3, 6, 1], // advance_line 6: line 7; copy
  ...[2, 4, 3, 1, 1], // advance_pc 4, line 8
  ...[13 + 1 + 3 * 14], // special: 3 further, one line more
  ...[2, 7, 0, 1, 1], // advance_pc 7, end_sequence
]

function unit(version: 4 | 5, tables: readonly number[]): number[] {
  const header = [1, 1, 1, 0, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, ...tables]
  const body = [
    ...u16(version),
    ...(version === 5 ? [4, 0] : []),
    ...u32(header.length),
    ...header,
    ...sequence(0),
    ...sequence(16),
  ]
  return [...u32(body.length), ...body]
}

const VERSION_4 = unit(4, [...text('src'), 0, ...text('main.c'), 1, 0, 0, ...text('/abs.c'), 0, 0, 0, 0])
// Directory 0 is the one that was compiled in; file 1 lies in directory 1; paths are in .debug_line_str.
const VERSION_5 = unit(5, [1, 1, 0x1f, 2, ...u32(0), ...u32(4), 2, 1, 0x1f, 2, 0x0b, 2, ...u32(8), 0, ...u32(8), 1])
const STRINGS = [...text('/at'), ...text('src'), ...text('main.c')]

describe('findSources', () => {
  test.each([
    ['4', withSections({ '.debug_line': VERSION_4 })],
    ['5', withSections({ '.debug_line': VERSION_5, '.debug_line_str': STRINGS })],
  ])('reads the lines of DWARF %s, and of what was dropped none', (_version, module) => {
    const source = (line: number) => ({ file: 'src/main.c', line })
    expect(findSources(module, [15, 16, 19, 20, 22, 23, 29, 30, 0, 4])).toEqual([
      undefined,
      source(7),
      source(7),
      source(8),
      source(8),
      source(9),
      source(9),
      undefined,
      undefined,
      undefined,
    ])
  })

  test('finds nothing in a module without lines', () => {
    expect(findSources(withSections({}), [16])).toEqual([undefined])
  })

  test('of broken sections takes what can be read, and never throws or hangs', () => {
    fc.assert(
      fc.property(fc.nat(VERSION_5.length - 1), fc.nat(255), fc.nat(VERSION_5.length), (at, value, length) => {
        const broken = VERSION_5.with(at, value).slice(0, length)
        const found = findSources(withSections({ '.debug_line': broken, '.debug_line_str': STRINGS }), [16, 20])
        expect(found).toHaveLength(2)
      }),
    )
  })
})
