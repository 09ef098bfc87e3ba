import { describe, expect, test } from 'vitest'
import { assemble, type AssembledModule } from '../module/assembler.ts'
import { type Run, run } from './test-capture.ts'
import {
  ADD,
  call,
  each,
  END,
  everyWay,
  get,
  guest,
  i32,
  module,
  OPTIONS,
  polling,
  set,
  TAGS,
  throwing,
  trace,
  traceStored,
  turns,
} from './test-cases.ts'

const TRY = 0x06
const CATCH = 0x07
const CATCH_ALL = 0x19
const EMPTY = 0x40
const FUNCREF = 0x70

const expectSame = (assembled: AssembledModule, grid?: bigint): Run =>
  everyWay((actual, expected) => expect(actual).toEqual(expected), assembled, grid)

describe('tail calls', () => {
  const even = [...get(0), 0x45, 0x04, EMPTY, ...i32(1), 0x0f, END]
  const less = [...get(0), ...i32(1), 0x6b]

  test('in mutual recursion without end take no stack, and may be left', () => {
    const isEven = { params: ['i32'], results: ['i32'], code: [...even, ...less, 0x12, 3] } as const
    const isOdd = {
      params: ['i32'],
      results: ['i32'],
      locals: ['i32'],
      code: [...turns(1, 2), ...get(0), 0x45, 0x04, EMPTY, ...i32(0), 0x0f, END, ...less, 0x12, 2],
    } as const
    const functions = [
      { code: [...i32(3001), ...call(2), ...trace, ...traceStored], locals: [], exported: '_start' },
      polling,
      isEven,
      isOdd,
    ]
    expectSame(module([], { functions }), 10_000n)
    const bytes = assemble(module([], { functions }))
    const { end } = run(bytes, { ...OPTIONS, stackLimitSlots: 200, capture: true }, { at: () => 'go' })
    expect(end.kind).toBe('exited')
    const few = [
      { code: [...i32(7), ...call(2), ...trace, ...traceStored], locals: [], exported: '_start' },
      polling,
      isEven,
      isOdd,
    ]
    const { snapshots } = expectSame(module([], { functions: few }))
    expect(Math.max(...snapshots.map(({ activations }) => activations.frames.length))).toBe(2)
  })

  test('through a table into a function with other parameters, from _start, too', () => {
    const types = [{ params: ['i64', 'i32'], results: ['i32'] }, {}] as const
    const from = {
      params: ['i32'],
      results: ['i32'],
      locals: ['i32'],
      code: [...turns(1, 2), 0x42, 3, ...get(0), ...i32(1), 0x13, 0, 0],
    } as const
    const to = {
      params: ['i64', 'i32'],
      results: ['i32'],
      locals: ['i32'],
      code: [...turns(2, 2), ...get(0), 0xa7, ...get(1), ...call(1), ADD],
    } as const
    const last = { locals: ['i32'], code: [...turns(0, 3), ...i32(2), ...trace, ...traceStored] } as const
    const functions = [
      { code: [...i32(5), ...call(2), ...trace, ...i32(2), 0x13, 1, 0], exported: '_start' },
      polling,
      from,
      to,
      last,
    ]
    expectSame(module([], { types, functions, table: [2, 3, 4] }))
  })

  test('from inside of a try: its handlers are gone', () => {
    const tail = {
      params: ['i32'],
      results: ['i32'],
      locals: ['i32'],
      code: [...turns(1, 2), TRY, EMPTY, ...get(0), 0x12, 2, CATCH_ALL, ...i32(99), ...trace, END, ...i32(1)],
    } as const
    const { functions } = guest(
      each([TRY, EMPTY, ...get(0), ...call(3), ...trace, CATCH, 0, ...call(1), ...trace, CATCH, 1, END]),
    )
    expectSame(guest([], { functions: [...functions, tail] }))
  })
})

describe('function references', () => {
  test('in locals and operands, null and not, are in frames', () => {
    const code = [
      ...[0xd2, 1, ...set(1), 0xd0, FUNCREF, 0xd2, 2, ...turns(0, 2), 0xd1, ...trace, 0xd1, ...trace],
      ...[...get(1), 0xd1, ...trace, ...turns(0, 2), ...get(2), 0xd1, ...trace],
    ]
    const functions = [
      { code: [...code, ...traceStored], locals: ['i32', 'funcref', 'funcref'] as const, exported: '_start' },
      polling,
      throwing,
    ]
    const { snapshots } = expectSame(module([], { tags: TAGS, functions, declared: [1, 2] }))
    expect(snapshots[0].activations.frames[0].values).toContainEqual({ type: 'funcref', function: 2 })
    expect(snapshots[0].activations.frames[0].values).toContainEqual({ type: 'funcref', function: undefined })
  })
})

