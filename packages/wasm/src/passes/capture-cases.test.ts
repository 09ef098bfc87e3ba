import { describe, expect, test } from 'vitest'
import { assemble, type AssembledModule } from '../module/assembler.ts'
import { type Run, run } from './test-capture.ts'
import {
  everyWay,
  OPTIONS,
  i32,
  get,
  set,
  call,
  tee,
  END,
  ADD,
  trace,
  turns,
  polling,
  module,
  traceStored,
  f64Bytes,
} from './test-cases.ts'

const expectSame = (assembled: AssembledModule, grid?: bigint): Run =>
  everyWay((actual, expected) => expect(actual).toEqual(expected), assembled, grid)

describe('a loop that is not counted', () => {
  test.each([
    ['by a branch out of it', 2],
    ['at its end', 99],
  ])('has several branches to its header, and a value when it is left %s', (_, leftAt) => {
    const next = [...get(0), ...i32(1), 0x6b, ...tee(0), ...i32(1), 0x71, 0x0d, 0]
    const leave = [...get(1), ...get(0), ADD, ...tee(1), ...get(0), ...i32(leftAt), 0x46, 0x0d, 1, 0x1a]
    const again = [...get(0), ...i32(3), 0x71, 0x04, 0x40, ...get(0), 0x0e, 1, 1, 1, END]
    const loop = [0x03, 0x7f, ...next, ...leave, ...again, ...get(0), 0x0d, 0, ...get(1), END]
    const code = [...i32(40), ...set(0), 0x02, 0x7f, ...i32(7), ...loop, ADD, END, ...trace, ...traceStored]
    const { stops } = expectSame(module(code))
    expect(stops).toHaveLength(leftAt === 99 ? 40 : 38)
  })

  test('returns out of its middle', () => {
    const body = [...get(0), ...trace, ...get(0), ...i32(9), 0x46, 0x04, 0x40, ...traceStored, 0x0f, END]
    const back = [...get(0), ...i32(1), ADD, ...tee(0), 0x0d, 0]
    expect(expectSame(module([0x03, 0x40, ...body, ...back, END])).stops).toHaveLength(10)
  })
})

describe('operands are kept', () => {
  test('below calls, loops and blocks at several levels', () => {
    const inner = [...i32(11), ...i32(13), ...call(1), ADD, ...turns(0, 2, [...i32(17), ...call(1), ...trace])]
    const loop = [...i32(7), 0x03, 0x7f, ...i32(9), ...inner, ADD, END, ADD]
    const { snapshots } = expectSame(module([...i32(5), 0x02, 0x7f, ...loop, END, ADD, ...trace, ...traceStored]))
    const values = snapshots.map(({ activations }) =>
      activations.frames[0].values.map((value) => Number('bits' in value && value.bits)),
    )
    expect(values).toContainEqual(expect.arrayContaining([5, 7, 9, 11]))
  })

  test('as parameters and results of blocks and loops, several at a time', () => {
    const types = [
      { params: ['i32', 'i64'], results: ['i64', 'i32'] },
      { params: [], results: ['i32', 'i64', 'f64'] },
    ] as const
    // loop (i32 i64) → (i64 i32): swaps its operands through locals, turns while the counter is not zero.
    const swap = [0x21, 4, 0x21, 0, 0x20, 4, 0x20, 0]
    const back = [0x21, 0, 0x21, 4, 0x20, 0, 0x20, 4]
    const body = [...turns(1, 2), ...swap, ...back, ...get(2), ...i32(1), 0x6b, ...tee(2), ...i32(-1), 0x71, 0x0d, 0]
    const loop = [...i32(3), ...set(2), ...i32(21), 0x42, 22, 0x03, 0, ...body, ...swap, END]
    const code = [...i32(1), ...loop, ...trace, 0xa7, ...trace, ...trace]
    const arms = [...turns(1, 2), ...i32(2), ...call(1), 0x42, 3, 0x44, ...f64Bytes(0.5)]
    const both = [
      ...i32(4),
      ...get(0),
      0x04,
      1,
      ...arms,
      0x05,
      ...arms,
      END,
      0xaa,
      ...trace,
      0xa7,
      ...trace,
      ...trace,
      ...trace,
    ]
    expectSame(
      module([...code, ...both, ...both, ...traceStored], { types, locals: ['i32', 'i32', 'i32', 'i32', 'i64'] }),
    )
  })

  test('when they come out of a block that was left, or go into a loop from below a call', () => {
    const types = [{ params: ['i32'], results: ['i32'] }] as const
    const out = [0x02, 0x7f, ...i32(3), ...call(1), END, ...turns(0, 2), ...i32(4), ...call(1), ADD, ...trace]
    // The loop's parameter lies below a call before the loop begins; each turn brings another.
    const turn = [...turns(0, 2), ...i32(5), ADD, ...get(1), ...i32(1), 0x6b, ...tee(1), ...i32(-1), 0x71, 0x0d, 0]
    const into = [...i32(3), ...set(1), ...i32(6), ...i32(7), ...call(1), 0x1a, 0x03, 0, ...turn, END, ...trace]
    expectSame(module([...out, ...into, ...traceStored], { types }))
  })

  test('as results of a call that was left', () => {
    const results = ['i32', 'i64', 'f32', 'f64', 'v128'] as const
    const many = [
      ...turns(0, 3),
      ...i32(1),
      0x42,
      2,
      0x43,
      0,
      0,
      0xc0,
      0x3f,
      0x44,
      ...f64Bytes(2.5),
      ...i32(7),
      0xfd,
      0x11,
    ]
    const use = [0xfd, 0x1b, 1, ...trace, 0xaa, ...trace, 0xa8, ...trace, 0xa7, ...trace, ...trace]
    // The results of the first call stay on the stack below the second.
    expectSame(
      module([], {
        functions: [
          { code: [...call(1), ...call(1), ...use, ...use, ...traceStored], exported: '_start' },
          { results, locals: ['i32'], code: many },
        ],
      }),
    )
  })
})

