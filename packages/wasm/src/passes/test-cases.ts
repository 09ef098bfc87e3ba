/** Small programs for tests of captures, as bytes of code. */

import { assemble, signed, type AssembledModule } from '../module/assembler.ts'
import type { ValueType } from '../module/opcodes.ts'
import { digest, type Run, run } from './test-capture.ts'

export const OPTIONS = { floats: 'canonical', stackLimitSlots: 1 << 22, memoryLimitPages: 8 } as const
export const i32 = (value: number): number[] => [0x41, ...signed(value)]
export const get = (local: number): number[] => [0x20, local]
export const set = (local: number): number[] => [0x21, local]
export const tee = (local: number): number[] => [0x22, local]
export const call = (index: number): number[] => [0x10, index]
export const END = 0x0b
export const ADD = 0x6a
/** Global 0 = global 0 × 31 + operand. */
export const TRACE = 0
export const trace: readonly number[] = [0x23, 0, ...i32(31), 0x6c, ADD, 0x24, 0]
/** i = n; do { body } while ((i -= 1) & -1): no counted loop, so each turn polls. */
export const turns = (counter: number, n: number, body: readonly number[] = []): number[] => [
  ...[...i32(n), ...set(counter), 0x03, 0x40, ...body],
  ...[...get(counter), ...i32(1), 0x6b, ...tee(counter), ...i32(-1), 0x71, 0x0d, 0, END],
]
/** (i32) → i32: one more than given, after three polls. */
export const polling = {
  params: ['i32'],
  results: ['i32'],
  locals: ['i32'],
  code: [...turns(1, 3), ...get(0), ...i32(1), ADD],
} as const

export const module = (
  code: readonly number[],
  rest: Partial<AssembledModule> & { locals?: ValueType[] } = {},
): AssembledModule => ({
  functions: [{ code, locals: rest.locals ?? ['i32', 'i32', 'i32', 'i32'], exported: '_start' }, polling],
  memory: { minPages: 1 },
  globals: [{ type: 'i32', initial: i32(TRACE) }],
  ...rest,
})

/** What the engine alone leaves in memory. */
function plainMemory(bytes: Uint8Array<ArrayBuffer>): number {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes))
  ;(exports['_start'] as () => void)()
  return digest(new Uint8Array((exports['memory'] as WebAssembly.Memory).buffer))
}

/** Captured at every stop, continued there and moved: the same as without. Returns the one that was continued. */
export function everyWay(
  equal: (actual: unknown, expected: unknown) => void,
  assembled: AssembledModule,
  grid = 1n,
): Run {
  const bytes = assemble(assembled)
  const straight = run(bytes, OPTIONS, { at: () => 'go', grid })
  if (assembled.imports === undefined && straight.end.kind === 'exited' && assembled.start === undefined) {
    equal(straight.last.memory, plainMemory(bytes))
  }
  const options = { ...OPTIONS, capture: true }
  equal(run(bytes, options, { at: () => 'go', grid }), straight)
  const continued = run(bytes, options, { at: () => 'capture', grid })
  equal({ ...continued, snapshots: [] }, straight)
  // Sites in host calls come after all others: nothing else changes.
  equal(run(bytes, { ...options, lookout: true }, { at: () => 'capture', grid }), continued)
  const moved = run(bytes, options, { at: () => 'move', grid })
  equal({ ...moved, snapshots: [] }, straight)
  equal(moved.snapshots, continued.snapshots)
  equal(continued.snapshots.length, straight.stops.length)
  return continued
}

export const store = (value: readonly number[], at = 0): number[] => [...i32(at), ...value, 0x36, 2, 0]
export const traceStored = store([0x23, 0], 8)

export function f64Bytes(value: number): number[] {
  return [...new Uint8Array(Float64Array.of(value).buffer)]
}

/** (i32) → i32: polls, then throws tag 0 with its argument if that is odd, tag 1 if it is divisible by 4. */
export const throwing = {
  params: ['i32'],
  results: ['i32'],
  locals: ['i32'],
  code: [
    ...turns(1, 2),
    ...[...get(0), ...i32(1), 0x71, 0x04, 0x40, ...get(0), 0x08, 0, END],
    ...[...get(0), ...i32(3), 0x71, 0x45, 0x04, 0x40, 0x08, 1, END],
    ...get(0),
  ],
} as const
export const TAGS = [{ params: ['i32'] }, {}] as const

/** Function 0 is _start, 1 polls, 2 polls and throws. Locals 0 to 3 are i32, 4 is an exnref where it is wanted. */
export const guest = (
  code: readonly number[],
  rest: Partial<AssembledModule> & { exnref?: boolean } = {},
): AssembledModule => {
  const { exnref, ...others } = rest
  const locals = exnref ? (['i32', 'i32', 'i32', 'i32', 'exnref'] as const) : (['i32', 'i32', 'i32', 'i32'] as const)
  const functions = [{ code: [...code, ...traceStored], locals, exported: '_start' }, polling, throwing]
  return module([], { tags: TAGS, functions, ...others })
}
/** For i = 6 down to 1 in local 0. */
export const each = (body: readonly number[]): number[] => turns(0, 6, body)
