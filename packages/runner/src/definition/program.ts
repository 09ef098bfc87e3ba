/** What PROGRAM on the command line, or `program` in computation.yaml, is. */
import { open, stat } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { readFailure, RunnerError, systemCode } from '../error.ts'
import { shellWord } from './paths.ts'
import { runtimeNames } from './runtime-files.ts'

export type Program =
  | { readonly kind: 'module'; readonly path: string }
  | { readonly kind: 'runtime'; readonly name: string }
  | { readonly kind: 'yaml'; readonly path: string }

const RUNTIME_BY_EXTENSION: Readonly<Record<string, string>> = {
  '.cjs': 'qjs',
  '.js': 'qjs',
  '.lua': 'lua',
  '.mjs': 'qjs',
  '.php': 'php',
  '.py': 'python',
  '.rb': 'ruby',
}

/** What the native programs are called. */
export const OTHER_NAMES: Readonly<Record<string, string>> = {
  'lua5.4': 'lua',
  node: 'qjs',
  python3: 'python',
  quickjs: 'qjs',
  sqlite3: 'sqlite',
}

export interface ProgramNames {
  readonly folder: string
  readonly runtimes: readonly string[]
  readonly recipes: () => Promise<readonly string[]>
}

/**
 * A runtime's name means the runtime, even when a file is called so; `./python` is the file.
 *
 * @param place.folder - Relative paths are below it.
 * @param place.runtimes - The names of all runtimes that are here.
 * @param place.recipes - Those of all that can be built.
 * @throws RunnerError `PROGRAM_UNKNOWN`, `RUNTIME_UNKNOWN`, `INPUT_MISSING`, `INPUT_UNREADABLE`.
 */
export async function detectProgram(
  word: string,
  rest: readonly string[],
  { folder, runtimes, recipes }: ProgramNames,
): Promise<Program> {
  if (runtimes.includes(word)) return { kind: 'runtime', name: word }
  const path = resolve(folder, word)
  const head = await headOf(path)
  const commandLine = ['reprise', 'run', word, ...rest]
  const runtime = RUNTIME_BY_EXTENSION[extname(word)]
  if (head === 'missing') {
    if ((await recipes()).includes(word))
      throw new RunnerError('RUNTIME_UNKNOWN', {
        message: `the runtime ${word} was not built on this machine`,
        hint: `reprise runtime build ${word}, or import it: reprise runtime import FILE`,
      })
    const other = Object.hasOwn(OTHER_NAMES, word) ? OTHER_NAMES[word] : undefined
    if (other) throw unknown(`no runtime ${word}`, other, commandLine.with(2, other))
    if (runtime || extname(word) !== '' || word.includes('/'))
      throw readFailure(Object.assign(new Error(), { code: 'ENOENT' }), path)
    throw unknown(`no program ${word}`)
  }
  if (head === 'folder') throw unknown(`${path} is a folder`)
  if (/\.ya?ml$/.test(word)) return { kind: 'yaml', path }
  if (startsWith(head, [0x00, 0x61, 0x73, 0x6d])) {
    if (startsWith(head.subarray(4), [0x01, 0x00, 0x00, 0x00])) return { kind: 'module', path }
    throw new RunnerError('PROGRAM_UNKNOWN', {
      message: `${path} is a WebAssembly component or of another version, not a core module of version 1`,
      hint: 'build it for wasm32-wasip1 (WASI preview 1)',
    })
  }
  if (runtime) throw unknown(`${path} is a script`, runtime, commandLine.toSpliced(2, 0, runtime))
  if (word.endsWith('.wasm')) throw unknown(`${path} does not start as a WebAssembly module does`)
  if (startsWith(head, [0x7f, 0x45, 0x4c, 0x46]))
    throw unknown(`${path} is a program for this machine, not for WebAssembly; build it for wasm32-wasip1`)
  throw unknown(`${path} is nothing that can be run`)
}

function unknown(what: string, runtime?: string, commandLine: readonly string[] = []): RunnerError {
  return new RunnerError('PROGRAM_UNKNOWN', {
    message: what,
    hint: runtime
      ? commandLine.map(shellWord).join(' ')
      : `give a .wasm command module, ${runtimeNames.join(', ')} with a script or arguments, or a computation.yaml`,
  })
}

async function headOf(path: string): Promise<Uint8Array | 'missing' | 'folder'> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) return 'folder'
    if (!found.isFile())
      throw new RunnerError('INPUT_UNREADABLE', { message: `${path} is not a regular file`, hint: 'copy it to one' })
    const file = await open(path, 'r')
    try {
      const { buffer, bytesRead } = await file.read(new Uint8Array(8), 0, 8, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return 'missing'
    throw error instanceof RunnerError ? error : readFailure(error, path)
  }
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, index) => bytes[index] === byte)
}

/** The last name without its extension: what a record is called after. */
export function stemOf(path: string): string {
  return basename(path, extname(path))
}