describe('branches', () => {
  test('reach every label around a loop that has begun', () => {
    // block A, loop B, block C, loop D, block E: br_table over all five and the function, from behind a call in E.
    const table = [...get(0), ...call(1), 0x0e, 5, 0, 1, 2, 3, 4, 5]
    const budget = [...get(0), ...i32(12), 0x4a, 0x0d, 5]
    const step = [...get(0), ...i32(1), ADD, ...set(0)]
    const e = [
      0x02,
      0x40,
      ...step,
      ...get(0),
      ...trace,
      ...budget,
      ...get(1),
      ...i32(1),
      ADD,
      ...tee(1),
      ...trace,
      ...table,
      END,
    ]
    const d = [0x03, 0x40, ...e, ...i32(101), ...trace, END]
    const c = [0x02, 0x40, ...d, ...i32(102), ...trace, END]
    const b = [0x03, 0x40, ...c, ...i32(103), ...trace, ...get(0), ...i32(9), 0x48, 0x0d, 0, END]
    const a = [0x02, 0x40, ...b, ...i32(104), ...trace, END]
    for (let first = 0; first < 6; first++) {
      expectSame(module([...i32(first), ...set(1), ...a, ...i32(105), ...trace, ...traceStored]))
    }
  })

  test('that return from within loops', () => {
    const inner = [...get(1), ...i32(2), 0x46, 0x04, 0x40, ...get(0), ...i32(1), ...call(1), ADD, 0x0f, END]
    const early = { params: ['i32'], results: ['i32'], locals: ['i32', 'i32'] } as const
    const code = [...turns(1, 4, turns(2, 2, inner)), ...i32(-5)]
    const functions = [
      { code: [...i32(3), ...call(2), ...trace, ...traceStored], exported: '_start' },
      polling,
      { ...early, code },
    ]
    expectSame(module([], { functions }))
  })

  test('into both arms of an if, with and without a result', () => {
    const arm = (n: number): number[] => [...i32(n), ...call(1), ...turns(2, 2), ...trace]
    const plain = [...get(0), ...i32(1), 0x71, 0x04, 0x40, ...arm(3), 0x05, ...arm(4), END]
    const only = [...get(0), 0x04, 0x40, ...arm(5), END]
    const valued = [
      ...get(0),
      ...i32(2),
      0x71,
      0x04,
      0x7f,
      ...arm(6),
      ...i32(8),
      0x05,
      ...i32(9),
      ...call(1),
      END,
      ...trace,
    ]
    expectSame(module([...turns(0, 5, [...plain, ...only, ...valued]), ...traceStored]))
  })

  test('and code behind them that nothing reaches', () => {
    const dead = [0x0c, 0, ...call(1), 0x1a, 0x03, 0x40, 0x0c, 0, END]
    expectSame(module([...turns(0, 3, [0x02, 0x40, ...i32(4), ...call(1), ...trace, ...dead, END]), ...traceStored]))
  })
})

