import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { hex } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { assemble, signed, type AssembledModule } from '../module/assembler.ts'
import type { ValueType } from '../module/opcodes.ts'
import { encodeFrames } from '../state/index.ts'
import { type Run, run } from './test-capture.ts'
import {
  everyWay,
  OPTIONS,
  i32,
  get,
  set,
  tee,
  END,
  ADD,
  trace,
  turns,
  module,
  store,
  traceStored,
} from './test-cases.ts'

const expectSame = (assembled: AssembledModule, grid?: bigint): Run =>
  everyWay((actual, expected) => expect(actual).toEqual(expected), assembled, grid)

describe('loops', () => {
  // do { } while ((i += step) != bound)
  const counted = (step: number, bound: number, body: readonly number[] = []): number[] => [
    ...[0x03, 0x40, ...body, ...get(0), ...i32(step), ADD, ...tee(0), ...i32(bound), 0x47, 0x0d, 0, END],
  ]

  test('that were charged at once run on without being charged again', () => {
    const body = [...get(1), ...i32(3), ADD, ...set(1)]
    expectSame(
      module([...turns(2, 3, [...i32(0), ...set(0), ...counted(2, 20, body), ...get(1), ...trace]), ...traceStored]),
    )
  })

  test('with too many turns for that are left at a turn', () => {
    const body = [...get(1), ...i32(3), ADD, ...set(1)]
    const { snapshots } = expectSame(
      module([...counted(1, (1 << 20) + 50, body), ...get(1), ...trace, ...traceStored]),
      3_000_000n,
    )
    expect(snapshots.length).toBeGreaterThan(2)
  })
})

describe('bits are exact', () => {
  const patterns = [
    0x7ff8_0000_0000_0000n,
    0xfff4_0000_0000_0001n,
    0x7ff0_0000_0000_0001n,
    0x8000_0000_0000_0000n,
    0xffff_ffff_ffff_ffffn,
  ]
  const little = (bits: bigint, length: number): number[] =>
    Array.from({ length }, (_, i) => Number((bits >> BigInt(8 * i)) & 0xffn))

  test.each(patterns)('%x in locals and operands of every type', (bits) => {
    const f64 = [0x44, ...little(bits, 8)]
    const f32 = [0x43, ...little(bits >> 32n, 4)]
    const v128 = [0xfd, 0x0c, ...little(bits, 8), ...little(~bits, 8)]
    const i64 = [0x42, ...signed(BigInt.asIntN(64, bits))]
    const locals: ValueType[] = ['i32', 'f32', 'f64', 'i64', 'v128']
    const fill = [...f32, ...set(1), ...f64, ...set(2), ...i64, ...set(3), ...v128, ...set(4)]
    const stores = [
      ...[...i32(0), ...get(1), 0x38, 2, 0, ...i32(8), ...get(2), 0x39, 3, 0],
      ...[...i32(16), ...get(3), 0x37, 3, 0, ...i32(32), ...get(4), 0xfd, 0x0b, 4, 0],
    ]
    const operands = [...i32(64), ...f64, ...i32(80), ...v128, ...turns(0, 2), 0xfd, 0x0b, 4, 0, 0x39, 3, 0]
    const { snapshots } = expectSame(module([...fill, ...turns(0, 2), ...stores, ...operands], { locals }))
    const { values } = snapshots[0].activations.frames[0]
    expect(values).toContainEqual({ type: 'f64', bits })
    expect(values).toContainEqual({ type: 'f32', bits: bits >> 32n })
    expect(values).toContainEqual({ type: 'v128', bits: bits | (BigInt.asUintN(64, ~bits) << 64n) })
  })

  test('but a NaN that the engine chose counts as the canonical one', () => {
    // 0 / 0 with zeros that the engine does not know: x64 gives it a sign.
    const zero = [...i32(0), 0x2b, 3, 0]
    const nan = [...zero, ...zero, 0xa3, ...set(1)]
    const locals: ValueType[] = ['i32', 'f64']
    const bytes = assemble(module([...nan, ...turns(0, 2)], { locals }))
    const dead = run(bytes, { ...OPTIONS, capture: true }, { at: () => 'capture' })
    expect(dead.snapshots[0].activations.frames[0].values.map(({ type }) => type)).toEqual(['i32'])
    const used = assemble(module([...nan, ...turns(0, 2), ...i32(0), ...get(1), 0x39, 3, 0], { locals }))
    const { snapshots } = run(used, { ...OPTIONS, capture: true }, { at: () => 'capture' })
    expect(snapshots[0].activations.frames[0].values).toContainEqual({ type: 'f64', bits: 0x7ff8_0000_0000_0000n })
  })

  test('in globals of every type', () => {
    const globals = (['i32', 'i64', 'f32', 'f64', 'v128'] as const).map((type) => ({
      type,
      initial: {
        i32: i32(1),
        i64: [0x42, 2],
        f32: [0x43, 1, 0, 0xa0, 0x7f],
        f64: [0x44, 1, 0, 0, 0, 0, 0, 0xf4, 0xff],
        v128: [0xfd, 0x0c, ...little(1n << 127n, 16)],
      }[type],
    }))
    expectSame(
      module([...turns(0, 3), 0x23, 3, 0x24, 3, ...turns(0, 2), ...i32(8), 0x23, 4, 0xfd, 0x0b, 4, 0], { globals }),
    )
  })
})

describe('memory', () => {
  test('that has grown is as large again', () => {
    expectSame(
      module([
        ...i32(2),
        0x40,
        0,
        ...trace,
        ...turns(0, 3),
        ...store(i32(5), 0x2_0000),
        ...turns(0, 3),
        0x3f,
        0,
        ...trace,
        ...traceStored,
      ]),
    )
  })

  test('data segments that were dropped stay so', () => {
    const init = [...i32(16), ...i32(0), ...i32(2), 0xfc, 8, 1, 0]
    const again = [...init, ...turns(0, 2), 0xfc, 9, 1, ...turns(0, 2), ...init]
    const data = [{ at: 0, bytes: [1, 2, 3] }, { bytes: [7, 8] }, { bytes: [9] }]
    const { end, last } = expectSame(module(turns(1, 2, again), { data }))
    expect(end).toMatchObject({ kind: 'trapped', reason: 'memory-out-of-bounds' })
    expect(last.globals.at(-1)).toBe(1n)
  })
})

test("the frames of the specification's example have its bytes", () => {
  const vector = resolve(import.meta.dirname, '../../../../vectors/wasm/worked-example/input.wasm')
  const options = { ...OPTIONS, capture: true }
  const { snapshots } = run(new Uint8Array(readFileSync(vector)), options, { at: () => 'capture' })
  const found = snapshots.find(({ position }) => position === 41n)
  const frames = ['0000000100000001', '0000000000000001', '0000000000000000'].map((place, i) => {
    const value = ['00000000', '00000003', '00000002'][i]
    return `${place}0000000101${value}`
  })
  expect(found && hex(encodeFrames(found.activations))).toBe(`0100000003${frames.join('')}`)
})

test.each(['caught-exception', 'exception-reference'])("the frame of the specification's %s has its bytes", (name) => {
  const vector = resolve(import.meta.dirname, `../../../../vectors/wasm/${name}/input.wasm`)
  const options = { ...OPTIONS, capture: true }
  const { snapshots } = run(new Uint8Array(readFileSync(vector)), options, { at: () => 'capture' })
  const bytes = hex(encodeFrames(snapshots[0].activations))
  expect(bytes).toBe('01000000010000000000000000000000010700000000000000010100000005')
})
