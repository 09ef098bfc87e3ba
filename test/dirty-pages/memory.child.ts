/**
 * Writes to WebAssembly memories as a host does, the kernel among the writers, and prints after each round which pages
 * the kernel's way and the comparison name, as JSON: `Rounds`.
 *
 *     memory.child.ts FILE SEED      FILE is read into the memories
 */

import { openSync, readSync } from 'node:fs'
import { pagesDiffer, takeChangedPages } from '@reprise/wasm'
import { DirtyPages, startScanner } from '../../packages/runner/src/dirty-pages/index.ts'

interface Round {
  readonly named: readonly number[]
  readonly changed: readonly number[]
}

export interface Rounds {
  readonly rounds: readonly Round[]
  /** As they followed one another. */
  readonly methods: readonly string[]
}

const PAGE_BYTES = 4096
const ROUNDS = 30

const [, , path, seed] = process.argv
let state = Number(seed)
/** Below `end`. */
const draw = (end: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state % end
}

const file = openSync(path, 'r')
const ways: readonly ((memory: Uint8Array<ArrayBuffer>, at: number, length: number) => void)[] = [
  (memory, at, length) => void readSync(file, memory, at, length, draw(1000)),
  (memory, at, length) => void crypto.getRandomValues(memory.subarray(at, at + length)),
  (memory, at, length) => memory.fill(draw(256), at, at + length),
  (memory, at, length) => void memory.copyWithin(at, draw(memory.length - length), at + length),
  (memory, at) => new DataView(memory.buffer).setFloat64(at, draw(1e9)),
  (memory, at, length) => void Buffer.from(memory.buffer).write('written', at, Math.min(length, 7)),
  (memory, at) => void Atomics.add(memory, at, 1),
]

const all = (parts: Iterable<Int32Array>): number[] => [...parts].flatMap((part) => [...part])

const rounds: Round[] = []
const methods: string[] = []
for (const { choice, growth } of [
  { choice: 'kernel', growth: 0 },
  { choice: 'kernel', growth: 3 },
  // Some rounds write to so much that it rests.
  { choice: 'auto', growth: 1 },
] as const) {
  const scanner = await startScanner()
  const exported = new WebAssembly.Memory({ initial: 40, maximum: 400 })
  const dirtyPages = new DirtyPages({
    choice,
    differs: pagesDiffer,
    wantScanner: () => {},
    onMethod: ({ method }) => methods.push(method),
  })
  dirtyPages.attach(scanner.pid)
  dirtyPages.beginsWith([])
  const shadow = new Uint8Array(400 * 65_536)
  const compared = new Uint8Array(400 * 65_536)
  for (let round = 0; round < ROUNDS; round++) {
    const memory = new Uint8Array(exported.buffer)
    if (choice === 'auto' && draw(5) === 0) memory.fill(draw(256), 0, memory.length / 2)
    for (let i = draw(20); i > 0; i--) {
      const length = 8 + draw(3 * PAGE_BYTES)
      ways[draw(ways.length)](memory, draw(memory.length - length), length)
    }
    const named = all(dirtyPages.take(memory, shadow.subarray(0, memory.length)))
    const changed = all(takeChangedPages(memory, compared.subarray(0, memory.length), pagesDiffer))
    rounds.push({ named, changed })
    if (draw(2) === 0) exported.grow(growth)
  }
  scanner.stop()
}
process.stdout.write(JSON.stringify({ rounds, methods } satisfies Rounds))
