import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { OPTIONS } from './test-cases.ts'
import { digest, run } from './test-capture.ts'

const folder = resolve(import.meta.dirname, '../../../../vectors/wasm-programs/unwinding')
const ENOSYS = 52

/** What the engine alone leaves in memory; every host call answers ENOSYS. */
function plainMemory(bytes: Uint8Array<ArrayBuffer>): number {
  const module = new WebAssembly.Module(bytes)
  const imports: WebAssembly.Imports = {}
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] = { ...imports[from], [name]: () => ENOSYS }
  }
  const { exports } = new WebAssembly.Instance(module, imports)
  ;(exports['_start'] as () => void)()
  return digest(new Uint8Array((exports['memory'] as WebAssembly.Memory).buffer))
}

test.each(['legacy', 'exnref'])('a compiled program with %s exceptions may be left at any poll', (kind) => {
  const bytes = new Uint8Array(readFileSync(resolve(folder, `${kind}.wasm`)))
  const straight = run(bytes, OPTIONS, { at: () => 'go', grid: 20n })
  expect(straight.end).toMatchObject({ kind: 'exited', code: 0 })
  expect(straight.last.memory).toBe(plainMemory(bytes))
  const options = { ...OPTIONS, capture: true }
  const every = Math.ceil(straight.stops.length / 60)
  const at = (how: 'capture' | 'move') => (stop: number) => (stop % every === 0 ? how : 'go')
  const continued = run(bytes, options, { at: at('capture'), grid: 20n })
  expect({ ...continued, snapshots: [] }).toEqual(straight)
  const moved = run(bytes, options, { at: at('move'), grid: 20n })
  expect({ ...moved, snapshots: [] }).toEqual(straight)
  expect(moved.snapshots).toEqual(continued.snapshots)
  const values = moved.snapshots.flatMap(({ activations }) => activations.frames.flatMap((frame) => frame.values))
  // Some of them were left in a clean-up, on the way of an exception.
  expect(values.some((value) => value.type === 'exnref' && value.exception !== undefined)).toBe(true)
})
