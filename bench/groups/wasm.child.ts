/**
 * Runs one program once, in a process of its own: wasm has no on-stack replacement, so what ran before decides how fast
 * the next run is. Measured by wasm.ts and python.ts.
 *
 *     wasm.child.ts plain|fuel|canonical|leavable|resumed|asyncify|nodewasi NAME ROUNDS [MODULE]
 *
 * NAME is one of the catalog, or ID/SCRIPT: a script of `bench/programs` in a runtime that is installed below REPRISE_HOME.
 * All but the last have the same host functions; they differ in the module alone. `leavable` can be captured; `resumed`
 * is, half-way, and goes on in a fresh instance. `asyncify` runs the given module.
 */

import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { WASI } from 'node:wasi'
import { repriseHome } from '@reprise/host'
import {
  Continuations,
  createWasi,
  type Guest,
  MEMORY_LIMIT_PAGES_DEFAULT,
  rewrite,
  type RewriteOptions,
  runGuest,
  type Snapshot,
  STACK_LIMIT_SLOTS_DEFAULT,
  type WasiHost,
} from '@reprise/wasm'
import { findRuntime } from '../../packages/runner/src/runtimes/index.ts'
import { type Mark, ROUND } from '../marks.ts'
import { builtProgram } from '../programs/built.ts'
import { type Program, type ProgramName, programs, type Work } from '../programs/catalog.ts'

/** WASI preview 1, errno. */
const ENOSYS = 52

export interface RunAnswer {
  /** The guest's beginning, then the end of each round; rewriting does not count, compiling does. */
  readonly marks: readonly Mark[]
  /** Of the rounds, after which the guest went on in a fresh instance. */
  readonly resumedAfter?: number
}

const NEVER = 1n << 62n
/** The machine's own: how far the guest runs between two looks at whether it is to stop. */
const SLICE_FUEL = 1n << 26n

const marks: Mark[] = []
const mark = (): void => {
  const [thread, whole] = [process.threadCpuUsage(), process.cpuUsage()]
  marks.push({
    threadS: (thread.user + thread.system) / 1e6,
    processS: (whole.user + whole.system) / 1e6,
    wallS: performance.now() / 1000,
  })
}
const markRound = (bytes: Uint8Array): void => {
  if (Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, ROUND.length)).toString() === ROUND) mark()
}

function hostOf(work: Work, position: () => bigint): WasiHost {
  return createWasi({
    ...work,
    stdin: new Uint8Array(),
    clockStartNs: 0n,
    seed: 0n,
    position,
    sha256: (data) => hash('sha256', data, 'buffer'),
    onStream: (_, bytes) => markRound(bytes),
  })
}

function runPlain(work: Work, bytes: Uint8Array<ArrayBuffer>): void {
  const wasi = hostOf(work, () => 0n)
  mark()
  const module = new WebAssembly.Module(bytes)
  const imports: Record<string, WebAssembly.ModuleImports> = {}
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] = { ...imports[from], [name]: wasi.function(from, name) ?? (() => ENOSYS) }
  }
  const { memory, _start } = new WebAssembly.Instance(module, imports).exports
  wasi.bind(memory as WebAssembly.Memory)
  try {
    ;(_start as () => void)()
  } catch (error) {
    if (wasi.isExit(error) !== 0) throw error
  }
}

const OPTIONS = {
  floats: 'host',
  stackLimitSlots: STACK_LIMIT_SLOTS_DEFAULT,
  memoryLimitPages: MEMORY_LIMIT_PAGES_DEFAULT,
} as const satisfies RewriteOptions

/** @param captureAfter - Rounds; it is captured at the next poll then. */
function runRewritten(
  work: Work,
  bytes: Uint8Array<ArrayBuffer>,
  options: RewriteOptions,
  captureAfter = Number.POSITIVE_INFINITY,
): void {
  const rewritten = rewrite(bytes, options)
  const continuations = options.capture === true ? new Continuations(() => bytes, options) : undefined
  let guest: Guest | undefined
  let from: Snapshot | undefined
  const wasi = hostOf(work, () => guest?.position() ?? 0n)
  mark()
  const module = new WebAssembly.Module(rewritten.bytes)
  for (;;) {
    const end = runGuest({
      module,
      facts: rewritten.facts,
      hostImport: (moduleName, name) => wasi.function(moduleName, name),
      isExit: (thrown) => wasi.isExit(thrown),
      nextDue: () => (continuations === undefined ? NEVER : (guest?.position() ?? 0n) + SLICE_FUEL),
      onReady(ready) {
        guest = ready
        wasi.bind({
          get buffer() {
            return ready.memory().buffer
          },
        })
      },
      onStop: () => (from === undefined && marks.length > captureAfter ? 'capture' : 'go'),
      onCapture(activations, left) {
        from = { activations, memory: left.memory().slice(), globals: left.globals(), position: left.position() }
        return 'suspend'
      },
      ...(continuations !== undefined && { continuations }),
      ...(from !== undefined && { from }),
    })
    if (end.kind === 'suspended') continue
    if (end.kind !== 'exited' || end.code !== 0) throw new Error(`the program ended otherwise: ${end.kind}`)
    return
  }
}

