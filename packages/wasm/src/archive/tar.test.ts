import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ArchiveError, readTar } from './index.ts'

let folder = ''
const contents: Record<string, string> = {
  'a.txt': 'alpha',
  empty: '',
  'deep/er/ü.txt': 'umlaut',
  [`long/${'x'.repeat(90)}/${'y'.repeat(90)}/${'z'.repeat(90)}.txt`]: 'long name',
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reprise-tar-'))
  for (const [path, text] of Object.entries(contents)) {
    mkdirSync(dirname(join(folder, 'tree', path)), { recursive: true })
    writeFileSync(join(folder, 'tree', path), text)
  }
  symlinkSync('a.txt', join(folder, 'tree', 'link'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function tar(format: string): Uint8Array {
  return new Uint8Array(
    execFileSync('tar', ['-C', join(folder, 'tree'), `--format=${format}`, '-cf', '-', '.'], { maxBuffer: 1 << 26 }),
  )
}

describe('readTar', () => {
  test.each(['gnu', 'pax', 'posix'])('reads what GNU tar writes as %s, links left out', (format) => {
    const found = Object.fromEntries(
      readTar(tar(format)).map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]),
    )
    expect(found).toEqual(contents)
  })

  test('refuses a changed header, an entry that is cut and a path that leaves', () => {
    const whole = tar('gnu')
    const file = readTar(whole).find(({ path }) => path === 'a.txt') as { bytes: Uint8Array }
    expect(() => readTar(whole.subarray(0, file.bytes.byteOffset - whole.byteOffset + 2))).toThrow(/ends inside/)
    const changed = whole.slice()
    changed[0] = changed[0] ^ 1
    expect(() => readTar(changed)).toThrow(ArchiveError)
    const outside = new Uint8Array(execFileSync('tar', ['-C', join(folder, 'tree'), '-P', '-cf', '-', '../tree/a.txt']))
    expect(() => readTar(outside)).toThrow(/not allowed/)
  })

  test('answers or refuses, whatever bytes are changed', () => {
    const whole = tar('pax')
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, cut) => {
        const bytes = whole.slice(0, cut)
        if (at < cut) bytes[at] = byte
        try {
          readTar(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(ArchiveError)
        }
      }),
    )
  })
})
