import { hash } from 'node:crypto'
import { chmod, lstat, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { writeBack, type WriteBackResult, type WrittenOutput } from './index.ts'

async function folderForTest(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-back-'))
  onTestFinished(() => rm(folder, { force: true, recursive: true }))
  return folder
}
const digestOf = (text: string): string => hash('sha256', text)

function output(path: string, text: string): WrittenOutput {
  const bytes = new TextEncoder().encode(text)
  const open = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes
  }
  return { lengthBytes: bytes.length, open, path, sha256: digestOf(text) }
}

function back(
  folder: string,
  outputs: readonly WrittenOutput[],
  started: Readonly<Record<string, string>> = {},
): Promise<WriteBackResult> {
  const digests = Object.entries(started).map(([path, text]) => [path, digestOf(text)] as const)
  return writeBack({ folder, outputs, started: new Map(digests) })
}

describe('writeBack', () => {
  test('writes new and changed files, in folders that it makes, and leaves the others alone', async () => {
    const folder = await folderForTest()
    await writeFile(join(folder, 'in.csv'), 'old')
    await writeFile(join(folder, 'kept.csv'), 'kept')
    const outputs = [
      output('in.csv', 'new'),
      output('kept.csv', 'kept'),
      output('deep/er/out.txt', 'out'),
      output('empty', ''),
    ]
    const result = await back(folder, outputs, { 'in.csv': 'old', 'kept.csv': 'kept' })
    expect(result).toEqual({ conflicts: [], same: [], written: ['in.csv', 'deep/er/out.txt', 'empty'] })
    expect(await readFile(join(folder, 'in.csv'), 'utf8')).toBe('new')
    expect(await readFile(join(folder, 'deep/er/out.txt'), 'utf8')).toBe('out')
    expect((await readdir(folder)).sort()).toEqual(['deep', 'empty', 'in.csv', 'kept.csv'])
  })

  test('keeps the permissions of a file that it replaces', async () => {
    const folder = await folderForTest()
    await writeFile(join(folder, 'run.sh'), 'old')
    await chmod(join(folder, 'run.sh'), 0o750)
    await back(folder, [output('run.sh', 'new')], { 'run.sh': 'old' })
    expect((await stat(join(folder, 'run.sh'))).mode & 0o777).toBe(0o750)
  })

  test('keeps what somebody changed meanwhile, and what was no input', async () => {
    const folder = await folderForTest()
    await writeFile(join(folder, 'a'), 'edited')
    await writeFile(join(folder, 'b'), 'mine')
    await writeFile(join(folder, 'c'), 'result')
    const result = await back(folder, [output('a', 'result'), output('b', 'result'), output('c', 'result')], {
      a: 'old',
    })
    const sha256 = digestOf('result')
    expect(result).toEqual({
      conflicts: [
        { path: 'a', reason: 'changed', sha256 },
        { path: 'b', reason: 'not-an-input', sha256 },
      ],
      same: ['c'],
      written: [],
    })
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('edited')
  })

  test('writes a changed file that was deleted meanwhile', async () => {
    const folder = await folderForTest()
    expect((await back(folder, [output('a', 'new')], { a: 'old' })).written).toEqual(['a'])
  })

  test('never leaves the folder: not by names, not through links', async () => {
    const [folder, elsewhere] = [await folderForTest(), await folderForTest()]
    await symlink(elsewhere, join(folder, 'away'))
    await symlink(join(elsewhere, 'file'), join(folder, 'link'))
    await mkdir(join(folder, 'real'))
    await symlink('real', join(folder, 'inside'))
    const paths = ['../out', '/etc/out', 'a/../../out', 'a//b', '', 'away/out', 'away/deep/out', 'link', 'inside/out']
    const result = await back(
      folder,
      paths.map((path) => output(path, 'x')),
    )
    const reasons = Object.fromEntries(result.conflicts.map(({ path, reason }) => [path, reason]))
    expect(reasons).toEqual({ ...Object.fromEntries(paths.slice(0, 7).map((path) => [path, 'outside'])), link: 'link' })
    expect(result.written).toEqual(['inside/out'])
    expect(await readdir(elsewhere)).toEqual([])
    expect((await lstat(join(folder, 'link'))).isSymbolicLink()).toBe(true)
  })

  test('replaces no folder by a file and no file by a folder, and says which names are too long', async () => {
    const folder = await folderForTest()
    await mkdir(join(folder, 'dir'))
    await writeFile(join(folder, 'file'), '')
    const long = 'n'.repeat(300)
    const result = await back(
      folder,
      ['dir', 'file/below', long, `${long}/below`].map((path) => output(path, 'x')),
    )
    expect(result.conflicts.map(({ reason }) => reason)).toEqual(['not-a-file', 'not-a-file', 'name', 'name'])
    expect(result.written).toEqual([])
  })

  test('changes nothing and leaves nothing behind when an output cannot be read', async () => {
    const folder = await folderForTest()
    await writeFile(join(folder, 'a'), 'old')
    const failing: WrittenOutput = {
      ...output('new/deep/b', 'x'),
      async *open() {
        yield new Uint8Array(10)
        throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
      },
    }
    await expect(back(folder, [output('a', 'new'), failing], { a: 'old' })).rejects.toMatchObject({
      code: 'DISK_FULL',
      kind: 'failure',
    })
    expect(await readdir(folder)).toEqual(['a'])
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('old')
  })

  test('gives every file the bytes of its output or keeps the ones that were there, whatever the paths', async () => {
    const part = fc.constantFrom('a', 'b', '..', '.', '', 'ü', 'c\\d', ' ', '-rf', 'new\nline')
    const path = fc.array(part, { maxLength: 4, minLength: 1 }).map((parts) => parts.join('/'))
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(path, { maxLength: 6 }), async (paths) => {
        const outer = await folderForTest()
        const folder = join(outer, 'folder')
        await mkdir(folder)
        await writeFile(join(folder, 'a'), 'there')
        // Of two outputs one may be the other's folder: a guest cannot have made that.
        const possible = paths.filter((one) => !paths.some((other) => other.startsWith(`${one}/`)))
        const result = await back(
          folder,
          possible.map((one) => output(one, one)),
        )
        for (const one of result.written) expect(await readFile(join(folder, one), 'utf8')).toBe(one)
        expect(result.written.length + result.conflicts.length).toBe(possible.length)
        expect(await readdir(outer)).toEqual(['folder'])
        expect(await readFile(join(folder, 'a'), 'utf8')).toBe('there')
      }),
      { numRuns: 60 },
    )
  })
})
