import { concat } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assemble } from '../module/assembler.ts'
import { generate } from './generator.ts'
import { rewrite } from './rewrite.ts'
import { dataOf } from './without-data.ts'

const OPTIONS = { floats: 'canonical', stackLimitSlots: 1 << 16, memoryLimitPages: 16, capture: true } as const

/** (func (param i32 i32 i32) (memory.init n (local.get 0) (local.get 1) (local.get 2))) */
const init = (segment: number, exported: string) =>
  ({
    params: ['i32', 'i32', 'i32'],
    code: [0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 0x08, segment, 0],
    exported,
  }) as const

const MODULE = assemble({
  memory: { minPages: 1 },
  functions: [init(0, 'active'), init(1, 'passive'), init(2, 'late')],
  data: [{ at: 16, bytes: [1, 2, 3] }, { bytes: [4, 5, 6] }, { at: 300, bytes: [7] }],
})

function emptied(module: Uint8Array): Uint8Array<ArrayBuffer> {
  const data = dataOf(module)
  return data === undefined ? module.slice() : concat(module.subarray(0, data.at), data.emptied)
}

function instance(module: Uint8Array<ArrayBuffer>) {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module))
  const { memory, ...functions } = exports as Record<string, (...values: number[]) => void> & {
    readonly memory: WebAssembly.Memory
  }
  return { functions, memory: new Uint8Array(memory.buffer) }
}

describe('a module without its data', () => {
  test('writes nothing, has what it may still be asked for, and else behaves as when it has written', () => {
    expect([...instance(MODULE).memory.subarray(16, 19)]).toEqual([1, 2, 3])
    for (const [module, written] of [
      [MODULE, 4],
      [emptied(MODULE), 0],
    ] as const) {
      const { functions, memory } = instance(module)
      expect(memory.filter((byte) => byte !== 0)).toHaveLength(written)
      functions['passive'](40, 1, 2)
      expect([...memory.subarray(40, 43)]).toEqual([5, 6, 0])
      for (const name of ['active', 'late']) {
        expect(() => functions[name](0, 0, 1)).toThrow(WebAssembly.RuntimeError)
        expect(() => functions[name](0, 0, 0)).not.toThrow()
      }
    }
  })

  test('is one whatever way its segments say where they belong', () => {
    const head = assemble({
      memory: { minPages: 1 },
      globals: [{ type: 'i32', mutable: false, initial: [0x41, 8] }],
      functions: [],
    })
    const segments = [
      ...[0, 0x41, 0xc0, 0x00, 0x0b, 1, 9],
      ...[0, 0x41, 3, 0x41, 4, 0x6c, 0x41, 2, 0x6a, 0x0b, 2, 9, 9],
      ...[2, 0, 0x41, 5, 0x0b, 1, 9],
    ]
    const module = concat(head, Uint8Array.from([11, segments.length + 1, 3, ...segments]))
    expect(instance(module).memory.filter((byte) => byte === 9)).toHaveLength(4)
    const data = dataOf(module)
    expect(data?.at).toBe(head.length)
    expect([...(data?.emptied ?? [])]).toEqual([11, 16, 3, ...[1, 2, 3].flatMap(() => [0, 0x41, 0, 0x0b, 0])])
    expect(instance(emptied(module)).memory.every((byte) => byte === 0)).toBe(true)
  })

  test('is valid for every program, and as it was before its data', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const { bytes } = rewrite(generate(seed, { canonicalSinks: false, signs: true }), OPTIONS)
        const data = dataOf(bytes)
        const module = emptied(bytes)
        expect(WebAssembly.validate(module)).toBe(true)
        expect(Buffer.compare(module.subarray(0, data?.at), bytes.subarray(0, data?.at))).toBe(0)
      }),
      { numRuns: 30 },
    )
  })

  test('is not made of one that has none, and never taken for one where something stands behind them', () => {
    expect(dataOf(assemble({ functions: [] }))).toBeUndefined()
    expect(() => dataOf(concat(MODULE, Uint8Array.from([0, 2, 1, 0x78])))).toThrow('come last')
  })
})
