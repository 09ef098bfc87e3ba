import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { guestPathProblem, shellWord, sortedByPath } from './paths.ts'
import {
  parseCheckpoints,
  parseCompare,
  parseEnvironment,
  parseFloats,
  parseMemory,
  parseSeed,
  parseTime,
  Wrong,
} from './settings.ts'

const draws = { now: () => 17n, random: (lengthBytes: number) => new Uint8Array(lengthBytes).fill(0xff) }
const time = (text: string): unknown => parseTime(text, draws)
const seed = (text: string): unknown => parseSeed(text, draws)

describe('--time', () => {
  test.each([
    ['2000-01-01T00:00:00Z', '946684800000000000'],
    ['2000-01-01', '946684800000000000'],
    ['2000-01-01T01:30+01:30', '946684800000000000'],
    ['1999-12-31T22:00:00-02:00', '946684800000000000'],
    ['2000-01-01T00:00:00.123456789Z', '946684800123456789'],
    ['1970-01-01', '0'],
    ['2024-02-29', '1709164800000000000'],
    ['now', '17'],
  ])('%s is %s ns', (text, nanoseconds) => expect(time(text)).toBe(nanoseconds))

  test.each([
    '2000-01-01T00:00:00',
    '2000-1-1',
    '2023-02-29',
    '2000-13-01',
    '2000-01-01T24:00Z',
    '1969-12-31',
    '2555-01-01',
    '2000-01-01T00:00+25:00',
    '1e9',
    '',
    'tomorrow',
  ])('%s is refused', (text) => expect(time(text)).toBeInstanceOf(Wrong))
})

describe('--seed', () => {
  test('is a number below 2^64 in its shortest form, or drawn', () => {
    expect(seed('0')).toBe('0')
    expect(seed('007')).toBe('7')
    expect(seed('18446744073709551615')).toBe('18446744073709551615')
    expect(seed('random')).toBe('18446744073709551615')
    for (const wrong of ['18446744073709551616', '-1', '1.5', '', '0x10', ' 1'])
      expect(seed(wrong)).toBeInstanceOf(Wrong)
  })
})

describe('--memory', () => {
  test('is a size up to 4 GiB in whole pages', () => {
    expect([parseMemory('64K'), parseMemory('65KiB'), parseMemory('512 MiB'), parseMemory('4G')]).toEqual([
      1, 2, 8192, 65_536,
    ])
    for (const wrong of ['4097 MiB', '0 M', '1GB', '100', '1.5 GiB', ''])
      expect(parseMemory(wrong)).toBeInstanceOf(Wrong)
  })
})

describe('--checkpoint and --floats', () => {
  test('read their words and nothing else', () => {
    expect(parseCheckpoints('every=1000')).toEqual({
      fuel: '1000',
      kind: 'grid',
      strideBytes: 67_108_864,
      strideMax: 1024,
    })
    expect(parseCheckpoints('outputs')).toEqual({ kind: 'outputs' })
    expect(parseCheckpoints('none')).toEqual({ kind: 'none' })
    for (const wrong of ['every=0', 'every=01', 'every=', 'every=9999999999999999', 'grid', ''])
      expect(parseCheckpoints(wrong)).toBeInstanceOf(Wrong)
    expect(parseFloats('host')).toBe('host')
    expect(parseFloats('fast')).toBeInstanceOf(Wrong)
  })
})

describe('--compare', () => {
  test('reads output, kind and tolerances', () => {
    expect(parseCompare('a=b.csv=numbers,abs=1e-9,rel=0')).toEqual({
      compare: { abs: 1e-9, kind: 'numbers', rel: 0 },
      output: 'a=b.csv',
    })
    expect(parseCompare('x.json=json')).toEqual({ compare: { abs: 0, kind: 'json', rel: 0 }, output: 'x.json' })
    expect(parseCompare('stdout=text')).toEqual({ compare: { kind: 'text' }, output: '/dev/stdout' })
    for (const wrong of [
      'a',
      'a=exact',
      '=bytes',
      '/abs=bytes',
      '../a=bytes',
      'a=bytes,abs=1',
      'a=numbers,abs=-1',
      'a=numbers,abs=NaN',
      'a=numbers,abs=',
      'a=json,max=1',
      'a=json,abs=1e999',
    ]) {
      expect(parseCompare(wrong)).toBeInstanceOf(Wrong)
    }
  })
})

test('--env wants a name and a value', () => {
  expect(parseEnvironment('A=b=c')).toEqual(['A', 'b=c'])
  expect(parseEnvironment('A=')).toEqual(['A', ''])
  for (const wrong of ['A', '=b', '']) expect(parseEnvironment(wrong)).toBeInstanceOf(Wrong)
})

describe('paths', () => {
  test('a guest path is exactly what a file system walk below a folder can yield', () => {
    const part = fc
      .string({ minLength: 1, unit: 'binary' })
      .filter((text) => text.isWellFormed() && !/[/\0]/.test(text) && text !== '.' && text !== '..')
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5, minLength: 1 }), (parts) => {
        expect(guestPathProblem(parts.join('/'))).toBeNull()
      }),
    )
    for (const wrong of ['', '/', '/a', 'a/', 'a//b', '.', '..', 'a/./b', 'a/../b', 'a\0', '\ud800', 'x'.repeat(4097)])
      expect(guestPathProblem(wrong)).not.toBeNull()
  })

  test('sort as their bytes do', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), (paths) => {
        const expected = paths
          .map((path) => Buffer.from(path))
          .sort((a, b) => Buffer.compare(a, b))
          .map(String)
        expect(sortedByPath(paths, (path) => path)).toEqual(expected)
      }),
    )
  })

  test('are quoted for a shell only when they must be', () => {
    expect([shellWord('a/b.csv'), shellWord('a b'), shellWord("it's"), shellWord('')]).toEqual([
      'a/b.csv',
      "'a b'",
      `'it'\\''s'`,
      "''",
    ])
  })
})
