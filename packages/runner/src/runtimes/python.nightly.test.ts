/** CPython from its sources: the bytes that its lock names, twice; and what scripts find in it. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlobStore } from '../blobs/index.ts'
import { CASES } from '../machine/warm/python-cases.ts'
import { inMachine, warmAndCold, type Place } from '../machine/warm/python-check.ts'
import { buildRuntime, type BuildResult } from './build.ts'

const ROOT = resolve(import.meta.dirname, '../../../..')
/** Twelve minutes of a core on a quiet machine. */
const BUILD_MS = 3_600_000

let place: Place
let folder: string
let built: BuildResult

async function buildIn(home: string, sources?: string): Promise<BuildResult> {
  await mkdir(home, { recursive: true })
  return await buildRuntime({
    ...{ name: 'python', recipes: join(ROOT, 'runtimes'), home, components: undefined, jobs: 2, again: false },
    sources,
    installTools: async (packages) => {
      execFileSync('sh', [join(ROOT, 'tools', 'setup.sh'), 'runtime', ...packages], { stdio: 'inherit' })
    },
    signal: new AbortController().signal,
    onStep: () => {},
  })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reprise-python-'))
  const home = join(folder, 'home')
  built = await buildIn(home)
  place = { home, store: await openBlobStore(home) }
}, BUILD_MS)
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('the CPython that is built', () => {
  test('has the bytes of its lock', () => {
    expect(built.lock).toEqual({ kind: 'as-locked' })
  })

  test('has the same bytes when it is built again, in another folder', { timeout: BUILD_MS }, async () => {
    const again = await buildIn(join(folder, 'another', 'home'))
    expect(again.runtime.manifest).toEqual(built.runtime.manifest)
  })

  test.each(CASES)('does warm what it does cold: $name', async (one) => {
    const { warm, inWarm, inCold } = await warmAndCold(place, one)
    expect(warm.program.sha256).toBe(built.runtime.manifest.module.sha256)
    expect(warm.start?.kind).toBe('warm')
    expect(inWarm).toEqual(inCold)
  })

  test.each([
    ['zlib', 'import zlib; print(zlib.decompress(zlib.compress(b"x" * 9)))', "b'xxxxxxxxx'"],
    ['bz2', 'import bz2; print(bz2.decompress(bz2.compress(b"x" * 9)))', "b'xxxxxxxxx'"],
    ['lzma', 'import lzma; print(lzma.decompress(lzma.compress(b"x" * 9)))', "b'xxxxxxxxx'"],
    ['sqlite3', 'import sqlite3; print(sqlite3.connect("d").execute("select sqrt(16)").fetchall())', '[(4.0,)]'],
    ['decimal', 'import _decimal; print(_decimal.Decimal(1) / 3)', '0.3333333333333333333333333333'],
    ['hashlib', 'import hashlib; print(hashlib.blake2b(b"", digest_size=4).hexdigest())', '1271cf25'],
    ['asyncio', 'import asyncio; print(asyncio.run(asyncio.sleep(0.1, "slept")))', 'slept'],
    ['recursion', 'def f(n): return n and f(n - 1)\nprint(f(900))', '0'],
    [
      'ctypes',
      'try: import ctypes\nexcept ImportError as e: print(e)',
      'ctypes is not there: a WebAssembly module can',
    ],
    [
      'ssl',
      'try: import ssl\nexcept ImportError as e: print(e)',
      'ssl is not there: a deterministic machine has no network',
    ],
    ['sockets', 'import socket\ntry: socket.socket()\nexcept OSError as e: print(e)', 'sockets are not there'],
    ['names', 'import socket\ntry: socket.getaddrinfo("a", 1)\nexcept OSError as e: print(e)', 'sockets are not there'],
    [
      'threads',
      'import _thread\ntry: _thread.start_new_thread(print, ())\nexcept RuntimeError as e: print(e)',
      'one thread',
    ],
    [
      'processes',
      'import subprocess\ntry: subprocess.run(["ls"])\nexcept OSError as e: print(e)',
      'does not support processes',
    ],
  ])('has %s, or says why not', async (_, script, expected) => {
    const { inWarm } = await warmAndCold(place, { name: '', script })
    expect(inWarm.texts['/dev/stdout']).toContain(expected)
  })

  test.each([1000, 5000])('ends recursion %i deep through C in an exception of its own', async (limit) => {
    const script = `import sys
class Length:
    def __len__(self):
        return len(Length())
class Form:
    def __format__(self, _):
        return "{}".format(Form())
def sort(n):
    return sorted([n], key=lambda value: sort(value + 1))
def each(n):
    return list(map(each, [n + 1]))
def run(n):
    exec("run(n + 1)", globals(), {"n": n})
def delegate():
    yield from delegate()
sys.setrecursionlimit(${limit})
for attempt in (lambda: len(Length()), lambda: format(Form()), lambda: sort(0), lambda: each(0), lambda: run(0), lambda: next(delegate())):
    try:
        attempt()
    except RecursionError:
        print("caught")
`
    expect(await inMachine(place, { name: '', script })).toEqual({ end: 'exited 0', stdout: 'caught\n'.repeat(6) })
  })

  test('ends recursion through attributes in an exception of its own', async () => {
    const script = `class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x")
try:
    Deep().x
except RecursionError:
    print("caught")
`
    expect(await inMachine(place, { name: '', script })).toEqual({ end: 'exited 0', stdout: 'caught\n' })
  })
})
