/** Two computations that differ in what a test says, as probes side by side; and small modules to run in them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBlobStore } from '../../packages/runner/src/blobs/index.ts'
import { defineCommand, type Flags } from '../../packages/runner/src/definition/index.ts'
import { both, type Pair } from '../../packages/runner/src/difference/steps.ts'
import { startProbe, type Mark, type Probe } from '../../packages/runner/src/machine/index.ts'
import { blobPaths } from '../../packages/runner/src/run/index.ts'
import { assemble, signed, type AssembledModule } from '../../packages/wasm/src/module/assembler.ts'
import { compiledProgram } from '../../tools/compile-c.ts'

export interface Given {
  readonly files: Readonly<Record<string, string | Uint8Array>>
  readonly command: readonly string[]
  readonly flags?: Flags
}

/** Its folder, and all that was started in it, go with it. */
export class Bench implements AsyncDisposable {
  readonly home: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'reprise-difference-'))
  readonly #probes: Probe[] = []
  #count = 0

  constructor() {
    this.home = join(this.#folder, 'home')
  }

  async pair(a: Given, b: Given): Promise<Pair<Probe>> {
    return { a: await this.#probe(a), b: await this.#probe(b) }
  }

  async #probe({ files, command, flags = {} }: Given): Promise<Probe> {
    const folder = join(this.#folder, `${(this.#count += 1)}`)
    mkdirSync(folder)
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
    const store = await openBlobStore(this.home)
    const context = {
      folder,
      home: this.home,
      now: () => 0n,
      random: (lengthBytes: number) => new Uint8Array(lengthBytes),
      stdin: (async function* () {})(),
      store,
      recipes: async () => [],
      // These programs begin at their beginning.
      warmRoot: () => Promise.reject(new Error('nothing here begins warm')),
    }
    const { computation } = await defineCommand({ command, flags }, context)
    const probe = await startProbe({ computation, blobs: blobPaths(computation, store), home: this.home })
    this.#probes.push(probe)
    return probe
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const probe of this.#probes) await probe[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Compares both at every single site: slow, and sure. */
export async function bruteForce(
  probes: Pair<Probe>,
): Promise<{ readonly from: bigint; readonly a: bigint; readonly b: bigint; readonly sites: number } | undefined> {
  const start = await both(probes, (probe) => probe.mark())
  // Where other files are from the start, the host is another all along.
  const parts = (Object.keys(start.a) as (keyof Mark)[]).filter((part) => start.a[part] === start.b[part])
  for (let from = 0n, sites = 0; ; sites++) {
    const stops = await both(probes, (probe) => probe.run({ position: from + 1n }))
    const marks = await both(probes, (probe) => probe.mark())
    if (stops.a.kind !== stops.b.kind || parts.some((part) => marks.a[part] !== marks.b[part])) {
      await both(probes, (probe) => probe.back())
      return { from, a: stops.a.position, b: stops.b.position, sites }
    }
    if (stops.a.kind !== 'due') return undefined
    from = stops.a.position
  }
}

export function guestModule(): Uint8Array {
  return readFileSync(compiledProgram(join(import.meta.dirname, 'guest.c'), { debug: true }))
}

/** Without its custom sections: names and lines are among them. */
export function stripped(module: Uint8Array): Uint8Array {
  const parts = [module.subarray(0, 8)]
  for (let at = 8; at < module.length;) {
    const start = at
    const id = module[at++]
    let size = 0
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++]
      size += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    at += size
    if (id !== 0) parts.push(module.subarray(start, at))
  }
  return Buffer.concat(parts)
}

// Code of small modules. Local 0 counts turns, local 1 is an i64; global 0 is an i64.
export const i32 = (value: number): number[] => [0x41, ...signed(value)]
export const DROP = 0x1a
/** Draws 8 random bytes to address 16. */
export const draw: readonly number[] = [...i32(16), ...i32(8), 0x10, 0, DROP]
export const loadDrawn: readonly number[] = [...i32(16), 0x29, 3, 0]
export const forgetDrawn: readonly number[] = [...i32(16), 0x42, 0, 0x37, 3, 0]
/** Writes the drawn bytes to standard output, and forgets where they were. */
export const putDrawn: readonly number[] = [
  ...[...i32(0), ...i32(16), 0x36, 2, 0, ...i32(4), ...i32(8), 0x36, 2, 0],
  ...[...i32(1), ...i32(0), ...i32(1), ...i32(8), 0x10, 1, DROP],
  ...[...i32(0), 0x42, 0, 0x37, 3, 0, ...i32(8), i32(0), 0x36, 2, 0].flat(),
]
/** A site at each of n turns: no counted loop, as its bound is hidden. */
export const turns = (n: number): number[] => [
  ...[...i32(n), 0x21, 0, 0x03, 0x40],
  ...[0x20, 0, ...i32(1), 0x6b, 0x22, 0, ...i32(-1), 0x71, 0x0d, 0, 0x0b],
]

export function drawingModule(code: readonly number[], rest: Partial<AssembledModule> = {}): Uint8Array {
  const imported = (name: string, count: number) =>
    ({ module: 'wasi_snapshot_preview1', name, params: Array(count).fill('i32'), results: ['i32'] }) as const
  return assemble({
    imports: [imported('random_get', 2), imported('fd_write', 4)],
    functions: [{ code, locals: ['i32', 'i64'], exported: '_start' }],
    memory: { minPages: 1 },
    globals: [{ type: 'i64', initial: [0x42, 0] }],
    ...rest,
  })
}
