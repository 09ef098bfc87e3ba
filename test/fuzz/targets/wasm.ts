/** Programs, changed as bytes: the reader, the rules and the rewriter of `wasm` between the module and the engine. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { rewrite, runGuest, WasmError, type Guest, type GuestStop } from '@reprise/wasm'
import { generate } from '../../../packages/wasm/src/passes/generator.ts'
import { mutateBytes } from '../mutate.ts'
import { pick, type Random } from '../random.ts'
import { unlessRefused, type FuzzTarget } from '../target.ts'

const LIMITS = { stackLimitSlots: 1 << 14, memoryLimitPages: 16 }
const PAGE_BYTES = 65_536
/** Some milliseconds. A changed program may loop for ever: as it is, it only runs when it ended within this. */
const FUEL_MAX = 2_000_000n

const folder = resolve(import.meta.dirname, '../../../vectors/wasm')

function readVectors(): Uint8Array[] {
  return readdirSync(folder)
    .filter((name) => name !== 'README.md')
    .map((name) => new Uint8Array(readFileSync(resolve(folder, name, 'input.wasm'))))
}

/** A program of its own for each input; now and then one of the vectors. */
function programOf(random: Random, vectors: readonly Uint8Array[]): Uint8Array {
  if (random(6) === 0) return pick(random, vectors)
  const language = pick(random, [undefined, 'legacy', 'exnref'] as const)
  return generate(random(0x7fffffff), { canonicalSinks: true, signs: true, ...(language && { language }) })
}

interface End {
  readonly end: string
  readonly memory: Uint8Array
}

export const wasmModules: FuzzTarget = {
  name: 'wasm-module',
  claim:
    'a changed program is refused with WasmError, or is valid and computes the same before and after it is rewritten',
  byDay: 1500,
  prepare() {
    const vectors = readVectors()
    return Promise.resolve((random) => {
      const program = programOf(random, vectors)
      const bytes = new Uint8Array(mutateBytes(random, program, [...vectors, program]))
      const rewritten = unlessRefused(WasmError, () => rewrite(bytes, { floats: 'host', ...LIMITS }))
      if (rewritten === undefined) return
      const isValid = WebAssembly.validate(bytes)
      strictEqual(
        WebAssembly.validate(rewritten.bytes),
        isValid,
        `the program is ${isValid ? '' : 'not '}valid, rewritten it is other`,
      )
      if (!isValid) return
      const got = unlessRefused(WasmError, () => runRewritten(rewritten))
      // What the machine limits, an engine alone does not.
      if (got === undefined || isOfMachine(got.stop)) return
      const plain = runPlain(bytes)
      if (plain === undefined) return
      strictEqual(got.stop.kind === 'trapped' ? got.stop.message : got.stop.kind, plain.end)
      deepStrictEqual(Buffer.from(got.memory), Buffer.from(plain.memory))
    })
  },
}

function runRewritten({ bytes, facts }: ReturnType<typeof rewrite>): {
  readonly stop: GuestStop
  readonly memory: Uint8Array
} {
  let guest: Guest | undefined
  const stop = runGuest({
    module: new WebAssembly.Module(bytes),
    facts,
    hostImport: () => undefined,
    nextDue: () => FUEL_MAX,
    onReady: (ready) => (guest = ready),
    onStop: () => 'suspend',
    isExit: () => undefined,
  })
  return { stop, memory: guest?.memory() ?? new Uint8Array() }
}

function isOfMachine(stop: GuestStop): boolean {
  return stop.kind === 'suspended' || (stop.kind === 'trapped' && stop.reason === 'stack-exhausted')
}

/** @returns Undefined for what cannot be compared: imports that nobody gives, more memory than the machine allows. */
function runPlain(bytes: Uint8Array<ArrayBuffer>): End | undefined {
  const module = new WebAssembly.Module(bytes)
  if (WebAssembly.Module.imports(module).length > 0) return undefined
  let exports: WebAssembly.Exports = {}
  let end = 'exited'
  try {
    exports = new WebAssembly.Instance(module).exports
    ;(exports['_start'] as () => void)()
  } catch (error) {
    if (error instanceof RangeError) return undefined
    end = error instanceof WebAssembly.Exception ? 'an exception that nothing catches' : (error as Error).message
  }
  const memory = exports['memory']
  if (!(memory instanceof WebAssembly.Memory)) return undefined
  if (memory.buffer.byteLength > LIMITS.memoryLimitPages * PAGE_BYTES) return undefined
  return { end, memory: new Uint8Array(memory.buffer) }
}
