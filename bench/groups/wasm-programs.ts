/** The programs that the machine is measured with: C kernels and language runtimes, a second or so each. */

import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { RUNTIMES } from '@reprise/runner'
import { readTar, type WasiFile, type WasiMount } from '@reprise/wasm'
import { benchProgram, languageFile } from '../../tools/compile-c.ts'

export interface BenchProgram {
  readonly module: () => Uint8Array<ArrayBuffer>
  readonly arguments: readonly string[]
  readonly environment: readonly (readonly [string, string])[]
  readonly mounts: () => readonly WasiMount[]
  /** The machine's own choice for programs of this size: wasm has no on-stack replacement. */
  readonly flags: readonly string[]
  /** The same work, some seconds of it: what happens once a run, the first and the last signature, weighs little then. */
  readonly longer: readonly string[]
  /** After `reprise run`, in a folder with `files`, with the longer arguments. */
  readonly command: readonly string[]
  readonly files: () => readonly WasiFile[]
}

function folder(files: readonly WasiFile[]): WasiMount {
  return { at: '/', writable: true, output: true, files }
}

/** @param args - Of a run of a second or less, and of a longer one. */
function kernel(name: string, args: { readonly short: string; readonly longer: string }): BenchProgram {
  const module = (): Uint8Array<ArrayBuffer> => benchProgram(name)
  return {
    module,
    arguments: [name, args.short],
    longer: [name, args.longer],
    environment: [],
    mounts: () => [folder([])],
    flags: ['--no-liftoff'],
    command: [`${name}.wasm`, args.longer],
    files: () => [{ path: `${name}.wasm`, bytes: module() }],
  }
}

function runtime(name: string, script: string | undefined, args: readonly string[] = []): BenchProgram {
  const found = RUNTIMES.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`there is no runtime ${name}`)
  const { library } = found
  const words = script === undefined ? args : [script, ...args]
  const files = (): readonly WasiFile[] =>
    script === undefined
      ? []
      : [{ path: script, bytes: readFileSync(new URL(`../programs/${script}`, import.meta.url)) }]
  return {
    module: () => new Uint8Array(readFileSync(languageFile(found.module))),
    arguments: [...found.argv, ...words],
    longer: [...found.argv, ...words],
    environment: Object.entries(found.environment),
    mounts: () => [
      folder(files()),
      ...(library === undefined
        ? []
        : [
            {
              at: library.at,
              writable: false,
              output: false,
              files: readTar(gunzipSync(readFileSync(languageFile(library.archive)))),
            },
          ]),
    ],
    flags: [],
    command: [name, ...words],
    files,
  }
}

const SQL = `with recursive n(i) as (select 1 union all select i + 1 from n where i < 1200000)
select count(*), sum(i * 7919 % 1009), group_concat(distinct i % 17) from n where i % 3 <> 0;`

export const programs: Readonly<Record<string, BenchProgram>> = {
  'floyd-warshall': kernel('floyd-warshall', { short: '3', longer: '16' }),
  gemm: kernel('gemm', { short: '2', longer: '16' }),
  'hash-table': kernel('hash-table', { short: '5000000', longer: '80000000' }),
  'jacobi-2d': kernel('jacobi-2d', { short: '100', longer: '900' }),
  nbody: kernel('nbody', { short: '200000', longer: '1200000' }),
  sha256: kernel('sha256', { short: '100', longer: '500' }),
  'small-writes': kernel('small-writes', { short: '1000000', longer: '10000000' }),
  sort: kernel('sort', { short: '3', longer: '16' }),
  python: runtime('python', 'words.py'),
  quickjs: runtime('qjs', 'objects.js'),
  sqlite: runtime('sqlite', undefined, [':memory:', SQL]),
}
export const quickPrograms = ['gemm', 'sort', 'quickjs']
/** Where floating point is the work. */
export const numericPrograms = ['gemm', 'jacobi-2d', 'nbody']
