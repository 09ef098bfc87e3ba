/** Guests that write to their memory in every way there is, and ask for checkpoints in between. */

import fc from 'fast-check'
import { assemble, signed, unsigned } from '../../packages/wasm/src/module/assembler.ts'

const WASM_PAGE_BYTES = 65_536
const PAGES_AT_START = 4
export const PAGES_MAX = 24
/** Below it lie what host calls read: an iovec, and a count that comes back. */
const SCRATCH_BYTES = 64
const DATA_BYTES = 10_000

type Write =
  | { readonly kind: 'store8' | 'store64' | 'store128'; readonly at: number; readonly value: number }
  | { readonly kind: 'fill'; readonly at: number; readonly value: number; readonly length: number }
  | { readonly kind: 'copy'; readonly at: number; readonly from: number; readonly length: number }
  | { readonly kind: 'init' | 'read' | 'random'; readonly at: number; readonly length: number }
  | { readonly kind: 'grow'; readonly pages: number }
  | { readonly kind: 'checkpoint' }

const at = fc.oneof(
  fc.nat(),
  // About the edges of pages.
  fc.tuple(fc.nat(400), fc.integer({ min: -20, max: 20 })).map(([page, by]) => Math.max(0, page * 4096 + by)),
)
const length = fc.oneof(fc.nat(20), fc.constantFrom(0, 1, 4095, 4096, 4097), fc.nat(DATA_BYTES))
const value = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })

const write: fc.Arbitrary<Write> = fc.oneof(
  fc.record({ kind: fc.constantFrom('store8', 'store64', 'store128'), at, value }),
  fc.record({ kind: fc.constant('fill'), at, value, length }),
  fc.record({ kind: fc.constant('copy'), at, from: at, length }),
  fc.record({ kind: fc.constantFrom('init', 'read', 'random'), at, length }),
  fc.record({ kind: fc.constant('grow'), pages: fc.nat(3) }),
  { weight: 2, arbitrary: fc.constant({ kind: 'checkpoint' as const }) },
)
export const writes: fc.Arbitrary<readonly Write[]> = fc.array(write, { minLength: 20, maxLength: 60, size: 'max' })

const constant = (number: number): number[] => [0x41, ...signed(number | 0)]
const IMPORTS = [
  { module: 'reprise', name: 'checkpoint', params: ['i32', 'i32'] },
  { module: 'wasi_snapshot_preview1', name: 'fd_read', params: ['i32', 'i32', 'i32', 'i32'], results: ['i32'] },
  { module: 'wasi_snapshot_preview1', name: 'random_get', params: ['i32', 'i32'], results: ['i32'] },
] as const

/** The module of these writes; each lands inside the memory as it is then. */
export function moduleOf(list: readonly Write[]): Uint8Array {
  let memoryBytes = PAGES_AT_START * WASM_PAGE_BYTES
  const place = (wanted: number, lengthBytes: number): number[] =>
    constant(SCRATCH_BYTES + (wanted % (memoryBytes - SCRATCH_BYTES - lengthBytes)))
  const code = list.flatMap((each): number[] => {
    switch (each.kind) {
      case 'store8':
        return [...place(each.at, 1), ...constant(each.value), 0x3a, 0, 0]
      case 'store64':
        return [...place(each.at, 8), 0x42, ...signed(each.value), 0x37, 0, 0]
      case 'store128': {
        const bytes = Array.from({ length: 16 }, (_, i) => (each.value >>> (i % 4)) & 0xff)
        return [...place(each.at, 16), 0xfd, 0x0c, ...bytes, 0xfd, 0x0b, 0, 0]
      }
      case 'fill':
        return [...place(each.at, each.length), ...constant(each.value), ...constant(each.length), 0xfc, 0x0b, 0]
      case 'copy':
        return [
          ...place(each.at, each.length),
          ...place(each.from, each.length),
          ...constant(each.length),
          0xfc,
          0x0a,
          0,
          0,
        ]
      case 'init':
        return [...place(each.at, each.length), ...constant(0), ...constant(each.length), 0xfc, 0x08, 0, 0]
      case 'read':
        return [
          ...[...constant(16), ...place(each.at, each.length), 0x36, 2, 0],
          ...[...constant(20), ...constant(each.length), 0x36, 2, 0],
          ...[...constant(0), ...constant(16), ...constant(1), ...constant(24), 0x10, 1, 0x1a],
        ]
      case 'random':
        return [...place(each.at, each.length), ...constant(each.length), 0x10, 2, 0x1a]
      case 'grow':
        if (memoryBytes / WASM_PAGE_BYTES + each.pages <= PAGES_MAX) memoryBytes += each.pages * WASM_PAGE_BYTES
        return [...constant(each.pages), 0x40, 0, 0x1a]
      case 'checkpoint':
        return [...constant(0), ...constant(0), 0x10, ...unsigned(0)]
    }
  })
  return assemble({
    imports: IMPORTS,
    functions: [{ code, exported: '_start' }],
    memory: { minPages: PAGES_AT_START },
    data: [{ bytes: Array.from({ length: DATA_BYTES }, (_, i) => (i * 7) & 0xff) }],
  })
}
