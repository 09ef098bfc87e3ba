import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fromHex, hex, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import type { Abi } from './abi.ts'
import { startGuest } from './test-guest.ts'

/** `vectors/wasi/<case>/input.json`; the position at call i of a run is 16 i, a nanosecond each. */
interface Input {
  readonly module: Abi['module']
  readonly arguments: readonly string[]
  readonly environment: readonly (readonly [string, string])[]
  readonly stdin: string
  /** The host goes on from here, and these calls were before. */
  readonly saved?: Saved & { readonly calls: number }
  readonly clock: string
  readonly seed: string
  readonly mounts: readonly {
    readonly at: string
    readonly writable: boolean
    readonly output: boolean
    readonly files: readonly { readonly path: string; readonly text: string }[]
  }[]
  /** `memory` is written before the call; i64 parameters are strings. */
  readonly calls: readonly {
    readonly memory?: Readonly<Record<string, string>>
    readonly call: string
    readonly parameters: readonly (number | string)[]
  }[]
}

interface Saved {
  readonly bytes: string
  readonly contents: readonly string[]
}

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
const folder = resolve(import.meta.dirname, '../../../../vectors/wasi')

function answersTo(input: Input): unknown {
  const before = input.saved?.calls ?? 0
  let position = 16n * BigInt(before)
  const { wasi, guest } = startGuest(
    {
      arguments: input.arguments,
      environment: input.environment,
      stdin: utf8(input.stdin),
      mounts: input.mounts.map((mount) => ({
        ...mount,
        files: mount.files.map(({ path, text }) => ({ path, bytes: utf8(text) })),
      })),
      clockStartNs: BigInt(input.clock),
      seed: BigInt(input.seed),
      position: () => position,
      sha256,
      saved: input.saved && { bytes: fromHex(input.saved.bytes), contents: input.saved.contents.map(fromHex) },
    },
    input.module,
  )
  const errnos = input.calls.map(({ memory, call, parameters }, index) => {
    position = 16n * BigInt(before + index)
    for (const [at, bytes] of Object.entries(memory ?? {})) guest.put(Number(at), fromHex(bytes))
    return guest.call(call, ...parameters.map((value) => (typeof value === 'string' ? BigInt(value) : value)))
  })
  const { bytes, contents } = wasi.save()
  const saved: Saved = { bytes: hex(bytes), contents: contents.map(hex) }
  return {
    errnos,
    memory: hex(sha256(new Uint8Array(guest.memory.buffer))),
    outputs: wasi.outputs().map(({ path, lengthBytes, read }) => ({ path, lengthBytes, sha256: hex(sha256(read())) })),
    outputsRoot: hex(wasi.outputsRoot()),
    removed: wasi.removed(),
    saved,
    state: hex(wasi.encodeState()),
  }
}

describe('vectors/wasi', () => {
  const cases = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  test.each(cases.map(({ name }) => name))('%s', (name) => {
    const read = (file: string): unknown => JSON.parse(readFileSync(join(folder, name, file), 'utf8'))
    expect(answersTo(read('input.json') as Input)).toEqual(read('expected.json'))
  })
})
