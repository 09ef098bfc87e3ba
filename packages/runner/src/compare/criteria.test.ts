import { createHash } from 'node:crypto'
import type { Compare, OutcomeOutput } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applyCriteria, type Judgement } from './criteria.ts'

const outcome = (path: string, bytes: Uint8Array): OutcomeOutput => ({
  path,
  length: bytes.length,
  pages: '00'.repeat(32),
  sha256: createHash('sha256').update(bytes).digest('hex'),
})

const bytesOf = (content: string | Uint8Array): Uint8Array =>
  typeof content === 'string' ? new TextEncoder().encode(content) : content

async function judge(compare: Compare, a: string | Uint8Array, b: string | Uint8Array): Promise<Judgement> {
  const bytes = { original: bytesOf(a), repetition: bytesOf(b) }
  const [result] = await applyCriteria({
    criteria: [{ output: 'o', compare }],
    checkpointsEqual: 'not compared',
    outputs: { original: [outcome('o', bytes.original)], repetition: [outcome('o', bytes.repetition)] },
    output: (side) => Promise.resolve(bytes[side]),
  })
  const { criterion: _, ...judgement } = result
  return judgement
}

const text: Compare = { kind: 'text' }
const numbers = (abs: number, rel = 0): Compare => ({ kind: 'numbers', abs, rel })
const json = (abs: number, rel = 0): Compare => ({ kind: 'json', abs, rel })
const meets = async (compare: Compare, a: string | Uint8Array, b: string | Uint8Array): Promise<boolean | null> =>
  (await judge(compare, a, b)).met

describe('applyCriteria', () => {
  test('answers for checkpoints what the comparison of checkpoints found', async () => {
    const request = { criteria: [{ checkpoints: 'exact' }], outputs: { original: [], repetition: [] } } as const
    const output = (): Promise<undefined> => Promise.resolve(undefined)
    for (const [checkpointsEqual, met] of [
      [true, true],
      [false, false],
      ['not compared', null],
    ] as const) {
      expect((await applyCriteria({ ...request, output, checkpointsEqual }))[0].met).toBe(met)
    }
  })

  test('an output that one run does not have meets nothing', async () => {
    const o = outcome('o', bytesOf('x'))
    for (const [original, repetition, detail] of [
      [[o], [], 'the repetition has no o'],
      [[], [o], 'the original has no o'],
      [[], [], 'neither run has o'],
    ] as const) {
      const [result] = await applyCriteria({
        criteria: [{ output: 'o', compare: text }],
        checkpointsEqual: true,
        outputs: { original, repetition },
        output: () => Promise.resolve(bytesOf('x')),
      })
      expect(result).toMatchObject({ met: false, detail })
    }
  })

  test('equal digests meet every kind without a look at the bytes', async () => {
    const o = { ...outcome('o', Uint8Array.of(0xff)), length: 1e12 }
    const results = await applyCriteria({
      criteria: [{ kind: 'bytes' } as const, text, numbers(0), json(0)].map((compare) => ({ output: 'o', compare })),
      checkpointsEqual: true,
      outputs: { original: [o], repetition: [o] },
      output: () => Promise.reject(new Error('the bytes were asked for')),
    })
    expect(results.map(({ met }) => met)).toEqual([true, true, true, true])
  })

  test('what cannot be read is not decided, except by digests', async () => {
    const [a, b] = [outcome('o', bytesOf('1')), outcome('o', bytesOf('2'))]
    for (const size of [1, 64 * 1024 * 1024 + 1]) {
      const results = await applyCriteria({
        criteria: [{ kind: 'bytes' } as const, text, numbers(9), json(9)].map((compare) => ({ output: 'o', compare })),
        checkpointsEqual: true,
        outputs: { original: [{ ...a, length: size }], repetition: [b] },
        output: () => Promise.resolve(undefined),
      })
      expect(results.map(({ met }) => met)).toEqual([false, null, null, null])
    }
  })

  test('bytes names the first byte that differs', async () => {
    expect(await judge({ kind: 'bytes' }, 'abc', 'abd')).toEqual({
      met: false,
      detail: 'byte 2 (from 0) is the first that differs',
    })
    expect((await judge({ kind: 'bytes' }, 'ab', 'abd')).detail).toBe('2 bytes and 3 bytes, equal as far as both go')
  })

  test('bytes that are not UTF-8 are not text', async () => {
    const binary = Uint8Array.of(0x89, 0x50, 0x4e, 0x47)
    for (const compare of [text, numbers(1), json(1)]) {
      expect(await judge(compare, binary, 'x')).toEqual({ met: false, detail: 'the original is not text (UTF-8)' })
      expect(await judge(compare, 'x', binary)).toEqual({ met: false, detail: 'the repetition is not text (UTF-8)' })
    }
  })
})

