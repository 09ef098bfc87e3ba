import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { WasmError } from './error.ts'
import { type Guest, runGuest, type Stop } from './machine.ts'
import { rewrite, type RewriteOptions } from './passes/rewrite.ts'

interface Expected {
  readonly options: RewriteOptions
  readonly stepFuel?: string
  readonly stops?: unknown
  readonly end?: object
  readonly globals?: readonly string[]
  readonly error?: object
}

const folder = resolve(import.meta.dirname, '../../../vectors/wasm')
const cases = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())

test.each(cases.map(({ name }) => name))('vector %s', (name) => {
  const bytes = new Uint8Array(readFileSync(resolve(folder, name, 'input.wasm')))
  const expected = JSON.parse(readFileSync(resolve(folder, name, 'expected.json'), 'utf8')) as Expected
  if (expected.error !== undefined) {
    expect(name).toMatch(/_fail$/)
    let thrown: unknown
    try {
      rewrite(bytes, expected.options)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(WasmError)
    expect(thrown).toMatchObject(expected.error)
    return
  }
  expect(WebAssembly.validate(bytes)).toBe(true)
  const rewritten = rewrite(bytes, expected.options)
  const stops: Stop[] = []
  let guest: Guest | undefined
  const end = runGuest({
    module: new WebAssembly.Module(rewritten.bytes),
    facts: rewritten.facts,
    hostImport: () => undefined,
    nextDue: () => (stops.at(-1)?.position ?? 0n) + BigInt(expected.stepFuel ?? 0),
    onReady: (ready) => (guest = ready),
    onStop: (stop) => (stops.push(stop), 'go'),
    isExit: () => undefined,
  })
  const plain = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part)))
  expect(plain(stops)).toEqual(expected.stops)
  expect(plain(end)).toMatchObject(expected.end ?? {})
  if (expected.globals === undefined) return
  expect(guest?.globals().map(({ bits }) => `0x${bits.toString(16)}`)).toEqual(expected.globals)
})