describe('calls', () => {
  test('of a function by itself, with operands waiting in every activation', () => {
    // f(n) = n = 0 ? 1 : n × f(n − 1) + 1
    const again = [...get(0), ...get(0), ...i32(1), 0x6b, ...call(1), 0x6c, ...i32(1), ADD]
    const f = { params: ['i32'], results: ['i32'] } as const
    const functions = [
      { code: [...i32(30), ...call(1), ...trace, ...traceStored], exported: '_start' },
      { ...f, code: [...get(0), 0x45, 0x04, 0x7f, ...i32(1), 0x05, ...again, END] },
    ]
    const { snapshots } = expectSame(module([], { functions }))
    expect(Math.max(...snapshots.map(({ activations }) => activations.frames.length))).toBe(32)
  })

  test('20,000 deep', () => {
    const f = { params: ['i32'], results: ['i32'] } as const
    const again = [...get(0), ...get(0), ...i32(1), 0x6b, ...call(1), ADD]
    const functions = [
      { code: [...i32(20_000), ...call(1), ...trace, ...traceStored], exported: '_start' },
      { ...f, code: [...get(0), 0x45, 0x04, 0x7f, ...i32(1), 0x05, ...again, END] },
    ]
    const { snapshots } = expectSame(module([], { functions }), 120_000n)
    expect(snapshots[0].activations.frames.length).toBeGreaterThan(5000)
  })

  test('through a table', () => {
    const types = [{ params: ['i32'], results: ['i32'] }] as const
    const indirect = [...get(0), ...get(0), ...i32(1), 0x71, 0x11, 0, 0]
    const second = { ...polling, code: [...turns(1, 2), ...get(0), ...i32(100), ADD] }
    const functions = [
      {
        code: [...turns(0, 5, [...i32(3), ...indirect, ADD, ...trace]), ...traceStored],
        locals: ['i32'] as const,
        exported: '_start',
      },
      polling,
      second,
    ]
    expectSame(module([], { types, functions, table: [1, 2] }))
  })

  test('in the start function, then in _start', () => {
    const start = { locals: ['i32'], code: turns(0, 3, [...i32(1), ...call(1), ...trace]) } as const
    const functions = [
      { code: turns(0, 3, [...i32(2), ...call(1), ...trace]), locals: ['i32'] as const, exported: '_start' },
      polling,
      start,
    ]
    const { snapshots } = expectSame(module([], { functions, start: 2 }))
    expect([...new Set(snapshots.map(({ activations }) => activations.phase))]).toEqual(['start', 'command'])
  })

  test('of the host, and its exits, which run through the handlers too', () => {
    const imports = [{ module: 'wasi_snapshot_preview1', name: 'proc_exit', params: ['i32'] }] as const
    class Exit extends Error {}
    const leaving = { ...polling, code: [...turns(1, 3), ...i32(7), ...call(0), ...get(0)] }
    const functions = [{ code: [...i32(1), ...call(2), ...trace], exported: '_start' }, leaving]
    const host = {
      proc_exit: () => {
        throw new Exit('bye')
      },
    }
    const bytes = assemble(module([], { imports, functions }))
    for (const at of ['go', 'capture', 'move'] as const) {
      expect(() => run(bytes, { ...OPTIONS, capture: true }, { at: () => at, host })).toThrow('bye')
    }
  })

  test('that trap after a capture, at the same position', () => {
    const { end } = expectSame(module([...turns(0, 3), 0x00]))
    expect(end).toMatchObject({ kind: 'trapped', reason: 'unreachable' })
  })
})
