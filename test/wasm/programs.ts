/** The programs of bench/programs under the deterministic host alone, without threads, store and signatures. */

import { createHash } from 'node:crypto'
import { hex, utf8 } from '@reprise/core'
import { type ProgramName, programNames, programs, type Work } from '../../bench/programs/catalog.ts'
import { createWasi, type WasiHost } from '../../packages/wasm/src/wasi/index.ts'

export const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

export interface Program {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly work: Pick<Work, 'arguments' | 'environment' | 'mounts'>
}

export interface Result {
  readonly exit: number
  readonly outputs: Readonly<Record<string, string>>
  readonly state: string
}

/** The largest take a minute here, and are run, killed and gone on with by test/command/kill-runtimes.slow.test.ts. */
const AT_NIGHT: readonly ProgramName[] = ['clang', 'lua', 'php', 'ruby', 'wasm-ld']
export const isNight = process.env['REPRISE_TESTS'] === 'nightly'
export const programsOfTier = programNames.filter((name) => isNight || !AT_NIGHT.includes(name))

const modules = new Map<ProgramName, Uint8Array<ArrayBuffer>>()

/** A program with the work that tests give it, by day half of it; its bytes are the same ones each time. */
export function program(name: ProgramName): Program {
  const { module, work, testRounds } = programs[name]
  const bytes = modules.get(name) ?? module()
  modules.set(name, bytes)
  return { bytes, work: work(isNight ? testRounds : Math.ceil(testRounds / 2)) }
}

/** A language runtime with a script of the test's own. */
export function withScript(name: 'php' | 'python' | 'quickjs' | 'ruby', script: string): Program {
  const { bytes, work } = program(name)
  const [folder, ...libraries] = work.mounts
  const files = folder.files.map(({ path }) => ({ path, bytes: utf8(script) }))
  return { bytes, work: { ...work, mounts: [{ ...folder, files }, ...libraries] } }
}

/** A host whose clock advances per call: the same for the plain and the rewritten program. */
export function host({ work }: Program): {
  wasi: WasiHost
  call: (from: string, name: string) => WasiCall | undefined
} {
  let calls = 0n
  const wasi = createWasi({
    arguments: work.arguments,
    environment: work.environment,
    stdin: new Uint8Array(),
    mounts: work.mounts,
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

export type WasiCall = (...values: (number | bigint)[]) => number

export function resultOf(wasi: WasiHost, exit: number): Result {
  const outputs = wasi.outputs().map(({ path, read }) => [path, Buffer.from(read()).toString('latin1')] as const)
  return { exit, outputs: Object.fromEntries(outputs), state: hex(sha256(wasi.encodeState())) }
}