describe('text', () => {
  test('does not see line ends, white space before them and a missing last line feed', async () => {
    expect(await meets(text, 'a\nb\n', 'a \t\r\nb')).toBe(true)
  })

  test('sees everything else', async () => {
    for (const [a, b] of [
      ['a', ' a'],
      ['a\n', 'a\n\n'],
      ['', '\n'],
      ['a b', 'a  b'],
      ['a', '\ufeffa'],
      ['a\rb', 'a\nb'],
    ]) {
      expect([a, b, await meets(text, a, b)]).toEqual([a, b, false])
    }
  })

  test('names line, column in characters and both sides', async () => {
    expect((await judge(text, 'a\n😀 one\n', 'a\n😀 two\n')).detail).toBe('line 2, column 3: "😀 one" and "😀 two"')
    expect((await judge(text, 'a\nb\n', 'a\n')).detail).toBe('the repetition ends before line 2')
    expect((await judge(text, '😀', '😁')).detail).toBe('line 1, column 1: "😀" and "😁"')
  })
})

describe('numbers', () => {
  test('says which number is how far off', async () => {
    expect((await judge(numbers(1e-9), 'x,y\n1,2\n1,0.1234\n', 'x,y\n1,2\n1,0.1250\n')).detail).toBe(
      'line 3, number 2: 0.1234 and 0.1250 differ by 1.6e-3, allowed 1e-9',
    )
    expect((await judge(numbers(0.1), '1 0.5', '1 0.55')).detail).toBe(
      'equal within the tolerance; the largest difference is 5e-2',
    )
  })

  test.each([
    // sign, decimals, exponents
    ['+1', '1', true],
    ['-0', '0', true],
    ['1.', '1', true],
    ['.5', '0.5', true],
    ['1e3', '1000', true],
    ['1.E+3', '1000', true],
    ['-1', '1', false],
    // words that hold no number
    ['x1', 'x2', false],
    ['3ms', '3.0ms', false],
    ['1.2.3', '1.2.4', false],
    ['1_000', '1_001', false],
    ['0x1f', '0x20', false],
    ['NA', 'NaN', false],
    ['abc3', 'abc3.0', false],
    // words that do
    ['1,234', '1.0,234.0', true],
    ['12:30', '12.0:30', true],
    ['a=-1', 'a=-1.0', true],
    ['2020-01', '2020.0-1', true],
    ['2020-01', '2020+01', false],
    ['5µm', '5.0µm', true],
    ['it is 0.5.', 'it is 0.50.', true],
    ['5%', '5.0%', true],
    ['(1.5)', '(1.50)', true],
    ['1e-3-2', '0.001-2', true],
    // NaN and infinities
    ['nan', '-NaN', true],
    ['inf', 'Infinity', true],
    ['inf', '-inf', false],
    ['inf', '1e400', false],
    ['1e400', '1e401', false],
    ['nan', '0', false],
    ['info', 'inf', false],
    // white space beside numbers and elsewhere
    ['  1   2', '1 2', true],
    ['[-1e0]', '[ -1 ]', true],
    ['1 2', '12', false],
    ['a b 1', 'a  b 1', false],
    ['a 1', 'a1', false],
    ['1 2', '1 2 3', false],
    ['1\r\n2 \n', '1\n2', true],
    ['1\n2', '1 2', false],
    // beyond 2^53
    ['9007199254740993', '9007199254740992', false],
    ['9007199254740993', '+9007199254740993', true],
    ['1'.repeat(401), `+${'1'.repeat(401)}`, false],
  ])('without tolerance %j and %j: %j', async (a, b, met) => {
    expect(await meets(numbers(0), a, b)).toBe(met)
  })

  test('allows abs + rel · |a|, with a the original', async () => {
    expect(await meets(numbers(0.5), '1', '1.5')).toBe(true)
    expect(await meets(numbers(0.5), '1', '1.5000001')).toBe(false)
    expect(await meets(numbers(0, 0.5), '2', '1')).toBe(true)
    expect(await meets(numbers(0, 0.5), '1', '2')).toBe(false)
    expect(await meets(numbers(1), '9007199254740993', '9007199254740992')).toBe(true)
    expect(await meets(numbers(1), '9007199254740993', '9007199254740991')).toBe(false)
  })

  test('no tolerance joins numbers beyond binary64', async () => {
    const most = numbers(Number.MAX_VALUE, Number.MAX_VALUE)
    expect(await meets(most, '1e308', '-1e308')).toBe(false)
    expect(await meets(most, '9'.repeat(400), '8'.repeat(400))).toBe(false)
  })

  test('every text of numbers meets itself in another layout', async () => {
    const number = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.bigInt())
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(number, fc.constantFrom(',', ' ', ';', ' = ', ' is '))), async (pairs) => {
        const plain = pairs.map(([value, between]) => `${value}${between}`).join('')
        const spaced = pairs.map(([value, between]) => `  ${value}\t${between}`).join(' ')
        expect(await meets(numbers(0), `${plain}\n`, `${spaced}\r\n`)).toBe(true)
      }),
    )
  })

  test('never fails on any two texts, and a text with a changed letter is not met', async () => {
    const line = fc.string({ unit: fc.constantFrom(...'0123456789+-.eE nanif\n\t\r,x'.split(''), '😀') })
    await fc.assert(
      fc.asyncProperty(line, line, async (a, b) => {
        expect(typeof (await meets(numbers(1e-3), a, b))).toBe('boolean')
        expect(await meets(numbers(1e-3), `${a}q`, `${a}w`)).toBe(false)
      }),
    )
  })
})

