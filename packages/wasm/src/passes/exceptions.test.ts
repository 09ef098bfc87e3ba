import { describe, expect, test } from 'vitest'
import { assemble, type AssembledModule } from '../module/assembler.ts'
import { type Run, run } from './test-capture.ts'
import {
  ADD,
  call,
  END,
  everyWay,
  f64Bytes,
  get,
  i32,
  module,
  OPTIONS,
  polling,
  set,
  trace,
  traceStored,
  turns,
} from './test-cases.ts'

const TRY = 0x06
const CATCH = 0x07
const THROW = 0x08
const RETHROW = 0x09
const THROW_REF = 0x0a
const DELEGATE = 0x18
const CATCH_ALL = 0x19
const TRY_TABLE = 0x1f
const EMPTY = 0x40
const EXNREF = 0x69
const BR = 0x0c
const DROP = 0x1a

const expectSame = (assembled: AssembledModule, grid?: bigint): Run =>
  everyWay((actual, expected) => expect(actual).toEqual(expected), assembled, grid)

/** (i32) → i32: polls, then throws tag 0 with its argument if that is odd, tag 1 if it is divisible by 4. */
const throwing = {
  params: ['i32'],
  results: ['i32'],
  locals: ['i32'],
  code: [
    ...turns(1, 2),
    ...[...get(0), ...i32(1), 0x71, 0x04, EMPTY, ...get(0), THROW, 0, END],
    ...[...get(0), ...i32(3), 0x71, 0x45, 0x04, EMPTY, THROW, 1, END],
    ...get(0),
  ],
} as const
const TAGS = [{ params: ['i32'] }, {}] as const

/** Function 0 is _start, 1 polls, 2 polls and throws. Locals 0 to 3 are i32, 4 is an exnref where it is wanted. */
const guest = (
  code: readonly number[],
  rest: Partial<AssembledModule> & { exnref?: boolean } = {},
): AssembledModule => {
  const { exnref, ...others } = rest
  const locals = exnref ? (['i32', 'i32', 'i32', 'i32', 'exnref'] as const) : (['i32', 'i32', 'i32', 'i32'] as const)
  const functions = [{ code: [...code, ...traceStored], locals, exported: '_start' }, polling, throwing]
  return module([], { tags: TAGS, functions, ...others })
}
/** For i = 6 down to 1 in local 0. */
const each = (body: readonly number[]): number[] => turns(0, 6, body)

