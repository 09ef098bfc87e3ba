import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from './index.ts'

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
