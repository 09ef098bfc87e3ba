import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lineAt, pythonFrames } from './python.ts'

// What CPython 3.11.3 makes of `def load(path): …`, a `for` over a file at lines 3 to 6: co_linetable as it stands in memory.
const TABLE = Uint8Array.of(
  ...[128, 0, 216, 12, 13, 128, 69, 221, 15, 19, 144, 68, 137, 122, 140, 122, 240, 0, 1, 5, 28, 240, 0, 1, 5, 28],
  ...[136, 3, 216, 8, 13, 149, 21, 144, 115, 145, 26, 148, 26, 209, 8, 27, 136, 5, 136, 5, 216, 11, 16, 128, 76],
)
const UNITS = 41

describe('lineAt', () => {
  test('gives the lines that Python itself gives', () => {
    const lines = Array.from({ length: UNITS }, (_, unit) => lineAt(TABLE, 3, unit, UNITS))
    expect([...new Set(lines)]).toEqual([3, 4, 5, 6, 7])
    expect(lineAt(TABLE, 3, 0, UNITS)).toBe(3)
    expect(lineAt(TABLE, 3, UNITS - 1, UNITS)).toBe(7)
  })

  test('says nothing of a table that is cut, longer, or of another code', () => {
    for (const table of [TABLE.subarray(0, -1), Uint8Array.of(...TABLE, 128, 0), TABLE.with(2, 0x58)]) {
      expect(lineAt(table, 3, 20, UNITS)).toBeUndefined()
    }
    expect(lineAt(TABLE, 3, 20, UNITS + 1)).toBeUndefined()
  })

  test('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(60), (table, unit) => {
        const line = lineAt(table, 1, unit, 60)
        expect(line === undefined || Number.isInteger(line)).toBe(true)
      }),
    )
  })
})

/** The least that passes for a running interpreter: a thread, its interpreter, one frame, and the types. */
function interpreter(): Uint8Array {
  const memory = new Uint8Array(1 << 16)
  const view = new DataView(memory.buffer)
  const put = (at: number, ...words: number[]): void =>
    words.forEach((word, i) => view.setUint32(at + 4 * i, word, true))
  const string = (at: number, value: string): void => memory.set(Buffer.from(`${value}\0`), at)
  const type = (at: number, name: string): number => {
    string(at + 64, name)
    put(at, 1, 0x1000, 0, at + 64)
    return at
  }
  const types = {
    type: type(0x1000, 'type'),
    code: type(0x1100, 'code'),
    function: type(0x1200, 'function'),
    dict: type(0x1300, 'dict'),
    str: type(0x1400, 'str'),
    bytes: type(0x1500, 'bytes'),
  }
  const str = (at: number, value: string): number => {
    put(at, 1, types.str, value.length, 0, (1 << 2) | (1 << 5) | (1 << 6))
    string(at + 24, value)
    return at
  }
  put(0x2000, 1, types.dict)
  put(0x3000, 1, types.bytes, TABLE.length)
  memory.set(TABLE, 0x3010)
  put(0x4000, 1, types.code, UNITS)
  put(0x4000 + 48, 3)
  put(0x4000 + 80, str(0x2100, '/s.py'), str(0x2200, 'load'), str(0x2300, 'Table.load'), 0x3000)
  put(0x5000, 1, types.function, 0, 0, 0, 0, 0x4000)
  put(0x6000, 0x5000, 0x2000, 0x2000, 0, 0x4000, 0, 0, 0x4000 + 116 + 2 * 40, 0xffff_ffff)
  // Behind its first byte the word holds what was there before.
  put(0x7000, 0xabcd_ef00, 0x6000, 0)
  put(0x8000, 0, 0, 0x9000, 1, 1, 595, 600, 0, 0, 0, 0x7000)
  put(0x9000 + 16, 0x8000)
  return memory
}

describe('pythonFrames', () => {
  test('tells file, line and function', () => {
    expect(pythonFrames(interpreter())).toEqual([{ file: '/s.py', line: 7, function: 'Table.load' }])
  })

  test.each([
    ['a frame whose code is no code', 0x4004, 0x1400],
    ['a function of another code', 0x5000 + 24, 0x4004],
    ['an instruction outside of its code', 0x6000 + 28, 0x4000 + 116 + 2 * 41],
    ['a file name that is no str', 0x2104, 0x1500],
    ['a type that is no type', 0x1004, 0x1100],
    ['an outer frame that is none', 0x6000 + 24, 0x4000],
    ['a thread that is not the only one', 0x8004, 0x8800],
    ['an interpreter that names another thread', 0x9010, 0x8800],
    ['a circle of frames', 0x6000 + 24, 0x6000],
  ])('tells nothing of %s', (_what, at, value) => {
    const memory = interpreter()
    new DataView(memory.buffer).setUint32(at, value, true)
    expect(pythonFrames(memory)).toEqual([])
  })

  test('tells nothing of other memories, whatever is in them', () => {
    expect(pythonFrames(new Uint8Array())).toEqual([])
    expect(pythonFrames(new Uint8Array(1 << 16))).toEqual([])
    fc.assert(
      fc.property(
        fc.array(
          fc.nat(64).map((n) => 4 * n),
          { minLength: 64, maxLength: 256 },
        ),
        (words) => {
          expect(pythonFrames(new Uint8Array(Uint32Array.from(words).buffer))).toEqual([])
        },
      ),
    )
  })

  test('never throws when single words of a real one are changed', () => {
    fc.assert(
      fc.property(fc.nat((1 << 14) - 1), fc.nat(1 << 17), (word, value) => {
        const memory = interpreter()
        new DataView(memory.buffer).setUint32(4 * word, value, true)
        expect(pythonFrames(memory).length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 300 },
    )
  })
})
