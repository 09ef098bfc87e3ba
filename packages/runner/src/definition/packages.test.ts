import { join } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import { concat, utf8 } from '@reprise/core'
import { afterAll, describe, expect, test } from 'vitest'
import { define, folderForTest, pathsAt, put, removeFolders } from './testing.ts'

afterAll(removeFolders)

/** A ZIP archive as Python's zipfile makes it. */
function zip(files: Readonly<Record<string, string>>): Uint8Array {
  const parts: Uint8Array[] = []
  const central: Uint8Array[] = []
  let offset = 0
  for (const [name, text] of Object.entries(files)) {
    const [content, nameBytes] = [utf8(text), utf8(name)]
    const packed = deflateRawSync(content)
    const shared = Buffer.alloc(26)
    shared.writeUInt16LE(20, 0)
    shared.writeUInt16LE(8, 4)
    shared.writeUInt32LE(crc32(content), 10)
    shared.writeUInt32LE(packed.length, 14)
    shared.writeUInt32LE(content.length, 18)
    shared.writeUInt16LE(nameBytes.length, 22)
    const [local, head, tail] = [Buffer.from('504b0304', 'hex'), Buffer.from('504b01021403', 'hex'), Buffer.alloc(14)]
    tail.writeUInt32LE(offset, 10)
    const entry = concat(local, shared, nameBytes, packed)
    parts.push(entry)
    central.push(concat(head, shared, tail, nameBytes))
    offset += entry.length
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(parts.length, 8)
  end.writeUInt16LE(parts.length, 10)
  const centralBytes = concat(...central)
  end.writeUInt32LE(centralBytes.length, 12)
  end.writeUInt32LE(offset, 16)
  return concat(...parts, centralBytes, end)
}

const WHEEL = zip({
  'tables/__init__.py': 'x = 1\n',
  'tables/data/names.txt': 'a\n',
  'tables-1.0.dist-info/WHEEL': 'Root-Is-Purelib: true\n',
  'tables-1.0.data/purelib/more.py': 'y = 2\n',
  'tables-1.0.data/scripts/tables': '#!python\n',
})

async function folderWith(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  return await put(await folderForTest(), { 'work/a.py': '', ...files })
}

describe('--package', () => {
  test('adds a wheel as an installer would place it, and lets Python look there', async () => {
    const folder = await folderWith({ 'tables-1.0-py3-none-any.whl': WHEEL })
    const definition = await define(join(folder, 'work'), ['python', 'a.py'], {
      package: ['../tables-1.0-py3-none-any.whl'],
    })
    expect(pathsAt(definition, '/packages')).toEqual([
      'more.py',
      'tables-1.0.dist-info/WHEEL',
      'tables/__init__.py',
      'tables/data/names.txt',
    ])
    expect(definition.computation.environment['PYTHONPATH']).toBe('/packages')
    expect(definition.computation.mounts.at(-1)).toMatchObject({ writable: false, output: false })
  })

  test('adds a folder that is a package under its name, and one with packages as it is', async () => {
    const folder = await folderWith({ 'one/__init__.py': '', 'many/two/__init__.py': '', 'many/three.py': '' })
    const flags = { package: ['../one', '../many'] }
    const definition = await define(join(folder, 'work'), ['python', 'a.py'], flags)
    expect(pathsAt(definition, '/packages')).toEqual(['one/__init__.py', 'three.py', 'two/__init__.py'])
  })

  test('refuses what is compiled, naming it', async () => {
    const compiled = 'fast/_core.cpython-311-x86_64-linux-gnu.so'
    const folder = await folderWith({ 'fast.whl': zip({ 'fast/__init__.py': '', [compiled]: '' }), 'f/x.pyd': '' })
    const work = join(folder, 'work')
    await expect(define(work, ['python', 'a.py'], { package: ['../fast.whl'] })).rejects.toMatchObject({
      code: 'PACKAGE',
      message: expect.stringContaining(compiled),
    })
    await expect(define(work, ['python', 'a.py'], { package: ['../f'] })).rejects.toMatchObject({ code: 'PACKAGE' })
  })

  test.each([
    ['cut', WHEEL.subarray(0, 300), 'not a ZIP'],
    ['changed', WHEEL.with(50, WHEEL[50] ^ 0xff), 'damaged'],
    ['leaving its folder', zip({ '../../evil.py': '' }), 'evil.py'],
    ['no archive', utf8('hello'), 'not a ZIP'],
  ])('refuses a wheel that is %s', async (_, bytes, what) => {
    const folder = await folderWith({ 'x.whl': bytes })
    await expect(define(join(folder, 'work'), ['python', 'a.py'], { package: ['../x.whl'] })).rejects.toMatchObject({
      code: 'PACKAGE',
      message: expect.stringContaining(what),
    })
  })

  test('refuses two packages with one file, another language, and a PYTHONPATH beside it', async () => {
    const folder = await folderWith({ 'a.whl': WHEEL, 'b.whl': WHEEL, 'work/a.rb': '' })
    const work = join(folder, 'work')
    const twice = { package: ['../a.whl', '../b.whl'] }
    await expect(define(work, ['python', 'a.py'], twice)).rejects.toMatchObject({ code: 'PACKAGE' })
    const one = { package: ['../a.whl'] }
    await expect(define(work, ['ruby', 'a.rb'], one)).rejects.toMatchObject({ code: 'USAGE' })
    await expect(define(work, ['python', 'a.py'], { ...one, env: ['PYTHONPATH=/x'] })).rejects.toMatchObject({
      code: 'USAGE',
    })
  })
})