describe('json', () => {
  test.each([
    ['{"a":1,"b":[true,null]}', '{ "b": [true, null],\n"a": 1.0 }', true],
    ['"\\u0041"', '"A"', true],
    ['{"\\u0061":1}', '{"a":1}', true],
    ['[1,2]', '[2,1]', false],
    ['{"a":1}', '{"a":1,"b":2}', false],
    ['{"a":1,"b":2}', '{"a":1}', false],
    ['[1]', '[1,2]', false],
    ['1', '"1"', false],
    ['[]', '{}', false],
    ['9007199254740993', '9007199254740992', false],
    ['-0', '0', true],
    ['1e400', '1e401', false],
    ['true', 'false', false],
  ])('without tolerance %j and %j: %j', async (a, b, met) => {
    expect(await meets(json(0), a, b)).toBe(met)
  })

  test('names member, place and both numbers', async () => {
    expect((await judge(json(0, 1e-6), '{"r":[\n {"mean":0.5}]}', '{"r":[{"mean":0.6}]}')).detail).toBe(
      '$.r[0].mean (line 2, column 10): 0.5 and 0.6 differ by 0.1, allowed 5e-7',
    )
  })

  test.each([
    ['', 'line 1, column 1: no value'],
    ['[1,]', 'line 1, column 4: no value'],
    ['[1\n 2]', 'line 2, column 2: neither , nor ] follows a value'],
    ['{a:1}', 'line 1, column 2: no name in quotation marks'],
    ['{"a" 1}', 'line 1, column 6: no : follows a name'],
    ['01', 'line 1, column 2: something follows the value'],
    ['1.', 'line 1, column 3: a number without a digit'],
    ['-', 'line 1, column 2: a number without a digit'],
    ['+1', 'line 1, column 1: no value'],
    ['NaN', 'line 1, column 1: no value'],
    ['"a', 'line 1, column 3: a string with a control character or without an end'],
    ['"\\x"', 'line 1, column 2: an unknown escape in a string'],
    ['\ufeff1', 'line 1, column 1: no value'],
    ['['.repeat(300), 'line 1, column 257: nested deeper than 256'],
  ])('%j is not JSON', async (bad, where) => {
    expect(await judge(json(0), bad, '7')).toEqual({ met: false, detail: `the original is not JSON: ${where}` })
    expect((await judge(json(0), '7', bad)).detail).toBe(`the repetition is not JSON: ${where}`)
  })

  test('a name that is there twice is ambiguous', async () => {
    expect(await judge(json(9), '{"a":1,"\\u0061":2}', '{"a":1}')).toEqual({
      met: false,
      detail: 'the original has the name "a" twice in $',
    })
    expect((await judge(json(9), '[{"a":1}]', '[{"a":1,"a":1}]')).detail).toBe(
      'the repetition has the name "a" twice in $[0]',
    )
  })

  test('every document meets itself in another layout, and takes exactly what JSON.parse takes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), async (document) => {
        const pretty = JSON.stringify(JSON.parse(document), null, 1)
        expect(await meets(json(0), document, `${pretty}\n`)).toBe(true)
      }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom(...'{}[]",:0123456789.eE+-truefalsn\\ '.split('')) }),
        async (bad) => {
          const parses = ((): boolean => {
            try {
              JSON.parse(bad)
              return true
            } catch {
              return false
            }
          })()
          expect((await judge(json(0), bad, '"?"')).detail.includes('not JSON')).toBe(!parses)
        },
      ),
    )
  })
})

describe('all kinds together', () => {
  test('stay linear on what is meant to hurt', async () => {
    const long = 1 << 20
    for (const unit of ['9', '.', '-', 'e', '1e', '1 ', ' ', '"', '[', '1e-']) {
      for (const compare of [text, numbers(1), json(1)]) {
        expect(await meets(compare, unit.repeat(long), `${unit.repeat(long)}!`)).not.toBe(null)
      }
    }
  })
})
