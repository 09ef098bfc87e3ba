/**
 * Runs one program once, in a process of its own: wasm has no on-stack replacement, so what ran before decides how fast
 * the next run is. Measured by wasm.ts.
 *
 *     wasm.child.ts plain|fuel|canonical|nodewasi NAME [longer]
 *
 * `plain` and the rewritten ones have the same host functions; they differ in the module alone.
 */

import { hash } from 'node:crypto'
import { openSync } from 'node:fs'
import { WASI } from 'node:wasi'
import {
  createWasi,
  type Guest,
  MEMORY_LIMIT_PAGES_DEFAULT,
  rewrite,
  runGuest,
  STACK_LIMIT_SLOTS_DEFAULT,
  type WasiHost,
} from '@reprise/wasm'
import { type BenchProgram, programs } from './wasm-programs.ts'

export interface RunAnswer {
  /** CPU time of the guest, the compiler's threads among it: unlike wall time it hardly minds who else is busy. */
  readonly cpuS: number
  readonly wallS: number
  readonly outputBytes: number
}

const NEVER = 1n << 62n

/** Set right before the guest's first instruction: rewriting and instantiation do not count. */
let before = { cpu: process.cpuUsage(), wallMs: performance.now() }
const begin = (): void => {
  before = { cpu: process.cpuUsage(), wallMs: performance.now() }
}

function hostOf(program: BenchProgram, position: () => bigint): WasiHost {
  return createWasi({
    arguments: program.arguments,
    environment: program.environment,
    stdin: new Uint8Array(),
    mounts: program.mounts(),
    clockStartNs: 0n,
    seed: 0n,
    position,
    sha256: (data) => hash('sha256', data, 'buffer'),
  })
}

function runPlain(program: BenchProgram): Pick<RunAnswer, 'outputBytes'> {
  const wasi = hostOf(program, () => 0n)
  const module = new WebAssembly.Module(program.module())
  const imports: Record<string, WebAssembly.ModuleImports> = {}
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] = { ...imports[from], [name]: wasi.function(from, name) as WebAssembly.ImportValue }
  }
  const instance = new WebAssembly.Instance(module, imports)
  const { memory, _start } = instance.exports
  wasi.bind(memory as WebAssembly.Memory)
  begin()
  try {
    ;(_start as () => void)()
  } catch (error) {
    if (wasi.isExit(error) !== 0) throw error
  }
  return { outputBytes: outputBytesOf(wasi) }
}

function runRewritten(program: BenchProgram, floats: 'canonical' | 'host'): Pick<RunAnswer, 'outputBytes'> {
  const rewritten = rewrite(program.module(), {
    floats,
    stackLimitSlots: STACK_LIMIT_SLOTS_DEFAULT,
    memoryLimitPages: MEMORY_LIMIT_PAGES_DEFAULT,
  })
  let guest: Guest | undefined
  const wasi = hostOf(program, () => guest?.position() ?? 0n)
  const end = runGuest({
    module: new WebAssembly.Module(rewritten.bytes),
    facts: rewritten.facts,
    hostImport: (from, name) => wasi.function(from, name),
    isExit: (thrown) => wasi.isExit(thrown),
    nextDue: () => NEVER,
    onReady(ready) {
      guest = ready
      wasi.bind({
        get buffer() {
          return ready.memory().buffer
        },
      })
      begin()
    },
    onStop: () => 'go',
  })
  if (end.kind !== 'exited' || end.code !== 0)
    throw new Error(`the program ended otherwise: ${JSON.stringify(end.kind)}`)
  return { outputBytes: outputBytesOf(wasi) }
}

function outputBytesOf(wasi: WasiHost): number {
  return wasi.outputs().reduce((sum, output) => sum + output.read().length, 0)
}

function runNodeWasi(program: BenchProgram): Pick<RunAnswer, 'outputBytes'> {
  const stdout = openSync('/dev/null', 'w')
  const wasi = new WASI({
    version: 'preview1',
    args: [...program.arguments],
    env: { LANG: 'C' },
    stdout,
    returnOnExit: true,
  })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(program.module()), {
    wasi_snapshot_preview1: wasi.wasiImport as WebAssembly.ModuleImports,
    wasi_unstable: wasi.wasiImport as WebAssembly.ModuleImports,
  })
  begin()
  if (wasi.start(instance) !== 0) throw new Error('the program ended otherwise')
  return { outputBytes: 0 }
}

const [mode, name, length] = process.argv.slice(2)
const chosen = programs[name]
const program = length === 'longer' ? { ...chosen, arguments: chosen.longer } : chosen
const answer =
  mode === 'plain'
    ? runPlain(program)
    : mode === 'nodewasi'
      ? runNodeWasi(program)
      : runRewritten(program, mode === 'canonical' ? 'canonical' : 'host')
const wallS = (performance.now() - before.wallMs) / 1000
const { user, system } = process.cpuUsage(before.cpu)
process.stdout.write(JSON.stringify({ cpuS: (user + system) / 1e6, wallS, ...answer } satisfies RunAnswer))
