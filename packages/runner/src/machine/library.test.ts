import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { WasiFile } from '@reprise/wasm'
import { describe, expect, onTestFinished, test } from 'vitest'
import { nodeCrypto } from '../crypto.ts'
import { libraryFiles } from './library.ts'

const FILES = { 'b/two.py': 'two', 'a.py': '', 'b/one.py': 'x'.repeat(1000) }

/** ustar, as far as it is read. */
function tar(files: Readonly<Record<string, string>>): Buffer {
  const blocks = Object.entries(files).flatMap(([path, text]) => {
    const header = Buffer.alloc(512)
    header.write(path, 0)
    header.write(text.length.toString(8), 124)
    header.write(' '.repeat(8), 148)
    header.write('0', 156)
    header.write(
      header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0') + '\0 ',
      148,
    )
    const content = Buffer.alloc(Math.ceil(text.length / 512) * 512)
    content.write(text)
    return [header, content]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

function place() {
  const folder = mkdtempSync(join(tmpdir(), 'reprise-library-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  let unpacked = 0
  const context = {
    folder,
    sha256: nodeCrypto.sha256,
    archive: () => {
      unpacked += 1
      return gzipSync(tar(FILES))
    },
  }
  return {
    path: join(folder, 'name.library'),
    files: () => libraryFiles('name', context),
    unpacked: () => unpacked,
    names: () => readdirSync(folder),
  }
}

function read(files: readonly WasiFile[]): Record<string, string> {
  return Object.fromEntries(
    files.map(({ path, bytes }) => [path, Buffer.from(bytes instanceof Uint8Array ? bytes : bytes.read()).toString()]),
  )
}

describe('the files of a library', () => {
  test('are those of its archive, unpacked once', () => {
    const { files, unpacked, names } = place()
    for (let i = 0; i < 3; i++) {
      expect(read(files())).toEqual(FILES)
      expect(files().map(({ bytes }) => (bytes instanceof Uint8Array ? -1 : bytes.lengthBytes))).toEqual([0, 1000, 3])
    }
    expect([unpacked(), names()]).toEqual([1, ['name.library']])
  })

  test('are the same wherever what is kept is damaged or cut, and that is mended when it shows', () => {
    const { path, files } = place()
    files()
    const whole = readFileSync(path)
    for (let at = 0; at < whole.length; at += 7) {
      writeFileSync(path, Buffer.from(whole).fill(whole[at] ^ 0x20, at, at + 1))
      expect(read(files())).toEqual(FILES)
      expect(Buffer.compare(readFileSync(path), whole)).toBe(0)
    }
    for (const length of [0, 10, 36, 40, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length))
      expect(read(files())).toEqual(FILES)
      expect(Buffer.compare(readFileSync(path), whole)).toBe(0)
    }
  })

  test('are the same when what is kept is damaged after it was opened', () => {
    const { path, files } = place()
    files()
    const [, one, two] = files()
    writeFileSync(path, '')
    expect(read([two, one])).toEqual({ 'b/two.py': 'two', 'b/one.py': FILES['b/one.py'] })
  })
})