describe('legacy exception handling', () => {
  test('a try with a catch for each tag, polls everywhere, operands below', () => {
    const body = [...get(0), ...call(2), ...call(1), ...trace]
    const first = [...call(1), ...trace, ...turns(1, 2)]
    const second = [...i32(50), ...call(1), ...trace]
    const whole = [TRY, EMPTY, ...body, CATCH, 0, ...first, CATCH, 1, ...second, END]
    const { snapshots } = expectSame(guest([...i32(77), ...each([...i32(5), ...whole, ...trace]), ...trace]))
    expect(snapshots.length).toBeGreaterThan(20)
  })

  test('catch_all with rethrow: the exception is in the frame', () => {
    const inner = [
      TRY,
      EMPTY,
      ...get(0),
      ...call(2),
      ...trace,
      CATCH_ALL,
      ...i32(9),
      ...call(1),
      ...trace,
      RETHROW,
      0,
      END,
    ]
    const outer = [TRY, EMPTY, ...inner, CATCH, 0, ...trace, CATCH, 1, ...i32(4), ...trace, END]
    const { snapshots } = expectSame(guest(each(outer)))
    const values = snapshots.flatMap(({ activations }) => activations.frames.flatMap((frame) => frame.values))
    expect(values).toContainEqual({ type: 'exnref', exception: { tag: 0, values: [{ type: 'i32', bits: 5n }] } })
    expect(values).toContainEqual({ type: 'exnref', exception: { tag: 1, values: [] } })
  })

  test('a catch of one tag that is thrown again from a loop in a block in it', () => {
    const loop = [0x02, EMPTY, ...turns(1, 3, [...get(1), ...i32(2), 0x46, 0x04, EMPTY, RETHROW, 3, END]), END]
    const inner = [TRY, 0x7f, ...get(0), ...call(2), CATCH, 0, ...call(1), ...loop, CATCH, 1, ...i32(31), END, ...trace]
    const outer = [TRY, EMPTY, ...inner, CATCH_ALL, ...i32(6), ...call(1), ...trace, END]
    expectSame(guest(each(outer)))
  })

  test('catches in catches, each thrown again', () => {
    const again = (depth: number): number[] => [...get(0), ...i32(3), 0x46, 0x04, EMPTY, RETHROW, depth, END]
    const deep = [
      TRY,
      EMPTY,
      ...i32(7),
      ...call(2),
      DROP,
      CATCH,
      0,
      ...call(1),
      ...trace,
      ...again(1),
      ...again(2),
      END,
    ]
    const inner = [TRY, EMPTY, ...get(0), ...call(2), DROP, CATCH_ALL, ...deep, ...turns(1, 2), ...again(1), END]
    const outer = [TRY, EMPTY, ...inner, CATCH, 0, ...call(1), ...trace, CATCH_ALL, ...i32(2), ...trace, END]
    expectSame(guest(each(outer)))
  })

  test('delegate to a try around, to a block and to the caller', () => {
    const delegated = (to: number): number[] => [
      TRY,
      EMPTY,
      ...turns(1, 2),
      ...get(0),
      ...call(2),
      ...trace,
      DELEGATE,
      to,
    ]
    const skipping = [TRY, EMPTY, ...delegated(1), CATCH_ALL, ...i32(1000), ...trace, END]
    const outer = [
      TRY,
      EMPTY,
      0x02,
      EMPTY,
      ...skipping,
      END,
      CATCH,
      0,
      ...call(1),
      ...trace,
      CATCH_ALL,
      ...i32(8),
      ...trace,
      END,
    ]
    const inBlock = [TRY, EMPTY, 0x02, EMPTY, ...delegated(0), END, CATCH_ALL, ...i32(12), ...call(1), ...trace, END]
    expectSame(guest(each([...outer, ...inBlock])))
    const through = {
      params: ['i32'],
      locals: ['i32'],
      code: [0x03, EMPTY, TRY, EMPTY, ...get(0), ...call(2), DROP, DELEGATE, 1, END],
    } as const
    const callsIt = [TRY, EMPTY, ...get(0), ...call(3), CATCH, 0, ...call(1), ...trace, CATCH_ALL, END]
    const { functions } = guest(each(callsIt))
    expectSame(guest([], { functions: [...functions, through] }))
  })

  test('through recursion with its counter in a local: slots and fuel are those of the activation that catches', () => {
    // f(n): n = 0 ? throw 7 : try { f(n − 1) } catch (v) { polls; if n is even, again with v + n, else return }
    const again = [
      ...get(0),
      ADD,
      ...set(1),
      ...turns(2, 2),
      ...get(0),
      ...i32(1),
      0x71,
      0x45,
      0x04,
      EMPTY,
      ...get(1),
      THROW,
      0,
      END,
    ]
    const f = {
      params: ['i32'],
      locals: ['i32', 'i32'],
      code: [
        ...[...get(0), 0x45, 0x04, EMPTY, ...i32(7), THROW, 0, END],
        ...[...turns(2, 3), TRY, EMPTY, ...get(0), ...i32(1), 0x6b, ...call(3), CATCH, 0, ...again, END],
        ...[...get(1), ...trace],
      ],
    } as const
    const start = turns(0, 3, [TRY, EMPTY, ...i32(8), ...call(3), CATCH, 0, ...trace, END])
    const { functions } = guest(start)
    expectSame(guest([], { functions: [...functions, f] }))
  })

  test('payloads of every type with exact bits', () => {
    const tags = [{ params: ['i64', 'f32', 'f64', 'v128', 'i32'] }] as const
    const payload = [
      ...[
        0x42,
        5,
        0x43,
        0,
        0,
        0xc0,
        0x3f,
        0x44,
        ...f64Bytes(-0),
        0xfd,
        0x0c,
        ...Array.from({ length: 16 }, (_, i) => i),
      ],
      ...get(0),
    ]
    const use = [...trace, 0xfd, 0x1b, 1, ...trace, 0xbd, 0xa7, ...trace, 0xbc, ...trace, 0xa7, ...trace]
    const inner = [TRY, EMPTY, ...payload, THROW, 0, CATCH, 0, ...turns(1, 2), ...use, RETHROW, 0, END]
    const outer = [TRY, EMPTY, ...inner, CATCH, 0, ...i32(1), ...call(1), ...trace, ...use, END]
    expectSame(module([...each(outer), ...traceStored], { tags }))
  })

  test('that nothing catches ends the guest with a trap of its own', () => {
    const { end } = expectSame(guest([...turns(1, 3), TRY, EMPTY, ...i32(4), ...call(2), DROP, CATCH, 0, DROP, END]))
    expect(end).toMatchObject({ kind: 'trapped', reason: 'uncaught-exception' })
  })
})

