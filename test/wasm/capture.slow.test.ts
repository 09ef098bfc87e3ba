/** Real programs captured at random stops, each time continued in a fresh instance: all later states are the same. */

import { hex } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { runGuest, type Snapshot } from '../../packages/wasm/src/machine.ts'
import { decodeFrames, encodeFrames } from '../../packages/wasm/src/state/index.ts'
import { Continuations } from '../../packages/wasm/src/passes/continuations.ts'
import { rewrite } from '../../packages/wasm/src/passes/rewrite.ts'
import {
  host,
  isNight,
  program,
  type Program,
  programsOfTier,
  type Result,
  resultOf,
  sha256,
  withScript,
} from './programs.ts'

/** By day Python is left and gone on with by test/command/kill-runtimes.slow.test.ts and others. */
const captured = programsOfTier.filter((name) => isNight || name !== 'python')
const STOPS = isNight ? 40n : 20n
const CAPTURES = isNight ? 20 : 5

interface Run extends Result {
  readonly stops: readonly string[]
  readonly position: bigint
  readonly frames: readonly number[]
}

class Machine {
  readonly #program: Program
  readonly #module: WebAssembly.Module
  readonly #rewritten
  readonly #continuations: Continuations

  constructor(program: Program) {
    const options = { floats: 'canonical', stackLimitSlots: 1 << 20, memoryLimitPages: 1 << 15, capture: true } as const
    this.#program = program
    this.#rewritten = rewrite(program.bytes, options)
    this.#module = new WebAssembly.Module(this.#rewritten.bytes)
    this.#continuations = new Continuations(() => program.bytes, options)
  }

  run(grid: bigint, isCaptured: (stop: number) => boolean): Run {
    const { wasi, call } = host(this.#program)
    const stops: string[] = []
    const frames: number[] = []
    let due = grid
    let from: Snapshot | undefined
    for (;;) {
      const end = runGuest({
        module: this.#module,
        facts: this.#rewritten.facts,
        continuations: this.#continuations,
        hostImport: call,
        nextDue: () => due,
        onReady: (guest) => wasi.bind({ get buffer() { return guest.memory().buffer } }), // prettier-ignore
        onStop: (stop, guest) => {
          due = (stop.position / grid + 1n) * grid
          const globals = guest.globals().map(({ bits }) => bits)
          stops.push(`${stop.position} ${hex(sha256(guest.memory()))} ${globals.join()}`)
          return isCaptured(stops.length) ? 'capture' : 'go'
        },
        onCapture: (activations, guest) => {
          const position = guest.position()
          frames.push(activations.frames.length)
          const bytes = encodeFrames(activations)
          from = {
            activations: decodeFrames(bytes),
            memory: guest.memory().slice(),
            globals: guest.globals(),
            position,
          }
          return 'suspend'
        },
        ...(from === undefined ? {} : { from }),
        isExit: (thrown) => wasi.isExit(thrown),
      })
      if (end.kind === 'suspended') continue
      stops.push(JSON.stringify(end, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)))
      const result = resultOf(wasi, end.kind === 'exited' ? end.code : -1)
      return { ...result, stops, position: end.position, frames }
    }
  }
}

/** Random, but the same every time. */
function chosen(count: number): Set<number> {
  let state = 1
  const next = (): number => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x1234567
    return (state >>> 0) % count
  }
  const set = new Set<number>()
  while (set.size < Math.min(CAPTURES, count)) set.add(1 + next())
  return set
}

function expectSame(program: Program): Result {
  const machine = new Machine(program)
  const { position } = machine.run(1n << 62n, () => false)
  const grid = position / STOPS + 1n
  const { frames: _, ...straight } = machine.run(grid, () => false)
  const captures = chosen(straight.stops.length - 1)
  const { frames, ...left } = machine.run(grid, (stop) => captures.has(stop))
  expect(frames.length).toBe(captures.size)
  expect(Math.min(...frames)).toBeGreaterThan(0)
  expect(left).toEqual(straight)
  return left
}

describe('captured at random stops and moved to fresh instances, a program goes through the same states', () => {
  test.each(captured)('%s', (name) => {
    expect(expectSame(program(name)).exit).toBe(0)
  })

  test.runIf(isNight)('Ruby that switches stacks of its own', () => {
    const script = `
def deep(n) n == 0 ? 0 : 1 + deep(n - 1) end
puts deep(3000), (1..50000).map { |i| (i * 7919) % 100003 }.sort[500]
f = Fiber.new { 3.times { |i| Fiber.yield i }; :done }
puts 4.times.map { f.resume }.inspect
begin; raise 'x'; rescue => e; puts e.message; end
`
    const { outputs } = expectSame(withScript('ruby', script))
    expect(outputs['/dev/stdout']).toMatch(/^3000\n\d+\n\[0, 1, 2, :done\]\nx\n$/)
  })
})
