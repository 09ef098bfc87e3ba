import { hash } from 'node:crypto'
import { link, mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonical, computationId, hex, type Computation } from '@reprise/core'
import { afterAll, describe, expect, test } from 'vitest'
import { refOf } from '../blobs/index.ts'
import { defineCommand } from './index.ts'
import { contextIn, define, filesAt, folderForTest, MODULE, pathsAt, placesOf, put, removeFolders } from './testing.ts'

afterAll(removeFolders)

const idOf = (computation: Computation): string =>
  hex(computationId(computation, (data) => hash('sha256', data, 'buffer')))

describe('a module with no flags', () => {
  test('has the current folder as its input, all defaults written out, and every blob in the store', async () => {
    const folder = await put(await folderForTest(), { 'build/hello.wasm': MODULE, 'data.csv': '1,2\n', 'sub/x': 'x' })
    const context = await contextIn(folder)
    const command = ['build/hello.wasm', '-v', 'data.csv']
    const { computation, workingFolder, program, advice, inputs } = await defineCommand({ command }, context)
    const files = (
      [
        ['build/hello.wasm', MODULE],
        ['data.csv', '1,2\n'],
        ['sub/x', 'x'],
      ] as const
    ).map(([path, content]) => ({
      ...refOf(Buffer.from(content)),
      path,
      readOnly: false,
    }))
    expect(computation).toEqual({
      arguments: ['hello.wasm', '-v', 'data.csv'],
      checkpoints: { fuel: '17179869184', kind: 'grid', strideBytes: 67_108_864, strideMax: 1024 },
      clock: '946684800000000000',
      environment: { LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' },
      floats: 'canonical',
      limits: computation.limits,
      mounts: [
        { at: '/', output: true, source: { files, kind: 'files' }, writable: true },
        { at: '/tmp', output: false, source: { files: [], kind: 'files' }, writable: true },
      ],
      program: refOf(MODULE),
      schema: 'reprise/computation/v1',
      seed: '0',
      semantics: 'wasm/1',
      stdin: refOf(new Uint8Array()),
      success: [{ checkpoints: 'exact' }],
    })
    expect(computation.limits.memoryPages).toBe(32_768)
    expect(program).toEqual({ label: 'hello.wasm', stem: 'hello' })
    expect(advice).toEqual([])
    expect(workingFolder).toEqual({ files: new Map(files.map(({ path, sha256 }) => [path, sha256])), path: folder })
    expect(new Set(inputs)).toEqual(new Set([...files, refOf(new Uint8Array())].map(({ sha256 }) => sha256)))
    for (const digest of inputs) expect(await context.store.has(digest)).toBe(true)
  })

  test('leaves out hidden entries, node_modules and records, and its own state and record', async () => {
    const folder = await put(await folderForTest(), {
      '.git/config': '',
      '.env': '',
      'a.reprise': '',
      'node_modules/x/y': '',
      'p.wasm': MODULE,
      'sub/.hidden': '',
      'sub/node_modules/z': '',
      'out.rec': 'a record',
    })
    const context = { ...(await contextIn(folder)), home: join(folder, 'state') }
    await put(folder, { 'state/blobs/x': '' })
    const definition = await defineCommand({ command: ['p.wasm'], recordPath: 'out.rec' }, context)
    expect(pathsAt(definition, '/')).toEqual(['p.wasm'])
  })

  test('takes links to files as files and says what else it leaves out', async () => {
    const folder = await put(await folderForTest(), { 'p.wasm': MODULE, 'real/data': 'data' })
    const elsewhere = await put(await folderForTest(), { far: 'far' })
    await symlink('real/data', join(folder, 'near'))
    await symlink(join(elsewhere, 'far'), join(folder, 'far'))
    await link(join(elsewhere, 'far'), join(folder, 'hard'))
    await symlink('real', join(folder, 'folder'))
    await symlink('nowhere', join(folder, 'dangling'))
    await symlink('loop', join(folder, 'loop'))
    await mkdir(join(folder, 'results/deep'), { recursive: true })
    const definition = await define(folder, ['p.wasm'])
    expect(pathsAt(definition, '/')).toEqual(['far', 'hard', 'near', 'p.wasm', 'real/data'])
    expect(definition.advice).toEqual([
      'folder: a link to a folder is not followed',
      'dangling, loop: links that lead nowhere are left out',
      'results: an empty folder is not taken; the program has to create it',
    ])
  })

  test('sorts paths by their bytes', async () => {
    const names = ['a', 'a.b', 'a-b', 'B', 'z', 'ä', '\u{fffd}', '\u{1f600}', 'a0']
    const folder = await put(await folderForTest(), {
      'p.wasm': MODULE,
      ...Object.fromEntries(names.map((name) => [name, name])),
      'c/d': '',
      'c.d': '',
    })
    const expected = [...names, 'p.wasm', 'c/d', 'c.d'].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    expect(pathsAt(await define(folder, ['p.wasm']), '/')).toEqual(expected)
  })

  test('refuses names that are not UTF-8, showing them', async () => {
    const folder = await put(await folderForTest(), { 'p.wasm': MODULE })
    await writeFile(Buffer.concat([Buffer.from(`${folder}/na`), Buffer.of(0xff), Buffer.from('me')]), '')
    await expect(define(folder, ['p.wasm'])).rejects.toMatchObject({
      code: 'INPUT_NAME',
      message: expect.stringContaining('na\\xffme'),
    })
  })

  test('has a working folder with a tmp of its own instead of the scratch mount', async () => {
    const folder = await put(await folderForTest(), { 'p.wasm': MODULE, 'tmp/data': '' })
    expect(placesOf(await define(folder, ['p.wasm']))).toEqual(['/'])
  })

  test('tells which arguments name files that it will not see', async () => {
    const elsewhere = await put(await folderForTest(), { 'far.csv': '' })
    const folder = await put(await folderForTest(), { 'data.csv': '', 'p.wasm': MODULE })
    const far = join(elsewhere, 'far.csv')
    expect((await define(folder, ['p.wasm', 'data.csv', 'none.csv', far, '/'])).advice).toEqual([
      `${far}: the program does not see it; add --input . --input ${far}`,
    ])
  })
})

describe('the same command on the same files', () => {
  test('is the same computation in another folder, by another path, with other times and in another order', async () => {
    const files = { 'a/b': '2', 'data.csv': '1', 'hello.wasm': MODULE, z: '3' }
    const first = await put(await folderForTest(), files)
    const second = await put(join(await folderForTest(), 'ü deep'), Object.fromEntries(Object.entries(files).reverse()))
    for (const path of Object.keys(files)) await utimes(join(second, path), 1, 1)
    const ids = [
      await define(first, ['hello.wasm', 'x']),
      await define(second, ['./hello.wasm', 'x']),
      await define(second, [join(second, 'hello.wasm'), 'x']),
    ].map(({ computation }) => idOf(computation))
    expect(new Set(ids).size).toBe(1)
    const text = canonical((await define(second, ['hello.wasm'])).computation)
    expect(text).not.toContain('reprise-define-')
  })

  test('is another computation when a byte, a name, an argument or a default differs', async () => {
    const folder = await put(await folderForTest(), { data: '1', 'p.wasm': MODULE })
    const ids = [idOf((await define(folder, ['p.wasm'])).computation)]
    for (const flags of [
      { seed: '1' },
      { time: '2001-01-01' },
      { env: ['A=1'] },
      { memory: '1 GiB' },
      { floats: 'host' },
      { checkpoint: 'none' },
      { compare: ['out=text'] },
    ]) {
      ids.push(idOf((await define(folder, ['p.wasm'], flags)).computation))
    }
    await writeFile(join(folder, 'data'), '2')
    ids.push(
      idOf((await define(folder, ['p.wasm'])).computation),
      idOf((await define(folder, ['p.wasm', ''])).computation),
    )
    expect(new Set(ids).size).toBe(10)
  })
})

describe('a runtime', () => {
  test('runs a script of the working folder where it is, however its path was typed', async () => {
    const folder = await put(await folderForTest(), { 'data.csv': '', 'src/analysis.py': 'print(1)' })
    const { computation, program } = await define(folder, ['python', 'src/analysis.py', '--fast'])
    expect(computation.arguments.slice(-2)).toEqual(['src/analysis.py', '--fast'])
    expect(computation.mounts.map(({ at }) => at)).toEqual(['/', '/tmp', '/python'])
    expect(program).toEqual({ label: 'python analysis.py', stem: 'analysis' })
    const typedOtherwise = await define(folder, ['python', join(folder, 'src/../src/analysis.py'), '--fast'])
    expect(idOf(typedOtherwise.computation)).toBe(idOf(computation))
  })

  test('has a script from elsewhere by itself, read-only at /program, or beside it when that is taken', async () => {
    const elsewhere = await put(await folderForTest(), { 'tool.py': 'print(1)' })
    const script = join(elsewhere, 'tool.py')
    const folder = await put(await folderForTest(), { 'data.csv': '' })
    const definition = await define(folder, ['python', '-O', script])
    expect(definition.computation.arguments.slice(-2)).toEqual(['-O', '/program/tool.py'])
    expect(definition.computation.mounts.at(-1)).toMatchObject({ at: '/program', output: false, writable: false })
    expect(filesAt(definition, '/program')).toEqual([
      { ...refOf(Buffer.from('print(1)')), path: 'tool.py', readOnly: true },
    ])
    expect(definition.advice).toEqual([`${script} is added by itself; what lies beside it is not there for it`])
    await put(folder, { 'program/x': '' })
    expect((await define(folder, ['python', script])).computation.arguments.at(-1)).toBe('/program-2/tool.py')
    const named = await define(folder, ['python', script], { input: [`${script}:lib/t.py`] })
    expect(named.computation.arguments.at(-1)).toBe('lib/t.py')
  })

  test('keeps its library off a folder of the user', async () => {
    const folder = await put(await folderForTest(), { 'a.py': '', 'python/mine.py': '' })
    const { computation } = await define(folder, ['python', 'a.py'])
    expect(computation.mounts.at(-1)?.at).toBe('/python-2')
    expect(computation.environment['PYTHONHOME']).toBe('/python-2/usr/local')
  })

  test('knows code on the command line from a script, and values of flags from files', async () => {
    const folder = await put(await folderForTest(), { 'a.py': '', 'b.py': '', 'data.db': '' })
    const argumentsOf = async (...command: string[]): Promise<readonly string[]> =>
      (await define(folder, command)).computation.arguments
    expect((await argumentsOf('python', '-c', 'print(1)', './b.py')).slice(1)).toEqual(['-c', 'print(1)', './b.py'])
    expect((await argumentsOf('python', '-X', 'utf8', './a.py', './b.py')).slice(1)).toEqual([
      '-X',
      'utf8',
      'a.py',
      './b.py',
    ])
    expect((await argumentsOf('sqlite', 'data.db', 'select 1')).slice(-2)).toEqual(['data.db', 'select 1'])
    expect((await argumentsOf('sqlite', 'new.db', 'select 1')).slice(-2)).toEqual(['new.db', 'select 1'])
    expect((await define(folder, ['python'])).program).toEqual({ label: 'python', stem: 'python' })
  })

  test('says which script is missing', async () => {
    const folder = await folderForTest()
    await expect(define(folder, ['python', 'nope.py'])).rejects.toMatchObject({
      code: 'INPUT_MISSING',
      message: `${join(folder, 'nope.py')}: no such file or folder`,
    })
    await expect(define(folder, ['python', '.'])).rejects.toMatchObject({ code: 'INPUT_UNREADABLE' })
  })
})

describe('what cannot be run', () => {
  const cases: readonly (readonly [command: string, code: string, hint: RegExp])[] = [
    ['analysis.py x', 'PROGRAM_UNKNOWN', /^reprise run python analysis\.py x$/],
    ['tool.js', 'PROGRAM_UNKNOWN', /^reprise run qjs tool\.js$/],
    ['python3 analysis.py', 'PROGRAM_UNKNOWN', /^reprise run python analysis\.py$/],
    [
      'elf',
      'PROGRAM_UNKNOWN',
      /^give a \.wasm command module, python, ruby, php, qjs, sqlite with a script or arguments, or a computation\.yaml$/,
    ],
    ['buildable a.txt', 'RUNTIME_UNKNOWN', /^reprise runtime build buildable, or import it/],
    ['tool.lua', 'PROGRAM_UNKNOWN', /^reprise run lua tool\.lua$/],
    ['frobnicate', 'PROGRAM_UNKNOWN', /a computation\.yaml/],
    ['component.wasm', 'PROGRAM_UNKNOWN', /wasm32-wasip1/],
    ['text.wasm', 'PROGRAM_UNKNOWN', /a \.wasm command module/],
    ['sub', 'PROGRAM_UNKNOWN', /a \.wasm command module/],
    ['missing.wasm', 'INPUT_MISSING', /spelling/],
    ['missing.py', 'INPUT_MISSING', /spelling/],
    ['missing.yaml', 'INPUT_MISSING', /spelling/],
  ]
  test.each(cases)('%s: %s', async (command, code, hint) => {
    const folder = await put(await folderForTest(), {
      'analysis.py': '',
      'component.wasm': Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0),
      elf: Uint8Array.of(0x7f, 0x45, 0x4c, 0x46),
      'sub/x': '',
      'text.wasm': '(module)',
      'tool.js': '',
      'tool.lua': '',
    })
    await expect(define(folder, command.split(' '))).rejects.toMatchObject({ code, hint: expect.stringMatching(hint) })
  })

  test('a module is known by its bytes, whatever its name', async () => {
    const folder = await put(await folderForTest(), { program: MODULE })
    expect((await define(folder, ['./program'])).computation.program).toEqual(refOf(MODULE))
  })
})

test('what no record could carry is refused', async () => {
  const folder = await put(await folderForTest(), {
    'p.wasm': MODULE,
  })
  await expect(define(folder, ['p.wasm', 'x'.repeat(200_000)])).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('arguments'),
  })
})

describe('the standard input', () => {
  test('is empty, a file, or what is piped', async () => {
    const folder = await put(await folderForTest(), { in: 'from a file', 'p.wasm': MODULE })
    const stdinOf = async (stdin: string): Promise<unknown> =>
      (await defineCommand({ command: ['p.wasm'], flags: { stdin } }, await contextIn(folder, 'piped'))).computation
        .stdin
    expect(await stdinOf('in')).toEqual(refOf(Buffer.from('from a file')))
    expect(await stdinOf('-')).toEqual(refOf(Buffer.from('piped')))
    expect(await stdinOf('/dev/null')).toEqual(refOf(new Uint8Array()))
    await expect(stdinOf('none')).rejects.toMatchObject({ code: 'INPUT_MISSING' })
  })
})

test('nothing is left in the folder by defining', async () => {
  const folder = await put(await folderForTest(), { 'p.wasm': MODULE })
  await define(folder, ['p.wasm'])
  expect(await readdir(folder)).toEqual(['p.wasm'])
})