/** block (result …) … try_table … end, then the handler's code; leaves nothing. */
const tryTable = (
  clauses: readonly number[],
  blockType: readonly number[],
  body: readonly number[],
  handler: readonly number[],
): number[] => [
  ...[0x02, EMPTY, 0x02, ...blockType, TRY_TABLE, EMPTY, 1, ...clauses, ...body, END, BR, 1, END, ...handler, END],
]

describe('exception handling with references', () => {
  test('catch and catch_all, polls everywhere, operands below', () => {
    const body = [...get(0), ...call(2), ...call(1), ...trace]
    const one = tryTable([0, 0, 0], [0x7f], body, [...call(1), ...trace, ...turns(1, 2)])
    const all = tryTable([2, 0], [EMPTY], one, [...i32(50), ...call(1), ...trace])
    expectSame(guest([...i32(77), ...each([...i32(5), ...all, ...trace]), ...trace]))
  })

  test('catch_all_ref … throw_ref, as clang cleans up', () => {
    const cleanup = [...set(4), ...i32(9), ...call(1), ...trace, ...get(4), THROW_REF]
    const inner = tryTable([3, 0], [EXNREF], [...get(0), ...call(2), ...trace], cleanup)
    const outer = tryTable([0, 0, 0], [0x7f], inner, [...call(1), ...trace])
    const { snapshots } = expectSame(
      guest(each(tryTable([2, 0], [EMPTY], outer, [...i32(3), ...trace])), { exnref: true }),
    )
    const values = snapshots.flatMap(({ activations }) => activations.frames.flatMap((frame) => frame.values))
    expect(values).toContainEqual({ type: 'exnref', exception: { tag: 0, values: [{ type: 'i32', bits: 5n }] } })
    expect(values).toContainEqual({ type: 'exnref', exception: { tag: 1, values: [] } })
  })

  test('references as operands below calls and loops, and null ones in locals', () => {
    const types = [{ params: [], results: ['i32', 'exnref'] }] as const
    const waiting = [...turns(1, 2), ...i32(5), ...call(1), ...trace, THROW_REF]
    const handler = [...waiting]
    const inner = [
      0x02,
      EMPTY,
      0x02,
      0,
      TRY_TABLE,
      EMPTY,
      1,
      1,
      0,
      0,
      ...get(0),
      ...call(2),
      ...trace,
      END,
      BR,
      1,
      END,
      ...handler,
      END,
    ]
    const isNull = [...get(4), 0xd1, ...trace, ...turns(2, 2), ...get(4), 0xd1, ...trace]
    const code = each([...isNull, ...tryTable([2, 0], [EMPTY], inner, [...i32(3), ...trace])])
    expectSame(guest(code, { exnref: true, types }))
  })

  test('a null reference that is thrown traps', () => {
    const { end } = expectSame(guest([...turns(1, 2), 0xd0, EXNREF, THROW_REF], { exnref: true }))
    expect(end).toMatchObject({ kind: 'trapped', reason: 'null-reference' })
  })
})

describe('what is no exception of the guest passes its handlers', () => {
  class Exit extends Error {}
  const imports = [{ module: 'wasi_snapshot_preview1', name: 'proc_exit', params: ['i32'] }] as const
  const host = {
    proc_exit: () => {
      throw new Exit('bye')
    },
  }
  const leaving = [...i32(7), ...call(0), ...i32(1), ...trace]
  const caught = [...i32(666), ...trace]
  test.each([
    ['catch_all', [TRY, EMPTY, ...leaving, CATCH_ALL, ...caught, END]],
    ['catch_all clause', tryTable([2, 0], [EMPTY], leaving, caught)],
    ['catch_all_ref clause', tryTable([3, 0], [EXNREF], leaving, [DROP, ...caught])],
  ])('%s', (_, code) => {
    const functions = [{ code: [...turns(0, 2), ...code], locals: ['i32'] as const, exported: '_start' }]
    const bytes = assemble(module([], { tags: TAGS, imports, functions }))
    for (const capture of [true, false]) {
      expect(() => run(bytes, { ...OPTIONS, capture }, { at: () => 'go', host })).toThrow('bye')
    }
  })

  test('the limit of the stack', () => {
    const f = { code: [TRY, EMPTY, ...call(1), CATCH_ALL, ...i32(1), ...trace, END] }
    const functions = [{ code: call(1), exported: '_start' }, f]
    const bytes = assemble(module([], { tags: TAGS, functions }))
    const { end } = run(bytes, { ...OPTIONS, stackLimitSlots: 500, capture: true }, { at: () => 'go' })
    expect(end).toMatchObject({ kind: 'trapped', reason: 'stack-exhausted' })
  })
})

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
    const FUNCREF = 0x70
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
