/**
 * Real programs, for tests and benchmarks alike: C kernels, language runtimes and compilers. A program does its work in
 * equal rounds and writes a line that begins with `round ` at the end of each.
 */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { RUNTIMES } from '@reprise/runner'
import { readTar, type ArchiveFile, type WasiMount } from '@reprise/wasm'
import { benchProgram, clangOptions, languageFile, linkOptions } from '../../tools/compile-c.ts'
import { luaIncluded, luaObject, luaProgram } from './lua.ts'

export interface Program {
  readonly kind: 'kernel' | 'interpreter' | 'compiler'
  readonly module: () => Uint8Array<ArrayBuffer>
  readonly work: (rounds: number) => Work
  /** For tests: some tenths of a second. */
  readonly testRounds: number
}

/** One run of a program. */
export interface Work {
  /** The program's name among them. */
  readonly arguments: readonly string[]
  readonly environment: readonly (readonly [string, string])[]
  readonly mounts: readonly WasiMount[]
  /** After `reprise run`, in a folder that holds `files`. */
  readonly command: readonly string[]
  readonly files: readonly ArchiveFile[]
}

/** A file beside this one. */
export const source = (name: string): ArchiveFile => ({
  path: name,
  bytes: new Uint8Array(readFileSync(new URL(name, import.meta.url))),
})

/** A module of its own, beside its files. */
function own(
  name: string,
  parts: Pick<Program, 'kind' | 'module' | 'testRounds'> & {
    readonly args: (rounds: number) => readonly string[]
    readonly files?: () => readonly ArchiveFile[]
  },
): Program {
  const { kind, module, testRounds, args, files = () => [] } = parts
  const work = (rounds: number): Work => ({
    arguments: [name, ...args(rounds)],
    environment: [],
    mounts: [{ at: '/', writable: true, output: true, files: files() }],
    command: [`${name}.wasm`, ...args(rounds)],
    files: [...files(), { path: `${name}.wasm`, bytes: module() }],
  })
  return { kind, module, testRounds, work }
}

function kernel(name: string, testRounds: number, more: readonly string[] = []): Program {
  const args = (rounds: number): readonly string[] => [String(rounds), ...more]
  return own(name, { kind: 'kernel', module: () => benchProgram(name), testRounds, args })
}

function runtime(name: string, testRounds: number, script: string | ((rounds: number) => readonly string[])): Program {
  const found = RUNTIMES.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`there is no runtime ${name}`)
  const { library, argv, environment } = found
  const files = typeof script === 'string' ? [source(script)] : []
  const libraries = (): readonly WasiMount[] => {
    if (library === undefined) return []
    const archived = readTar(gunzipSync(readFileSync(languageFile(library.archive))))
    return [{ at: library.at, writable: false, output: false, files: archived }]
  }
  const work = (rounds: number): Work => {
    const words = typeof script === 'string' ? [script, String(rounds)] : script(rounds)
    return {
      arguments: [...argv, ...words],
      environment: Object.entries(environment),
      mounts: [{ at: '/', writable: true, output: true, files }, ...libraries()],
      command: [name, ...words],
      files,
    }
  }
  const module = (): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(languageFile(found.module)))
  return { kind: 'interpreter', module, testRounds, work }
}

/** The shell writes to stderr at once, and to stdout when there is much. */
const SQL = [
  '.output stderr',
  'create table t(a integer primary key, b int, c text);',
  `with recursive n(i) as (select 1 union all select i + 1 from n where i < 8000)
insert into t select i, i * 7919 % 10007, 'row' || i from n;`,
  'create index tb on t(b);',
]
const sqlRound = (round: number): string => `update t set b = (b * 31 + ${round}) % 10007 where a % 4 = 0;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 120000)
select 'round ${round}', count(*), sum(i * 7919 % 1009), (select sum(x.b * y.a) from t x join t y on x.b = y.b) from n where i % 3 <> 0;`
const sqlRounds = (rounds: number): string[] => Array.from({ length: rounds }, (_, i) => sqlRound(i))

/** The C library of the compiler, in the folder `sys`. */
const systemFiles = (): readonly ArchiveFile[] => readTar(gunzipSync(readFileSync(languageFile('clang-fs.tar.gz'))))

/** A compiler has no rounds: one is sort.c, more are all of Lua. */
const clang = own('clang', {
  kind: 'compiler',
  module: () => new Uint8Array(readFileSync(languageFile('clang.wasm'))),
  testRounds: 1,
  args: (rounds) => [...clangOptions('/sys'), '-I/', '-o', 'out.o', rounds === 1 ? 'sort.c' : 'lua.c'],
  files: () => [...systemFiles(), ...luaIncluded(), source('lua.c'), source('sort.c')],
})

const linker = own('wasm-ld', {
  kind: 'compiler',
  module: () => new Uint8Array(readFileSync(languageFile('wasm-ld.wasm'))),
  testRounds: 1,
  args: () => [...linkOptions('/sys'), 'lua.o', '-lc', '-lm', '-o', 'out.wasm'],
  files: () => [...systemFiles(), { path: 'lua.o', bytes: luaObject() }],
})

export const programs = {
  'floyd-warshall': kernel('floyd-warshall', 3),
  gemm: kernel('gemm', 3),
  'hash-table': kernel('hash-table', 4, ['16']),
  'jacobi-2d': kernel('jacobi-2d', 2),
  nbody: kernel('nbody', 3),
  sha256: kernel('sha256', 2),
  'small-writes': kernel('small-writes', 3),
  sort: kernel('sort', 2),
  lua: own('lua', {
    kind: 'interpreter',
    module: luaProgram,
    testRounds: 4,
    args: (rounds) => ['tables.lua', String(rounds)],
    files: () => [source('tables.lua')],
  }),
  php: runtime('php', 4, 'arrays.php'),
  python: runtime('python', 4, 'words.py'),
  quickjs: runtime('qjs', 4, 'objects.js'),
  ruby: runtime('ruby', 3, 'queens.rb'),
  sqlite: runtime('sqlite', 4, (rounds) => [':memory:', ...SQL, ...sqlRounds(rounds)]),
  clang,
  'wasm-ld': linker,
} as const satisfies Record<string, Program>

export type ProgramName = keyof typeof programs
export const programNames = Object.keys(programs) as ProgramName[]
