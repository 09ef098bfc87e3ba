import { describe, expect, test } from 'vitest'
import { WasmError } from './error.ts'
import { type Guest, type GuestStop, type HostFunction, runGuest, type Stop } from './machine.ts'
import { assemble, signed, type AssembledModule } from './module/assembler.ts'
import { rewrite, type RewriteOptions } from './passes/rewrite.ts'

const OPTIONS: RewriteOptions = { floats: 'canonical', stackLimitSlots: 1 << 16, memoryLimitPages: 4 }

interface Setup {
  readonly host?: Record<string, HostFunction>
  readonly due?: (position: bigint) => bigint
  readonly onStop?: (stop: Stop, guest: Guest) => 'go' | 'suspend'
  readonly onReady?: (guest: Guest) => void
  readonly options?: Partial<RewriteOptions>
}

class Exit extends Error {
  readonly status: number
  constructor(status: number) {
    super()
    this.status = status
  }
}

function run(module: AssembledModule, setup: Setup = {}): GuestStop & { stops: Stop[] } {
  const rewritten = rewrite(assemble(module), { ...OPTIONS, ...setup.options })
  const stops: Stop[] = []
  let position = 0n
  const end = runGuest({
    module: new WebAssembly.Module(rewritten.bytes),
    facts: rewritten.facts,
    hostImport: (_, name) => setup.host?.[name],
    nextDue: () => setup.due?.(position) ?? 1n << 62n,
    onReady: (guest) => setup.onReady?.(guest),
    onStop: (stop, guest) => {
      stops.push(stop)
      position = stop.position
      return setup.onStop?.(stop, guest) ?? 'go'
    },
    isExit: (thrown) => (thrown instanceof Exit ? thrown.status : undefined),
  })
  return { ...end, stops }
}

const command = (code: number[], rest: Partial<AssembledModule> = {}): AssembledModule => ({
  functions: [{ code, exported: '_start' }],
  memory: { minPages: 1 },
  ...rest,
})

const procExit = { module: 'wasi_snapshot_preview1', name: 'proc_exit', params: ['i32'] } as const
const checkpoint = { module: 'reprise', name: 'checkpoint', params: ['i32', 'i32'] } as const
// i = 1000; do { i = i - 1; local 1 = i } while (local 1 & 1023): no counted loop. Eight instructions.
const thousandTurns = [
  0x41,
  ...signed(1000),
  0x21,
  0,
  0x03,
  0x40,
  0x20,
  0,
  0x41,
  1,
  0x6b,
  0x22,
  0,
  0x41,
  0xff,
  0x07,
  0x71,
  0x0d,
  0,
  0x0b,
]
const withCounter = (code: number[]): AssembledModule => ({
  functions: [{ locals: ['i32'], code, exported: '_start' }],
  memory: { minPages: 1 },
})

describe('positions', () => {
  test('a loop is charged its instructions at every turn', () => {
    expect(run(withCounter(thousandTurns))).toMatchObject({ kind: 'exited', code: 0, position: 7000n })
  })

  test('a stop is at the first site at or after the due position', () => {
    const { stops } = run(withCounter(thousandTurns), { due: (position) => position + 1000n })
    expect(stops.map((stop) => stop.position)).toEqual([1001n, 2002n, 3003n, 4004n, 5005n, 6006n])
    expect(stops.every((stop) => stop.kind === 'due')).toBe(true)
  })

  test('a due position in the past means the next site', () => {
    const { stops } = run(withCounter(thousandTurns), { due: () => 0n })
    expect(stops).toHaveLength(1000)
  })

  test('a counted loop is charged at once, before it runs', () => {
    // do { } while (i += 1, i != 100)
    const loop = [0x03, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41, ...signed(100), 0x47, 0x0d, 0, 0x0b]
    expect(run(withCounter(loop), { due: (position) => position + 1n })).toMatchObject({
      position: 700n,
      stops: [{ kind: 'due', position: 700n }],
    })
  })

  test('positions beyond 2^31 do not wrap', () => {
    const before = { due: () => 1n << 40n }
    // Both loops of a nest: the inner one is counted and short, the outer one turns 2^26 times.
    const inner = [0x41, 0, 0x21, 1, 0x03, 0x40, 0x20, 1, 0x41, 1, 0x6a, 0x22, 1, 0x41, 2, 0x47, 0x0d, 0, 0x0b]
    const tail = [0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41, ...signed(1 << 26), 0x47, 0x0d, 0]
    const module: AssembledModule = {
      functions: [{ locals: ['i32', 'i32'], code: [0x03, 0x40, ...inner, ...tail, 0x0b], exported: '_start' }],
    }
    expect(run(module, before)).toMatchObject({ kind: 'exited', position: BigInt(1 << 26) * (10n + 2n * 7n) })
  })

  test('a trap has the position of the last host call or stop', () => {
    const imports = [{ module: 'wasi_snapshot_preview1', name: 'sched_yield', results: ['i32'] }] as const
    const code = [...thousandTurns, 0x10, 0, 0x1a, ...thousandTurns, 0x00]
    expect(run({ ...withCounter(code), imports }, { host: { sched_yield: () => 0 } })).toMatchObject({
      kind: 'trapped',
      reason: 'unreachable',
      position: 7000n,
    })
  })
})

