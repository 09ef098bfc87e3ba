import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WasmError } from '../error.ts'
import { assemble } from '../module/assembler.ts'
import { Continuations } from '../passes/continuations.ts'
import { decodeFrames, encodeFrames, type Activations, type Frame } from './frames.ts'

const WIDTHS = { i32: 32n, i64: 64n, f32: 32n, f64: 64n, v128: 128n } as const
const value = fc
  .constantFrom('i32', 'i64', 'f32', 'f64', 'v128')
  .chain((type) => fc.bigInt({ min: 0n, max: (1n << WIDTHS[type]) - 1n }).map((bits) => ({ type, bits })))
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const index = fc.integer({ min: 0, max: 0xffff_fffe })
const reference = fc.oneof(
  fc.record({ type: fc.constant('funcref' as const), function: fc.option(index, { nil: undefined }) }),
  fc.record({
    type: fc.constant('exnref' as const),
    exception: fc.option(fc.record({ tag: index, values: fc.array(value, { maxLength: 4 }) }), { nil: undefined }),
  }),
)
const values = fc.array(fc.oneof(value, reference), { maxLength: 20 })
const frame = fc.record({ function: u32, site: u32, values })
const activations: fc.Arbitrary<Activations> = fc.record({
  phase: fc.constantFrom('start', 'command'),
  frames: fc.array(frame, { maxLength: 20 }),
})

function codeOf(call: () => unknown): string | undefined {
  try {
    call()
    return undefined
  } catch (error) {
    if (error instanceof WasmError) return error.code
    throw error
  }
}

describe('the bytes of frames', () => {
  test('decode to the same frames', () => {
    fc.assert(
      fc.property(activations, (given) => {
        expect(decodeFrames(encodeFrames(given))).toEqual(given)
      }),
    )
  })

  test('are the only ones: whatever else decodes encodes to itself', () => {
    const change = fc.record({ given: activations, at: fc.nat(), to: fc.nat(255), cut: fc.boolean() })
    fc.assert(
      fc.property(change, ({ given, at, to, cut }) => {
        const bytes = encodeFrames(given)
        const changed = cut ? bytes.slice(0, at % bytes.length) : bytes.with(at % bytes.length, to)
        if (codeOf(() => decodeFrames(changed)) !== 'SNAPSHOT') {
          expect(encodeFrames(decodeFrames(changed))).toEqual(changed)
        }
      }),
    )
  })

  test.each([
    ['an unknown phase', [2, 0, 0, 0, 0]],
    ['more frames than bytes', [1, 0xff, 0xff, 0xff, 0xff]],
    ['an unknown type', [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0]],
    [
      'values of no exception',
      [1, 0, 0, 0, 1, ...Array.from({ length: 11 }, () => 0), 1, 7, 255, 255, 255, 255, 0, 0, 0, 1, 1, 0, 0, 0, 0],
    ],
    ['a tail', [1, 0, 0, 0, 0, 0]],
    ['nothing', []],
  ])('with %s are refused', (_, bytes) => {
    expect(codeOf(() => decodeFrames(Uint8Array.from(bytes)))).toBe('SNAPSHOT')
  })
})

describe('frames that the module cannot have are refused', () => {
  // _start calls f, which loops; g has f's type, but nobody calls it.
  const loop = [0x03, 0x40, 0x20, 0, 0x0d, 0, 0x0b]
  const bytes = assemble({
    functions: [
      { code: [0x41, 0, 0x10, 1], exported: '_start' },
      { params: ['i32'], code: loop },
      { params: ['i32'], code: loop },
    ],
  })
  const continuations = new Continuations(() => bytes, { floats: 'host', stackLimitSlots: 9, memoryLimitPages: 1 })
  const start: Frame = { function: 0, site: 0, values: [] }
  const inner: Frame = { function: 1, site: 0, values: [{ type: 'i32', bits: 0n }] }

  test('these fit', () => {
    expect(continuations.of({ phase: 'command', frames: [start, inner] })).toHaveLength(2)
  })

  test.each<[string, Frame[]]>([
    ['no frames', []],
    ['an unknown function', [start, { ...inner, function: 3 }]],
    ['an unknown site', [start, { ...inner, site: 1 }]],
    ['a value too few', [start, { ...inner, values: [] }]],
    ['a value of another type', [start, { ...inner, values: [{ type: 'i64', bits: 0n }] }]],
    ['a function that is not called there', [start, { ...inner, function: 2 }]],
    ['a call as the innermost site', [start]],
    ['a poll before the innermost site', [inner, inner]],
    ['another outermost function', [inner]],
  ])('%s', (_, frames) => {
    expect(codeOf(() => continuations.of({ phase: 'command', frames }))).toBe('SNAPSHOT')
  })
})
