import { canonical, utf8 } from '@reprise/core'
import { expect, test } from 'vitest'
import { decodeEntry } from './entry.ts'

test('an entry has a time that a date can show', () => {
  const entry = (wallMs: number): unknown =>
    decodeEntry(
      utf8(canonical({ event: { kind: 'alarm', text: '' }, previous: '00'.repeat(32), seq: 0, tpm: null, wallMs })),
    )
  expect(entry(253_402_300_799_999)).toMatchObject({ wallMs: 253_402_300_799_999 })
  for (const wallMs of [253_402_300_800_000, 8.65e15, -1, 0.5]) expect(() => entry(wallMs)).toThrow(/entry.wallMs/)
})
