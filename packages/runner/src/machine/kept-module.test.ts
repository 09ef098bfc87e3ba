import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModuleFacts } from '@reprise/wasm'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readKeptModule, writeKeptModule } from './kept-module.ts'

const FACTS = { hasStart: false } as ModuleFacts
const HEAD = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 3, 1, 0, 1]
const DATA = [11, 9, 1, 0, 0x41, 8, 0x0b, 3, 1, 2, 3]
const EMPTIED = [11, 6, 1, 0, 0x41, 0, 0x0b, 0]

function kept(module: readonly number[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-kept-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'm.rewritten')
  writeKeptModule(path, { bytes: Uint8Array.from(module), facts: FACTS })
  return path
}

const read = (path: string, isEmptied: boolean) => {
  const found = readKeptModule(path, { isEmptied })
  return found && { ...found, bytes: [...found.bytes] }
}

describe('a rewritten module that is kept', () => {
  test('is read as it was, or without its data', () => {
    const path = kept([...HEAD, ...DATA])
    expect(read(path, false)).toEqual({ bytes: [...HEAD, ...DATA], facts: FACTS, isEmptied: false })
    expect(read(path, true)).toEqual({ bytes: [...HEAD, ...EMPTIED], facts: FACTS, isEmptied: true })
    expect(read(kept(HEAD), false)).toEqual({ bytes: HEAD, facts: FACTS, isEmptied: false })
    expect(read(kept(HEAD), true)).toEqual({ bytes: HEAD, facts: FACTS, isEmptied: true })
    expect(read(join(path, 'no'), true)).toBeUndefined()
  })

  test('is none when any bit of what is read is another one', () => {
    const path = kept([...HEAD, ...DATA])
    const whole = readFileSync(path)
    const dataAt = whole.length - DATA.length
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole)
      damaged[at] ^= 1 << (at % 8)
      writeFileSync(path, damaged)
      // Bytes 4 to 7 are the sum of the data.
      const isOfData = at >= dataAt || (at >= 4 && at < 8)
      expect([at, read(path, false), read(path, true) === undefined]).toEqual([at, undefined, !isOfData])
    }
  })

  test('is none when it is cut', () => {
    const path = kept([...HEAD, ...DATA])
    const { length } = readFileSync(path)
    for (let left = length - 1; left >= 0; left--) {
      truncateSync(path, left)
      expect([left, read(path, false), read(path, true) === undefined]).toEqual([
        left,
        undefined,
        left < length - DATA.length,
      ])
    }
  })
})
