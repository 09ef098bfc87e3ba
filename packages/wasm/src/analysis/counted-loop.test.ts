import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assemble, signed } from '../module/assembler.ts'
import { Body } from '../module/body.ts'
import { readModule } from '../module/module.ts'
import { countedLoop, tripFactors, type CountedLoop } from './counted-loop.ts'

const NE = 0x47
const LT_S = 0x48
const GT_S = 0x4a
const step = (value: number): number[] => [0x20, 0, 0x41, ...signed(value), 0x6a]
const tee = [0x22, 0]
const bound = (value: number): number[] => [0x41, ...signed(value)]

/** The first loop in a function with locals 0 to 3; `body` ends with a condition. */
function recognised(body: number[], before: number[] = []): CountedLoop | undefined {
  const code = [...before, 0x03, 0x40, ...body, 0x0d, 0, 0x0b]
  const functions = [{ code, locals: ['i32', 'i32', 'i32', 'i32'], exported: '_start' }] as const
  const module = readModule(assemble({ functions, memory: { minPages: 1 } }))
  const decoded = new Body()
  decoded.decode(module, 0)
  return countedLoop(decoded, 0)
}

describe('countedLoop', () => {
  test.each([
    ['its step compared with a constant', [...step(3), ...tee, ...bound(9), NE]],
    ['its step compared with a local', [...step(3), ...tee, 0x20, 1, NE]],
    ['the bound on the left', [0x20, 1, ...step(1), ...tee, NE]],
    ['no comparison: not zero', [...step(-1), ...tee]],
    ['the counter read again', [...step(-1), 0x21, 0, 0x20, 0]],
    ['below, by one', [...step(1), ...tee, ...bound(9), LT_S]],
    ['above, by minus one', [...step(-1), ...tee, ...bound(9), GT_S]],
    ['mirrored below', [...bound(9), ...step(1), ...tee, GT_S]],
    ['blocks and branches inside', [0x02, 0x40, 0x20, 1, 0x0d, 0, 0x0b, ...step(1), ...tee, ...bound(9), NE]],
  ])('takes %s', (_, body) => {
    expect(recognised(body)).toMatchObject({ counter: 0 })
  })

  test('takes a step that the function keeps in a local', () => {
    const body = [0x20, 0, 0x20, 3, 0x6a, ...tee, ...bound(64), NE]
    expect(recognised(body, [0x41, 8, 0x21, 3])).toEqual({ counter: 0, step: 8, stepLocal: 3, bound: { constant: 64 } })
    expect(recognised(body, [0x41, 8, 0x21, 3, 0x41, 9, 0x21, 3])).toBeUndefined()
    expect(recognised(body)).toBeUndefined()
  })

  test.each([
    ['a step of zero', [...step(0), ...tee, ...bound(9), NE]],
    ['below, by two: it may step over the greatest number', [...step(2), ...tee, ...bound(9), LT_S]],
    ['below, going down', [...step(-1), ...tee, ...bound(9), LT_S]],
    ['at most: the greatest bound never ends it', [...step(1), ...tee, ...bound(9), 0x4c]],
    ['a bound that changes', [0x41, 1, 0x21, 1, ...step(1), ...tee, 0x20, 1, NE]],
    ['a counter that is set twice', [0x41, 1, 0x21, 0, ...step(1), ...tee, ...bound(9), NE]],
    ['a step inside of a block', [0x02, 0x40, ...step(1), 0x21, 0, 0x0b, 0x20, 0, ...bound(9), NE]],
    ['a step of another local', [0x20, 1, 0x41, 1, 0x6a, ...tee, ...bound(9), NE]],
    ['an exit', [0x20, 1, 0x0d, 1, ...step(1), ...tee, ...bound(9), NE]],
    ['a return', [0x20, 1, 0x04, 0x40, 0x0f, 0x0b, ...step(1), ...tee, ...bound(9), NE]],
    ['a second way back', [0x20, 1, 0x0d, 0, ...step(1), ...tee, ...bound(9), NE]],
    ['a call', [0x10, 0, ...step(1), ...tee, ...bound(9), NE]],
    ['memory.grow', [0x41, 1, 0x40, 0, 0x1a, ...step(1), ...tee, ...bound(9), NE]],
    ['a loop inside', [0x03, 0x40, 0x0b, ...step(1), ...tee, ...bound(9), NE]],
    ['a long body', [...Array.from({ length: 123 }, () => 0x01), ...step(1), ...tee, ...bound(9), NE]],
    ['the counter as its own bound', [...step(1), ...tee, 0x20, 0, NE]],
  ])('leaves %s', (_, body) => {
    expect(recognised(body)).toBeUndefined()
  })
})

test('tripFactors give the exact quotient, or more than any limit', () => {
  const steps = fc.integer({ min: 1, max: 0x7fffffff })
  fc.assert(
    fc.property(steps, fc.nat(1 << 20), fc.nat(), (size, trips, extra) => {
      const { factor, shift } = tripFactors(size)
      const quotient = (distance: number): number => {
        const product = Math.imul(distance, factor)
        return ((product >>> shift) | (shift === 0 ? 0 : product << (32 - shift))) >>> 0
      }
      expect(quotient(Math.imul(size, trips))).toBe(trips % 2 ** (32 - shift))
      // Whatever the quotient is, that many steps lead over the distance, unless a remainder makes it large.
      const other = quotient(extra)
      if (other < 2 ** (32 - shift)) expect(Math.imul(other, size) >>> 0).toBe(extra >>> 0)
    }),
  )
})
