import { createHash } from 'node:crypto'
import { hex, pagesRoot } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Refusal } from './abi.ts'
import { Budget, Content } from './content.ts'
import { Notes } from './notes.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
/** Page boundaries, and anything, evenly spread. */
const length = fc.oneof(
  fc.constantFrom(0, 1, 4095, 4096, 4097, 8192),
  fc.nat(50).map((n) => n * 400 + 13),
)
const step = fc.record({ kind: fc.constantFrom('write', 'resize', 'root'), at: length, length })

describe('Content', () => {
  test('holds what was written, zeros elsewhere, and its root is that of its bytes', () => {
    fc.assert(
      fc.property(
        fc.option(length),
        fc.boolean(),
        fc.array(step, { minLength: 8, maxLength: 30, size: 'max' }),
        (input, isRead, steps) => {
          let model = new Uint8Array(input ?? 0).fill(1)
          const given = model.slice()
          const bytes = isRead ? given : { lengthBytes: given.length, read: () => given }
          const content = new Content(new Budget(1e6, new Notes()), sha256, input === null ? undefined : bytes)
          expect(content.lengthBytes).toBe(given.length)
          for (const { kind, at, length } of steps) {
            if (kind === 'root') content.root()
            else if (kind === 'resize') content.resize(length)
            else content.write(at, [new Uint8Array(length).fill(7)])
            if (kind === 'root') continue
            const end = kind === 'resize' ? length : length === 0 ? model.length : Math.max(model.length, at + length)
            const next = new Uint8Array(end)
            next.set(model.subarray(0, end))
            if (kind === 'write') next.fill(7, at, at + length)
            model = next
          }
          expect(Buffer.compare(content.view(), model)).toBe(0)
          expect(hex(content.root())).toBe(hex(pagesRoot(model, sha256)))
          expect(given.every((byte) => byte === 1)).toBe(true)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('takes from the budget what it owns, and gives it back', () => {
    const budget = new Budget(100, new Notes())
    const left = () => {
      let bytes = 0
      for (; ; bytes++) {
        try {
          budget.take(1)
        } catch (error) {
          expect(error).toBeInstanceOf(Refusal)
          budget.take(-bytes)
          return bytes
        }
      }
    }
    const content = new Content(budget, sha256, new Uint8Array(80))
    expect(() => content.resize(101)).toThrow(Refusal)
    expect(content.owned).toBe(false)
    expect(left()).toBe(100)
    content.resize(50)
    expect(left()).toBe(50)
    content.write(90, [new Uint8Array(10)])
    expect(left()).toBe(0)
    expect(() => content.resize(101)).toThrow(Refusal)
    expect(content.lengthBytes).toBe(100)
    content.drop()
    expect(left()).toBe(100)
  })
})