/** A program under the WASI of Node itself, with the same files in a real folder, and its output nowhere. */
function runNodeWasi({ arguments: args, environment, mounts }: Work, bytes: Uint8Array<ArrayBuffer>): void {
  const root = mkdtempSync(join(tmpdir(), 'reprise-bench-'))
  try {
    for (const { at, files } of mounts) {
      for (const { path, bytes: content } of files) {
        const target = join(root, at, path)
        mkdirSync(dirname(target), { recursive: true })
        writeFileSync(target, content instanceof Uint8Array ? content : content.read())
      }
    }
    const none = openSync('/dev/null', 'w')
    mark()
    const module = new WebAssembly.Module(bytes)
    const isOld = WebAssembly.Module.imports(module).some(({ module: from }) => from === 'wasi_unstable')
    const wasi = new WASI({
      version: isOld ? 'unstable' : 'preview1',
      args: [...args],
      env: { LANG: 'C', ...Object.fromEntries(environment) },
      // An older libc looks for relative paths below a folder of that name alone.
      preopens: { '/': root, '.': root },
      stdout: none,
      stderr: none,
      returnOnExit: true,
    })
    let memory = new WebAssembly.Memory({ initial: 0 })
    const host = wasi.wasiImport as Record<string, (...values: number[]) => number>
    const functions = {
      ...host,
      fd_write(...values: number[]) {
        const [, list, count] = values
        const view = new DataView(memory.buffer)
        // musl's first piece is what its buffer held, perhaps nothing.
        for (let at = list; at < list + 8 * count; at += 8) {
          const [start, length] = [view.getUint32(at, true), view.getUint32(at + 4, true)]
          if (length === 0) continue
          markRound(new Uint8Array(memory.buffer, start, length))
          break
        }
        return host['fd_write'](...values)
      },
    }
    const imports: WebAssembly.Imports = { wasi_snapshot_preview1: functions, wasi_unstable: functions }
    // Such as the sockets of some runtimes: there, and not used.
    for (const { module: from, name } of WebAssembly.Module.imports(module))
      imports[from] = { [name]: () => ENOSYS, ...imports[from] }
    const instance = new WebAssembly.Instance(module, imports)
    memory = instance.exports['memory'] as WebAssembly.Memory
    if (wasi.start(instance) !== 0) throw new Error('the program ended otherwise')
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

async function programOf(name: string): Promise<Pick<Program, 'module' | 'work'>> {
  const [runtime, script] = name.split('/')
  if (script === undefined) return programs[name as ProgramName]
  return builtProgram(await findRuntime(repriseHome(), runtime), script)
}

async function run(mode: string, name: string, rounds: number, modulePath: string | undefined): Promise<RunAnswer> {
  const program = await programOf(name)
  const work = program.work(rounds)
  const bytes = modulePath === undefined ? program.module() : new Uint8Array(readFileSync(modulePath))
  if (mode === 'plain' || mode === 'asyncify') runPlain(work, bytes)
  else if (mode === 'nodewasi') runNodeWasi(work, bytes)
  else if (mode === 'fuel') runRewritten(work, bytes, OPTIONS)
  else if (mode === 'canonical') runRewritten(work, bytes, { ...OPTIONS, floats: 'canonical' })
  else if (mode === 'leavable') runRewritten(work, bytes, { ...OPTIONS, capture: true })
  else if (mode === 'resumed') {
    const resumedAfter = Math.trunc(rounds / 2)
    runRewritten(work, bytes, { ...OPTIONS, capture: true }, resumedAfter)
    return { marks, resumedAfter }
  } else throw new Error(`there is no mode ${mode}`)
  return { marks }
}

const [mode, name, rounds, modulePath] = process.argv.slice(2)
process.stdout.write(JSON.stringify(await run(mode, name, Number(rounds), modulePath)))
