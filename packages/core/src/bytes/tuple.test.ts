import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteWriter, type Field, hex, sized, textDigest, tuple, tupleDigest, utf8 } from './index.ts'

/** Digests of a hash that forgets its input, as it must: a copy of what was hashed. */
const copied = (bytes: Uint8Array): Uint8Array => bytes.slice()

const field: fc.Arbitrary<Field> = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.nat(255),
)

function written(tag: string, fields: readonly Field[]): string {
  const writer = new ByteWriter().raw(utf8(`${tag}\0`))
  for (const each of fields) {
    if (typeof each === 'bigint') writer.u64(each)
    else if (typeof each === 'number') writer.u8(each)
    else writer.raw(each)
  }
  return hex(writer.done())
}

describe('tuple', () => {
  test('is the tag, a zero byte and the fields, whatever was hashed before', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z/]{1,30}$/), fc.array(field, { maxLength: 8 }), (tag, fields) => {
        expect(hex(tuple(tag, ...fields))).toBe(written(tag, fields))
        expect(hex(tupleDigest(copied, tag, ...fields))).toBe(written(tag, fields))
      }),
    )
  })

  test('hashes what is larger than the buffer that is kept', () => {
    const fields = [1n, new Uint8Array((1 << 13) + 1).fill(7), 9]
    expect(hex(tupleDigest(copied, 'large', ...fields))).toBe(written('large', fields))
    expect(hex(tupleDigest(copied, 'small', 1))).toBe(written('small', [1]))
  })

  test('of a text is that of its UTF-8', () => {
    const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('', 'é'.repeat(2720), 'x'.repeat(1 << 13)))
    fc.assert(
      fc.property(text, (each) => {
        expect(hex(textDigest(copied, 'text', each))).toBe(written('text', [utf8(each)]))
      }),
    )
  })

  test('gives sized bytes their length in eight bytes', () => {
    expect(hex(tuple('t', ...sized(utf8('ab'))))).toBe(`7400${'00'.repeat(7)}026162`)
  })
})
