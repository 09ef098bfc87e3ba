import { describe, expect, test } from 'vitest'
import { assemble, type AssembledModule } from '../module/assembler.ts'
import { rewrite } from './rewrite.ts'
import { type Run, run } from './test-capture.ts'
import {
  call,
  each,
  END,
  everyWay,
  f64Bytes,
  get,
  guest,
  i32,
  module,
  OPTIONS,
  set,
  TAGS,
  trace,
  traceStored,
  turns,
  ADD,
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

  test('a clause that gives other values than its label takes is refused: nothing of it would be left', () => {
    // catch of a tag with an i32, and catch_all_ref with an exnref, to a block without results.
    for (const clause of [[0x00, 0], [0x03]]) {
      const code = [0x02, EMPTY, TRY_TABLE, EMPTY, 1, ...clause, 0, END, END]
      const bytes = assemble(module(code, { tags: TAGS }))
      expect(WebAssembly.validate(bytes)).toBe(false)
      expect(() => rewrite(bytes, OPTIONS)).toThrow('breaks a rule of WebAssembly')
    }
  })
})