describe('stops', () => {
  test('the guest asks for a checkpoint by name', () => {
    const data = [{ at: 8, bytes: [...Buffer.from('phase 1')] }]
    const code = [0x41, 8, 0x41, 7, 0x10, 0]
    const { stops } = run(command(code, { imports: [checkpoint], data }))
    expect(stops).toEqual([{ kind: 'requested', position: 0n, label: 'phase 1' }])
  })

  test.each([
    ['outside of the memory', [0x41, ...signed(65535), 0x41, 7, 0x10, 0]],
    ['too long', [0x41, 0, 0x41, ...signed(1025), 0x10, 0]],
    ['not UTF-8', [0x41, 0, 0x41, 1, 0x10, 0]],
  ])('a label %s ends the guest', (_, code) => {
    const data = [{ at: 0, bytes: [0xff] }]
    expect(run(command(code, { imports: [checkpoint], data }))).toMatchObject({ reason: 'invalid-checkpoint-label' })
  })

  test('a host call asks for a checkpoint, which comes when it returns and before the guest goes on', () => {
    let guest: Guest | undefined
    const imports = [{ module: 'wasi_snapshot_preview1', name: 'sched_yield', results: ['i32'] }] as const
    const code = [0x41, 0, 0x10, 0, 0x36, 0, 0] // memory[0] = sched_yield()
    let seen = -1
    const end = run(command(code, { imports }), {
      onReady: (ready) => (guest = ready),
      host: { sched_yield: () => (guest?.requestCheckpoint('closed'), 7) },
      onStop: (_, { memory }) => ((seen = (guest ?? { memory }).memory()[0]), 'go'),
    })
    expect(end.stops).toEqual([{ kind: 'requested', position: 0n, label: 'closed' }])
    expect(seen).toBe(0)
    expect(guest?.memory()[0]).toBe(7)
  })

  test('suspending ends the run where it stopped', () => {
    const end = run(withCounter(thousandTurns), { due: () => 2000n, onStop: () => 'suspend' })
    expect(end).toMatchObject({ kind: 'suspended', position: 2002n })
  })

  test('onReady sees the machine before its first instruction', () => {
    const states: unknown[] = []
    run(command([0x41, 5, 0x24, 0], { globals: [{ type: 'i32', initial: [0x41, 3] }] }), {
      onReady: (guest) => states.push(guest.position(), guest.memoryPages(), guest.globals()),
    })
    expect(states).toEqual([0n, 1, [{ type: 'i32', bits: 3n }]])
  })

  test('a start function runs after onReady', () => {
    const states: unknown[] = []
    const module = command([], { globals: [{ type: 'i32', initial: [0x41, 3] }], start: 1 })
    const functions = [...module.functions, { code: [0x41, 9, 0x24, 0] }]
    run({ ...module, functions }, { onReady: (guest) => states.push(guest, guest.globals()[0].bits) })
    expect(states[1]).toBe(3n)
    expect((states[0] as Guest).globals()[0].bits).toBe(9n)
  })
})

