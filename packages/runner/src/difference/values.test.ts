import { describe, expect, test } from 'vitest'
import { memoryPlace } from './values.ts'

const memory = (change: (view: DataView) => void): Uint8Array => {
  const bytes = new Uint8Array(64)
  change(new DataView(bytes.buffer))
  return bytes
}

describe('memoryPlace', () => {
  test('reads text as text, from where it begins', () => {
    const text = (value: string): Uint8Array =>
      memory((view) => new Uint8Array(view.buffer).set(Buffer.from(value), 20))
    const found = memoryPlace(text('size 12\n'), text('size 34\n'), 25)
    expect(found).toEqual({
      address: 25,
      a: '3132',
      b: '3334',
      as: [{ type: 'text', address: 20, a: '"size 12\\n"', b: '"size 34\\n"' }],
      around: {
        address: 16,
        a: '0000000073697a652031320a0000000000000000000000000000000000000000',
        b: '0000000073697a652033340a0000000000000000000000000000000000000000',
      },
    })
  })

  test('reads a double as such where both are of a size that programs compute, and as i32 besides', () => {
    const double = (value: number): Uint8Array => memory((view) => view.setFloat64(24, value, true))
    expect(memoryPlace(double(1.5), double(1.25), 30).as).toEqual([
      { type: 'f64', address: 24, a: '1.5', b: '1.25' },
      { type: 'i32', address: 28, a: '1073217536', b: '1072955392' },
    ])
  })

  test('reads anything else as i32', () => {
    const word = (value: number): Uint8Array => memory((view) => view.setInt32(8, value, true))
    expect(memoryPlace(word(-1), word(7), 8).as).toEqual([{ type: 'i32', address: 8, a: '-1', b: '7' }])
  })

  test('says what lies beyond the end of one of them', () => {
    const found = memoryPlace(new Uint8Array(16), new Uint8Array(32).fill(1), 16)
    expect(found).toMatchObject({ a: '', b: '01'.repeat(16), as: [{ type: 'i32', a: 'none', b: '16843009' }] })
  })
})
