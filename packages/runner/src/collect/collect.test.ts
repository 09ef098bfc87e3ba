import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openBlobStore } from '../blobs/index.ts'
import { runnerFolders } from '../home.ts'
import { collect, collectAmong, createRunCache, planCollection } from './index.ts'

const STORE = new URL('../blobs/store.ts', import.meta.url).href

async function homeForTest(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'reprise-collect-'))
  onTestFinished(() => rm(home, { force: true, recursive: true }))
  return home
}
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

interface OtherProcess extends AsyncDisposable {
  /** Of the one blob that it has put. */
  readonly sha256: string
}

/** Puts a blob and lives on until it is disposed of. */
async function otherProcess(home: string, text: string): Promise<OtherProcess> {
  const source = `
    import { openBlobStore } from ${JSON.stringify(STORE)}
    const [home, text] = process.argv.slice(1)
    const { sha256 } = await (await openBlobStore(home)).putBytes(new TextEncoder().encode(text))
    console.log(sha256)
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, '--', home, text], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    sha256: chunk.toString().trim(),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

const request = async (home: string) => ({ home, store: await openBlobStore(home), policy: {}, nowMs: Date.now() })

describe('collecting', () => {
  test('takes nothing that a living process has put, and all of it when that was killed', async () => {
    const home = await homeForTest()
    const store = await openBlobStore(home)
    let digest: string
    {
      await using other = await otherProcess(home, 'of the other')
      digest = other.sha256
      expect((await collect(await request(home))).blobs).toEqual([])
      expect((await store.find(digest))?.lengthBytes).toBe(12)
    }
    expect((await planCollection(await request(home))).blobs).toMatchObject([{ sha256: digest }])
    expect((await store.find(digest))?.lengthBytes).toBe(12)
    expect((await collect(await request(home))).blobs).toMatchObject([{ sha256: digest }])
    expect(await store.find(digest)).toBeUndefined()
    expect(await readdir(runnerFolders(home).pins)).toEqual([])
  })

  test('takes nothing that this process has asked for', async () => {
    const home = await homeForTest()
    let digest: string
    {
      await using other = await otherProcess(home, 'left behind')
      digest = other.sha256
    }
    const store = await openBlobStore(home)
    expect(await store.has(digest)).toBe(true)
    expect((await collect(await request(home))).blobs).toEqual([])
    expect(Buffer.from(await store.read(digest)).toString()).toBe('left behind')
  })

  test('lets whoever comes meanwhile wait, and then bring anew what it took', async () => {
    const home = await homeForTest()
    let digest: string
    {
      await using other = await otherProcess(home, 'wanted again')
      digest = other.sha256
    }
    const { lock, collecting } = runnerFolders(home)
    const store = await openBlobStore(home)
    // Another one that has found the blob unneeded before, and is about to delete it.
    const script = 'touch "$1"; echo marked; sleep 0.5; rm "$2"; rm "$1"'
    const child = spawn('flock', ['-x', lock, 'sh', '-c', script, 'sh', collecting, store.path(digest)])
    const exited = once(child, 'exit')
    await once(child.stdout, 'data')
    expect(await store.putBytes(bytesOf('wanted again'))).toMatchObject({ sha256: digest })
    expect(existsSync(collecting)).toBe(false)
    expect((await store.find(digest))?.lengthBytes).toBe(12)
    await exited
  })

  test('that was killed keeps nobody waiting', async () => {
    const home = await homeForTest()
    const store = await openBlobStore(home)
    await writeFile(runnerFolders(home).collecting, '')
    await store.putBytes(bytesOf('x'))
    expect(existsSync(runnerFolders(home).collecting)).toBe(false)
  })

  test('takes of this run what its journal names by now, and leaves what a later snapshot put', async () => {
    const home = await homeForTest()
    const store = await openBlobStore(home)
    const [old, both] = await store.at(1000n).putAll([bytesOf('old'), bytesOf('both')])
    const [later] = await store.at(2000n).putAll([bytesOf('later'), bytesOf('both')])
    const candidates = new Set([old, both, later].map(({ sha256 }) => sha256))
    expect(await collectAmong({ home, store, candidates, named: 1000n, cache: createRunCache() })).toBe(true)
    const there = await Promise.all([old, both, later].map(({ sha256 }) => store.find(sha256)))
    expect(there.map((blob) => blob !== undefined)).toEqual([false, true, true])
  })

  test('leaves temporary files while others are at work, unless they are a day old', async () => {
    const home = await homeForTest()
    const { blobs } = runnerFolders(home)
    await openBlobStore(home)
    const name = '.reprise-0123456789abcdef.tmp'
    await writeFile(join(blobs, name), 'half')
    {
      await using _other = await otherProcess(home, 'at work')
      expect((await collect(await request(home))).temporaries).toEqual([])
    }
    expect((await collect(await request(home))).temporaries).toHaveLength(1)
    expect(await readdir(blobs)).not.toContain(name)
  })
})
