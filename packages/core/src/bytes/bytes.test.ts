import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter, compare, compareText, fromHex, fromHexInBlocks, hex, isHex, utf8 } from './index.ts'

describe('utf8', () => {
  test('encodes as the platform does, short or long, ASCII or not', () => {
    const text = fc.oneof(fc.string({ maxLength: 70 }), fc.string({ unit: 'binary', maxLength: 70 }))
    fc.assert(
      fc.property(text, (each) => {
        expect(utf8(each)).toEqual(new TextEncoder().encode(each))
      }),
    )
  })
})

describe('compareText', () => {
  test('orders as the bytes do, which UTF-16 does not', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', '/', '\u00e9', '\ud7ff', '\ue000', '\uffff', '\u{1f600}'),
      maxLength: 4,
    })
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareText(a, b))).toBe(Math.sign(compare(utf8(a), utf8(b))))
      }),
    )
    expect(compareText('\uffff', '\u{1f600}')).toBeLessThan(0)
  })
})

describe('ByteWriter', () => {
  test('writes numbers that a reader reads, of every size', () => {
    const [u32, u64] = [fc.maxSafeNat().map((n) => n % 2 ** 32), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })]
    fc.assert(
      fc.property(u32, u64, fc.uint8Array({ maxLength: 70 }), (small, large, bytes) => {
        const reader = new ByteReader(new ByteWriter().u32(small).u64(large).sized(bytes).done())
        expect([reader.u32(), reader.u64(), reader.u64()]).toEqual([small, large, BigInt(bytes.length)])
        expect(reader.rest()).toEqual(bytes)
      }),
    )
  })
})

test('a TPM2B has a length of 16 bits', () => {
  const longest = new Uint8Array(0xffff)
  const writer = new ByteWriter().tpm2b(longest)
  expect(writer.lengthBytes).toBe(2 + 0xffff)
  expect(new ByteReader(writer.done()).tpm2b()).toEqual(longest)
  expect(() => new ByteWriter().tpm2b(new Uint8Array(0x10000))).toThrow(RangeError)
})

test('hexadecimal is of whole bytes, in small digits, and nothing else', () => {
  for (const text of ['', '00', '0123456789abcdef', 'ff'.repeat(100)]) {
    expect(isHex(text)).toBe(true)
    expect(hex(fromHex(text))).toBe(text)
  }
  for (const text of ['0', 'abc', 'AB', '0g', ' 00', '00\n', 'x00', '0x00']) expect(isHex(text)).toBe(false)
})

describe('fromHexInBlocks', () => {
  test('gives each text its own bytes, however many there are', () => {
    const bytes = fc.uint8Array({ maxLength: 3000 })
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 20 }), (all) => {
        const decode = fromHexInBlocks()
        expect(all.map(hex).map(decode).map(hex)).toEqual(all.map(hex))
      }),
    )
  })

  test.each(['0', '0A', 'zz', ' 00', '0\u212a'])('refuses %j, as fromHex does', (text) => {
    expect(() => fromHexInBlocks()(text)).toThrow(TypeError)
    expect(() => fromHex(text)).toThrow(TypeError)
  })
})
