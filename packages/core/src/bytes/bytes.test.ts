import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, fromHexInBlocks, hex, utf8 } from './index.ts'

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