describe('outcomes', () => {
  test('proc_exit gives the code and an exact position', () => {
    const exit = (status: number): never => {
      throw new Exit(status)
    }
    const end = run(
      { ...withCounter([...thousandTurns, 0x41, 3, 0x10, 0]), imports: [procExit] },
      { host: { proc_exit: exit } },
    )
    expect(end).toMatchObject({ kind: 'exited', code: 3, position: 7000n })
  })

  test.each([
    ['unreachable', [0x00]],
    ['memory-out-of-bounds', [0x41, ...signed(-1), 0x28, 0, 0, 0x1a]],
    ['divide-by-zero', [0x41, 1, 0x41, 0, 0x6d, 0x1a]],
    ['divide-by-zero', [0x42, 1, 0x42, 0, 0x82, 0x1a]],
    ['integer-overflow', [0x41, ...signed(-(2 ** 31)), 0x41, ...signed(-1), 0x6d, 0x1a]],
    ['invalid-conversion', [0x43, 0, 0, 0xc0, 0x7f, 0xa8, 0x1a]],
    ['indirect-call-type', [0x41, 0, 0x11, 1, 0]],
    ['table-out-of-bounds', [0x41, 9, 0x11, 0, 0]],
    ['memory-out-of-bounds', [0x41, 0, 0x41, 0, 0x41, ...signed(-1), 0xfc, 0x0b, 0]],
  ])('the trap %s has its reason', (reason, code) => {
    const module = command(code, { table: [0], types: [{}, { params: ['i32'] }] })
    const types = reason === 'indirect-call-type' ? [0x41, 1, ...code] : code
    expect(run({ ...module, functions: [{ code: types, exported: '_start' }] })).toMatchObject({
      kind: 'trapped',
      reason,
    })
  })

  test('recursion ends at the limit of the machine, at the same position with any slices', () => {
    const module: AssembledModule = {
      functions: [
        { params: ['i64'], locals: ['f64'], code: [0x20, 0, 0x10, 0] },
        { code: [0x42, 0, 0x10, 0], exported: '_start' },
      ],
    }
    const end = run(module)
    expect(end).toMatchObject({ kind: 'trapped', reason: 'stack-exhausted', position: 0n })
    // 16 + parameter + local + one operand per activation; two instructions each.
    const activations = Math.floor((1 << 16) / 19)
    const { stops } = run(module, { due: (position) => position + 1n })
    expect(stops).toHaveLength(activations)
    expect(stops.at(-1)?.position).toBe(BigInt(2 * activations))
  })

  test('a return gives its stack slots back', () => {
    // Recursion to depth 3, a hundred thousand times: each way out of the function is taken.
    const recursion = [
      ...[0x20, 0, 0x45, 0x04, 0x40, 0x0f, 0x0b], // if (!n) return
      ...[0x20, 0, 0x41, 1, 0x46, 0x0d, 0], // if (n == 1) branch to the end
      ...[0x20, 0, 0x41, 1, 0x6b, 0x10, 0], // f(n - 1)
    ]
    const body = [
      0x41,
      3,
      0x10,
      0,
      0x41,
      0,
      0x10,
      0,
      0x20,
      0,
      0x41,
      1,
      0x6a,
      0x22,
      0,
      0x41,
      ...signed(100_000),
      0x48,
      0x0d,
      0,
    ]
    const end = run({
      functions: [
        { params: ['i32'], code: recursion },
        { locals: ['i32'], code: [0x03, 0x40, ...body, 0x0b], exported: '_start' },
      ],
    })
    expect(end.kind).toBe('exited')
  })

  test('memory grows to the limit and then answers -1', () => {
    const globals = [0, 1, 2].map(() => ({ type: 'i32', initial: [0x41, 0] }) as const)
    const code = [3, 1, 0].flatMap((pages, i) => [0x41, pages, 0x40, 0, 0x24, i])
    let guest: Guest | undefined
    run(command(code, { globals }), { onReady: (ready) => (guest = ready) })
    expect(guest?.globals().map(({ bits }) => bits)).toEqual([1n, 0xffff_ffffn, 4n])
    expect(guest?.memoryPages()).toBe(4)
    expect(guest?.memory()).toHaveLength(4 * 65536)
  })

  test('an unknown WASI function answers ENOSYS', () => {
    const imports = [
      { module: 'wasi_snapshot_preview1', name: 'sock_open', params: ['i32'], results: ['i32'] },
    ] as const
    let guest: Guest | undefined
    run(command([0x41, 0, 0x10, 0, 0x24, 0], { imports, globals: [{ type: 'i32', initial: [0x41, 0] }] }), {
      onReady: (ready) => (guest = ready),
    })
    expect(guest?.globals()[0].bits).toBe(52n)
  })

  test('what a host function throws that is no exit reaches the caller', () => {
    const host = { proc_exit: () => { throw new TypeError('broken') } } // prettier-ignore
    expect(() => run(command([0x41, 0, 0x10, 0], { imports: [procExit] }), { host })).toThrow('broken')
  })

  test('the engine running out of stack is a failure of the host, not an outcome', () => {
    const module: AssembledModule = { functions: [{ code: [0x10, 0], exported: '_start' }] }
    try {
      run(module, { options: { stackLimitSlots: 0x7fff_ffff } })
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(WasmError)
      expect((error as WasmError).code).toBe('HOST_STACK')
    }
  })

  test('a segment outside of the memory is refused before the guest starts', () => {
    expect(() => run(command([], { data: [{ at: 65535, bytes: [1, 2] }] }))).toThrow(WasmError)
  })
})

describe('globals', () => {
  test('are read bit for bit, floats and vectors too', () => {
    const nan = [0x44, 1, 0, 0, 0, 0, 0, 0xf4, 0xff]
    const vector = [0xfd, 0x0c, ...Array.from({ length: 16 }, (_, i) => i + 0xf0)]
    const globals = [
      { type: 'i32', initial: [0x41, 0x7f] },
      { type: 'i64', mutable: false, initial: [0x42, 1] },
      { type: 'i64', initial: [0x42, 0x7f] },
      { type: 'f32', initial: [0x43, 0, 0, 0, 0x80] },
      { type: 'f64', initial: nan },
      { type: 'v128', initial: vector },
    ] as const
    let read: unknown
    run({ functions: [{ code: [], exported: '_start' }], globals }, { onReady: (guest) => (read = guest.globals()) })
    expect(read).toEqual([
      { type: 'i32', bits: 0xffff_ffffn },
      { type: 'i64', bits: 0xffff_ffff_ffff_ffffn },
      { type: 'f32', bits: 0x8000_0000n },
      { type: 'f64', bits: 0xfff4_0000_0000_0001n },
      { type: 'v128', bits: 0xfffefdfcfbfaf9f8f7f6f5f4f3f2f1f0n },
    ])
  })
})
