import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EvidenceError } from '../error.ts'
import { canonical, parseCanonical, parseCanonicalBytes } from './index.ts'

const folder = resolve(import.meta.dirname, '../../../../vectors/canonical-json')
const read = (name: string, file: string): Buffer => readFileSync(join(folder, name, file))
const names = readdirSync(folder).filter((name) => !/README|numbers/.test(name))

const LENGTH_MAX = 1 << 16

/** The code of what is thrown. */
function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof EvidenceError) return error.code
    throw error
  }
  return 'nothing thrown'
}

describe('canonical', () => {
  test.each(names.filter((name) => !name.endsWith('_fail')))('gives the form of RFC 8785 to %s', (name) => {
    const input: unknown = JSON.parse(read(name, 'input.json').toString())
    expect(canonical(input)).toBe(read(name, 'expected.json').toString())
  })

  test('writes numbers as RFC 8785 appendix B does', () => {
    const samples = JSON.parse(read('numbers', 'expected.json').toString()) as { ieee754: string; text: string }[]
    const numbers = samples.map(({ ieee754 }) => Buffer.from(ieee754, 'hex').readDoubleBE())
    expect(numbers.map(canonical)).toEqual(samples.map(({ text }) => text))
  })

  const cycle: unknown[] = []
  cycle.push(cycle)
  test.each([
    ['undefined', undefined],
    ['a member that is undefined', { a: undefined }],
    ['a hole', [1, , 2]], // oxlint-disable-line no-sparse-arrays
    ['a function', () => 1],
    ['a symbol', Symbol('a')],
    ['a bigint', 1n],
    ['NaN', Number.NaN],
    ['an infinity', -Infinity],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['bytes', new Uint8Array(1)],
    ['a boxed string', Object('a')],
    ['a lone surrogate', '\ud800'],
    ['a name with a lone surrogate', { '\udc00': 1 }],
    ['a cycle', cycle],
  ])('refuses %s', (_what, value) => {
    expect(codeOf(() => canonical(value))).toBe('CANON_VALUE')
  })

  test('does not depend on the order in which members were added', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.integer()), (members) => {
        expect(canonical(Object.fromEntries(Object.entries(members).reverse()))).toBe(canonical(members))
      }),
    )
  })
})

describe('parseCanonical', () => {
  test.each(names.filter((name) => !name.endsWith('_fail')))('takes the canonical form of %s', (name) => {
    const bytes = read(name, 'expected.json')
    expect(canonical(parseCanonicalBytes(bytes, LENGTH_MAX))).toBe(bytes.toString())
  })

  test.each(names.filter((name) => name.endsWith('_fail')))('refuses %s', (name) => {
    const expected = JSON.parse(read(name, 'expected.json').toString()) as { error: string }
    expect(codeOf(() => parseCanonicalBytes(read(name, 'input.json'), LENGTH_MAX))).toBe(expected.error)
  })

  test('refuses bytes that are not UTF-8', () => {
    expect(codeOf(() => parseCanonicalBytes(Uint8Array.from([0x22, 0xff, 0x22]), LENGTH_MAX))).toBe('STRUCTURE')
  })

  test('refuses what is longer than its limit before it looks at it', () => {
    expect(codeOf(() => parseCanonical('[1,', 2))).toBe('LIMIT')
    expect(codeOf(() => parseCanonicalBytes(Uint8Array.of(0xff, 0xff, 0xff), 2))).toBe('LIMIT')
  })

  test('gives back every value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme', maxDepth: 5 }), (value) => {
        const text = canonical(value)
        expect(canonical(parseCanonical(text, Infinity))).toBe(text)
      }),
    )
  })

  test('takes no text but the canonical one of a value', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.nat(),
        fc.constantFrom(' ', '\n', '0', ',', '"', '\\u0061'),
        (value, at, added) => {
          const text = canonical(value)
          const cut = at % (text.length + 1)
          const changed = text.slice(0, cut) + added + text.slice(cut)
          let taken: unknown
          try {
            taken = parseCanonical(changed, Infinity)
          } catch (error) {
            expect(error).toBeInstanceOf(EvidenceError)
            return
          }
          expect(canonical(taken)).toBe(changed)
          expect(canonical(taken)).not.toBe(text)
        },
      ),
    )
  })
})
