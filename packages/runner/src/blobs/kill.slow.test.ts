/** Processes that are killed while they write, and disks that are full: no wrong blob, no half file. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isTemporaryName } from '../durable.ts'
import { runnerFolders } from '../home.ts'
import { openBlobStore } from './index.ts'

const STORE = new URL('./store.ts', import.meta.url).href
const DURABLE = new URL('../durable.ts', import.meta.url).href
const WRITE_BACK = new URL('../write-back/write-back.ts', import.meta.url).href

async function folderForTest(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reprise-kill-'))
  onTestFinished(() => rm(folder, { force: true, recursive: true }))
  return folder
}

/** Runs a module until it says that it works, then kills it some time later unless it has ended by itself. */
async function runAndKill(source: string, afterMs: number, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, '--', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  await Promise.race([sleep(afterMs), exited])
  child.kill('SIGKILL')
  await exited
}

async function blobsIn(home: string): Promise<string[]> {
  const { blobs } = runnerFolders(home)
  const entries = await readdir(blobs, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !isTemporaryName(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}

describe('killed while it writes', () => {
  test('the store holds no blob with other bytes than its name promises', async () => {
    const home = await folderForTest()
    await mkdir(join(home, 'source'))
    await writeFile(join(home, 'source/large'), new Uint8Array(5 << 20).fill(7))
    const source = `
      import { openBlobStore } from ${JSON.stringify(STORE)}
      import { randomBytes } from 'node:crypto'
      import { appendFileSync, writeFileSync } from 'node:fs'
      const [home] = process.argv.slice(1)
      const store = await openBlobStore(home)
      for (let round = 0; ; round++) {
        if (round === 1) console.log('working')
        appendFileSync(home + '/source/large', randomBytes(10))
        const bytes = Array.from({ length: 30 }, () => randomBytes(4096 + Math.random() * 100_000))
        await store.putAll([...bytes.slice(0, 15), ...bytes.slice(15).map((some) => Buffer.from(some.toString('hex'))), home + '/source/large'])
      }`
    for (let round = 0; round < 12; round++) await runAndKill(source, 10 + round * 23, [home])
    const paths = await blobsIn(home)
    const store = await openBlobStore(home)
    const digests = paths.map((path) =>
      path
        .replace(/\.zst$/, '')
        .slice(-65)
        .replace('/', ''),
    )
    for (const digest of digests) await store.read(digest)
    expect(new Set(digests).size).toBe(digests.length)
    const compressed = paths.filter((path) => path.endsWith('.zst'))
    expect([compressed.length > 10, paths.length - compressed.length > 10]).toEqual([true, true])
  })

  test('a file that is replaced is the old or the new one', async () => {
    const folder = await folderForTest()
    const path = join(folder, 'file')
    await writeFile(path, '0'.repeat(100_000))
    const source = `
      import { writeFileAtomically } from ${JSON.stringify(DURABLE)}
      console.log('working')
      for (let i = 0; ; i++) await writeFileAtomically(process.argv[1], String(i % 10).repeat(100_000 + i))`
    for (let round = 0; round < 12; round++) {
      await runAndKill(source, 5 + round * 17, [path])
      const text = await readFile(path, 'utf8')
      expect(text.length).toBeGreaterThanOrEqual(100_000)
      expect(text).toBe(text[0].repeat(text.length))
    }
  })

  test('outputs are old or new, and the next time finishes them', async () => {
    const folder = await folderForTest()
    const names = Array.from({ length: 300 }, (_, index) => `${index % 7}/${index}`)
    const source = `
      import { writeBack } from ${JSON.stringify(WRITE_BACK)}
      import { hash } from 'node:crypto'
      const [folder, from, to, list] = process.argv.slice(1)
      const names = list.split(',')
      const text = (name, version) => (name + version).repeat(3000)
      console.log('working')
      await writeBack({
        folder,
        outputs: names.map((path) => ({ path, sha256: hash('sha256', text(path, to)), lengthBytes: text(path, to).length, async *open() { yield Buffer.from(text(path, to)) } })),
        started: new Map(names.map((path) => [path, hash('sha256', text(path, from))])),
      })
      console.log('done')`
    const textOf = (name: string, version: string): string => (name + version).repeat(3000)
    for (const name of names) {
      await mkdir(join(folder, name, '..'), { recursive: true })
      await writeFile(join(folder, name), textOf(name, 'a'))
    }
    for (let round = 0; round < 10; round++) {
      await runAndKill(source, round * 15, [folder, 'a', 'b', names.join(',')])
      for (const name of names)
        expect([textOf(name, 'a'), textOf(name, 'b')]).toContain(await readFile(join(folder, name), 'utf8'))
    }
    await runAndKill(source, 60_000, [folder, 'a', 'b', names.join(',')])
    for (const name of names) expect(await readFile(join(folder, name), 'utf8')).toBe(textOf(name, 'b'))
  })
})

/** Runs a module with a small file system of its own at `folder`, seen by it alone. */
async function runOnSmallDisk(folder: string, source: string): Promise<string> {
  const script = 'mount -t tmpfs -o size=400k tmpfs "$0" && exec "$1" --input-type=module -e "$2" -- "$0"'
  const child = spawn('unshare', ['--map-root-user', '--mount', 'sh', '-c', script, folder, process.execPath, source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await once(child, 'close')
  return text
}

describe('on a full disk', () => {
  test.each([
    ['plain', 'randomBytes(600_000)'],
    ['compressed', "Buffer.from(randomBytes(600_000).toString('hex')).subarray(0, 1_100_000)"],
  ])('the store says so and keeps no half blob: %s', async (_, bytes) => {
    const answer = await runOnSmallDisk(
      await folderForTest(),
      `
      import { openBlobStore } from ${JSON.stringify(STORE)}
      import { randomBytes } from 'node:crypto'
      import { readdirSync } from 'node:fs'
      const [home] = process.argv.slice(1)
      const store = await openBlobStore(home)
      const kept = await store.putBytes(new Uint8Array(1000))
      const bytes = ${bytes}
      const error = await store.putBytes(bytes).catch((error) => error)
      await store.read(kept.sha256)
      const files = readdirSync(home + '/blobs/sha256', { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      console.log(JSON.stringify({ code: error.code, kind: error.kind, message: error.message.replaceAll(home, 'HOME').replace(bytes.length, 'ALL'), files: files.length }))`,
    )
    expect(JSON.parse(answer)).toEqual({
      code: 'DISK_FULL',
      files: 1,
      kind: 'failure',
      message: 'no space left to write ALL bytes to HOME/blobs/sha256',
    })
  })

  test('write-back changes nothing and leaves nothing behind', async () => {
    const answer = await runOnSmallDisk(
      await folderForTest(),
      `
      import { writeBack } from ${JSON.stringify(WRITE_BACK)}
      import { hash } from 'node:crypto'
      import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
      const [folder] = process.argv.slice(1)
      writeFileSync(folder + '/a', 'old')
      const output = (path, bytes) => ({ path, sha256: hash('sha256', bytes), lengthBytes: bytes.length, async *open() { yield bytes } })
      const outputs = [output('a', new Uint8Array(1000)), output('deep/b', new Uint8Array(600_000))]
      const error = await writeBack({ folder, outputs, started: new Map([['a', hash('sha256', 'old')]]) }).catch((error) => error)
      console.log(JSON.stringify({ a: readFileSync(folder + '/a', 'utf8'), code: error.code, message: error.message.replaceAll(folder, 'FOLDER'), names: readdirSync(folder) }))`,
    )
    expect(JSON.parse(answer)).toEqual({
      a: 'old',
      code: 'DISK_FULL',
      message: 'no space left to write the output b (600000 bytes; it stays in the store) to FOLDER/deep/b',
      names: ['a'],
    })
  })
})

test('5,000 files are stored and found again', async () => {
  const folder = await folderForTest()
  await mkdir(join(folder, 'files'))
  const paths = Array.from({ length: 5000 }, (_, index) => join(folder, 'files', `${index}`))
  await Promise.all(paths.map((path) => writeFile(path, path)))
  const store = await openBlobStore(folder)
  const refs = await store.putAll(paths)
  expect((await blobsIn(folder)).length).toBe(5000)
  const before = await stat(store.path(refs[0].sha256))
  expect(await store.putAll(paths)).toEqual(refs)
  expect((await stat(store.path(refs[0].sha256))).ctimeMs).toBe(before.ctimeMs)
})