test('references to functions of the host are the same in what is continued', () => {
  const imports = [{ module: 'wasi_snapshot_preview1', name: 'sched_yield', results: ['i32'] }] as const
  const take = [0xd2, 0, ...set(1), ...turns(0, 2), ...get(1), 0xd1, ...trace]
  const code = [...take, ...take, ...traceStored]
  const functions = [{ code, locals: ['i32', 'funcref'] as const, exported: '_start' }]
  const { snapshots } = expectSame(module([], { imports, functions, declared: [0] }))
  const values = snapshots.map(({ activations }) => activations.frames[0].values)
  expect(values[3]).toContainEqual({ type: 'funcref', function: 0 })
})

describe('tables that code changes are part of the state', () => {
  const types = [{ params: ['i32'], results: ['i32'] }] as const
  const second = { ...polling, code: [...turns(1, 2), ...get(0), ...i32(100), ADD] }
  const indirect = (entry: number): number[] => [...i32(5), ...i32(entry), 0x11, 0, 0, ...trace]
  const size = [0xfc, 0x10, 0, ...trace]

  test('table.get, set, grow, fill and copy', () => {
    const swap = [...i32(0), ...i32(1), 0x25, 0, ...i32(1), ...i32(0), 0x25, 0, 0x26, 0, 0x26, 0]
    const grow = [0xd2, 2, ...i32(3), 0xfc, 0x0f, 0, ...trace, ...size]
    const fill = [...i32(0), 0xd0, FUNCREF, ...i32(1), 0xfc, 0x11, 0]
    const copy = [...i32(2), ...i32(1), ...i32(1), 0xfc, 0x0e, 0, 0]
    const code = [
      ...[...indirect(0), ...indirect(1), ...swap, ...turns(0, 2), ...indirect(0), ...grow, ...turns(0, 2)],
      ...[...indirect(3), ...copy, ...turns(0, 2), ...indirect(2), ...fill, ...turns(0, 2), ...indirect(1)],
      ...[...traceStored, ...i32(0), 0x25, 0, 0xd1, ...trace, ...turns(0, 2), ...indirect(0)],
    ]
    const functions = [{ code, locals: ['i32'] as const, exported: '_start' }, polling, second]
    const { end, last } = expectSame(module([], { types, functions, table: [1, 2] }))
    expect(end).toMatchObject({ kind: 'trapped', reason: 'indirect-call-type' })
    // The trace; then the table: its size and its entries.
    expect(last.globals.slice(1)).toEqual([5n, 0xffff_ffffn, 1n, 1n, 2n, 2n])
  })

  test('table.init and elem.drop', () => {
    const init = [...i32(0), ...i32(0), ...i32(2), 0xfc, 0x0c, 1, 0]
    const code = [
      ...[...indirect(0), ...turns(0, 2), ...init, ...indirect(0), ...turns(0, 2), 0xfc, 0x0d, 1, ...turns(0, 2)],
      ...[...traceStored, ...init],
    ]
    const functions = [{ code, locals: ['i32'] as const, exported: '_start' }, polling, second]
    const { end, last } = expectSame(module([], { types, functions, table: [1, 1], passive: [[2, 1]] }))
    expect(end).toMatchObject({ kind: 'trapped', reason: 'table-out-of-bounds' })
    expect(last.globals.slice(1)).toEqual([1n, 2n, 2n, 1n])
  })

  test('table.grow ends at the limit of the machine', () => {
    const code = [
      0xd0,
      FUNCREF,
      ...i32(0xffff),
      0xfc,
      0x0f,
      0,
      ...trace,
      0xd0,
      FUNCREF,
      ...i32(1),
      0xfc,
      0x0f,
      0,
      ...trace,
      ...traceStored,
    ]
    const bytes = assemble(module([], { types, functions: [{ code, exported: '_start' }, polling], table: [1] }))
    // 1, then −1.
    expect(run(bytes, OPTIONS, { at: () => 'go' }).last.globals[0]).toBe(BigInt(31 - 1))
  })

  test('access outside of a table traps', () => {
    const functions = [
      { code: [...turns(0, 2), ...i32(9), 0x25, 0, 0xd1, ...trace], locals: ['i32'] as const, exported: '_start' },
      polling,
    ]
    const { end } = expectSame(module([], { types, functions, table: [1] }))
    expect(end).toMatchObject({ kind: 'trapped', reason: 'table-out-of-bounds' })
  })
})
