import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { refOf } from '../blobs/index.ts'
import { defineCommand } from './index.ts'
import { contextIn, define, filesAt, folderForTest, MODULE, pathsAt, placesOf, put, removeFolders } from './testing.ts'

afterAll(removeFolders)

describe('the limits of the current folder', () => {
  test('5,000 files pass, one more is refused with the --input line to use', async () => {
    const folder = await put(await folderForTest(), { 'data.csv': '', 'p.wasm': MODULE })
    await mkdir(join(folder, 'many'))
    await Promise.all(Array.from({ length: 4998 }, (_, index) => writeFile(join(folder, 'many', `${index}`), '')))
    expect(filesAt(await define(folder, ['p.wasm']), '/').length).toBe(5000)
    await writeFile(join(folder, 'many', 'more'), '')
    const { store, ...context } = await contextIn(folder)
    const untouched = { ...store, putAll: () => Promise.reject(new Error('copied before the limit was checked')) }
    const defined = defineCommand(
      { command: ['p.wasm', 'a b'], flags: { seed: '5' } },
      { ...context, store: untouched },
    )
    await expect(defined).rejects.toMatchObject({
      code: 'INPUT_TOO_MUCH',
      hint: `name what the program reads: reprise run --seed 5 --input data.csv --input p.wasm p.wasm 'a b'`,
      message: expect.stringContaining('5,001 files'),
    })
  })

  test('1 GiB passes, one more byte is refused', async () => {
    const folder = await put(await folderForTest(), { 'p.wasm': MODULE, sparse: '' })
    await truncate(join(folder, 'sparse'), 2 ** 30 - 7)
    await expect(define(folder, ['p.wasm'])).rejects.toMatchObject({
      code: 'INPUT_TOO_MUCH',
      hint: 'name what the program reads: reprise run --input p.wasm p.wasm',
      message: expect.stringContaining('sparse 1.0 GiB in 1 file,'),
    })
  })
})

describe('--input', () => {
  test('takes only what is named, into the working folder, read-only, and replaces nothing', async () => {
    const elsewhere = await put(await folderForTest(), { 'far.csv': 'far', 'raw/a': 'a', 'raw/b/c': 'c' })
    const folder = await put(await folderForTest(), {
      'data.csv': '1',
      'other.csv': '2',
      'p.wasm': MODULE,
      'sub/d/e': 'e',
      'sub/f': 'f',
    })
    const input = [
      'data.csv',
      'sub/d',
      join(elsewhere, 'far.csv'),
      `${elsewhere}/raw:in/raw`,
      `${elsewhere}/far.csv:in/`,
      'sub/f:/renamed',
    ]
    const definition = await define(folder, ['p.wasm'], { input })
    expect(placesOf(definition)).toEqual(['/', '/tmp'])
    expect(pathsAt(definition, '/')).toEqual([
      'data.csv',
      'far.csv',
      'in/far.csv',
      'in/raw/a',
      'in/raw/b/c',
      'renamed',
      'sub/d/e',
    ])
    expect(filesAt(definition, '/').every(({ readOnly }) => readOnly)).toBe(true)
    expect(definition.computation.mounts[0]).toMatchObject({ output: true, writable: true })
    expect(definition.workingFolder).toEqual({ files: new Map(), path: folder })
  })

  test('means a file with a colon in its name when there is one', async () => {
    const folder = await put(await folderForTest(), { a: '1', 'a:b': '2', 'p.wasm': MODULE })
    expect(filesAt(await define(folder, ['p.wasm'], { input: ['a:b'] }), '/')).toEqual([
      { ...refOf(Buffer.from('2')), path: 'a:b', readOnly: true },
    ])
    expect(filesAt(await define(folder, ['p.wasm'], { input: ['a:c'] }), '/')).toEqual([
      { ...refOf(Buffer.from('1')), path: 'c', readOnly: true },
    ])
    expect(pathsAt(await define(folder, ['p.wasm'], { input: ['a:b:c'] }), '/')).toEqual(['c'])
  })

  test('of the current folder is the working folder, without its hidden files, which it says', async () => {
    const folder = await put(await folderForTest(), { '.env': '', data: '', 'p.wasm': MODULE })
    const definition = await define(folder, ['p.wasm'], { input: ['.'] })
    expect(pathsAt(definition, '/')).toEqual(['data', 'p.wasm'])
    expect(definition.advice).toEqual([
      `${folder}: .env: left out (hidden, node_modules or a record); name it to take it`,
    ])
    expect(pathsAt(await define(folder, ['p.wasm'], { input: ['.env'] }), '/')).toEqual(['.env'])
  })

  test('of a folder without files is none, which it says', async () => {
    const folder = await put(await folderForTest(), { 'p.wasm': MODULE })
    await mkdir(join(folder, 'none'))
    const definition = await define(folder, ['p.wasm'], { input: ['none'] })
    expect(definition.advice).toEqual([
      `${join(folder, 'none')}: it holds no file to take, so the program does not have it`,
    ])
  })

  test('puts folders into each other, and refuses two files at one place or a file as a folder', async () => {
    const folder = await put(await folderForTest(), { a: 'a', b: 'b', 'd/x': 'x', 'e/y': 'y', 'p.wasm': MODULE })
    const definition = await define(folder, ['p.wasm'], { input: ['d', 'e:d/e', 'a:d/a'] })
    expect(pathsAt(definition, '/')).toEqual(['d/a', 'd/e/y', 'd/x'])
    await expect(define(folder, ['p.wasm'], { input: ['a:same', 'b:same'] })).rejects.toMatchObject({
      code: 'INPUT_CONFLICT',
    })
    await expect(define(folder, ['p.wasm'], { input: ['a:d', 'd'] })).rejects.toMatchObject({ code: 'INPUT_CONFLICT' })
    await expect(define(folder, ['p.wasm'], { input: ['a:d', 'b:d/b'] })).rejects.toMatchObject({
      code: 'INPUT_CONFLICT',
    })
    await expect(define(folder, ['p.wasm'], { input: ['a:../b'] })).rejects.toMatchObject({ code: 'INPUT_NAME' })
    await expect(define(folder, ['p.wasm'], { input: ['nowhere'] })).rejects.toMatchObject({
      code: 'INPUT_MISSING',
      message: expect.stringContaining(join(folder, 'nowhere')),
    })
    await expect(define(folder, ['p.wasm'], { input: ['/dev/null'] })).rejects.toMatchObject({
      code: 'INPUT_UNREADABLE',
    })
  })
})
