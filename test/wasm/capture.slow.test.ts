/** Real programs captured at random stops, each time continued in a fresh instance: all later states are the same. */

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { hex } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { benchProgram } from '../../tools/compile-c.ts'
import { runGuest, type Snapshot } from '../../packages/wasm/src/machine.ts'
import { decodeFrames, encodeFrames } from '../../packages/wasm/src/state/index.ts'
import { Continuations } from '../../packages/wasm/src/passes/continuations.ts'
import { rewrite } from '../../packages/wasm/src/passes/rewrite.ts'
import { archive, file, host, language, type Program, type Result, resultOf, root, sha256 } from './programs.ts'

const STOPS = 40n
const CAPTURES = 10

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
  const { frames, ...captured } = machine.run(grid, (stop) => captures.has(stop))
  expect(frames.length).toBe(captures.size)
  expect(Math.min(...frames)).toBeGreaterThan(0)
  expect(captured).toEqual(straight)
  return captured
}

describe('captured at random stops and moved to fresh instances, a program goes through the same states', () => {
  test.each(['gemm', 'sort', 'nbody', 'hash-table'])('%s', (name) => {
    expect(expectSame({ bytes: benchProgram(name), argv: [name, '1'] }).exit).toBe(0)
  })

  test('CPython', () => {
    const script = `
import hashlib, json
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
table = {str(i): i * i for i in range(50000)}
print(fib(18), sum(map(float, table.values())), hashlib.sha256(json.dumps(table).encode()).hexdigest())
print(sorted(range(20000), key=lambda i: (i * 7919) % 100003)[5])
`
    const { outputs } = expectSame({
      bytes: language('python-3.11.3.wasm'),
      argv: ['python', 'a.py'],
      environment: [['PYTHONHOME', '/python/usr/local'], ['PYTHONHASHSEED', '0']], // prettier-ignore
      files: [file('a.py', script)],
      library: { at: '/python', files: archive('python-3.11.3.tar.gz') },
    })
    expect(outputs['/dev/stdout']).toMatch(/^2584 \d+/)
  })

  test('Ruby, which carries stack switching of its own', () => {
    const script = `
def deep(n) n == 0 ? 0 : 1 + deep(n - 1) end
puts deep(3000), (1..50000).map { |i| Math.sin(i) }.sum, (1..50000).map { |i| (i * 7919) % 100003 }.sort[500]
f = Fiber.new { 3.times { |i| Fiber.yield i }; :done }
puts 4.times.map { f.resume }.inspect
begin; raise 'x'; rescue => e; puts e.message; end
`
    const program = { bytes: language('ruby-3.2.0.wasm'), argv: ['ruby', 'a.rb'], files: [file('a.rb', script)] }
    expect(expectSame(program).outputs['/dev/stdout']).toMatch(/^3000\n.*\n\d+\n\[0, 1, 2, :done\]\nx\n$/)
  })

  test('PHP', () => {
    const script = `<?php $a = []; for ($i = 0; $i < 100000; $i++) $a["k$i"] = $i * $i; echo md5(json_encode($a)), sqrt(2), "\\n";
usort($a, fn($x, $y) => $y <=> $x); echo $a[5];`
    const { outputs } = expectSame({
      bytes: language('php-cgi-8.2.0.wasm'),
      argv: ['php', '-q', '-d', 'max_execution_time=0', 'a.php'],
      files: [file('a.php', script)],
    })
    expect(outputs['/dev/stdout']).toMatch(/^[0-9a-f]{32}1.41/)
  })

  test('QuickJS', () => {
    const script = `function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2) }
print(fib(20), JSON.stringify([...Array(20000).keys()].map((x) => (x * 7919) % 100003).sort((a, b) => a - b)).length, 0 / 0)`
    const program = { bytes: language('wasmedge_quickjs.wasm'), argv: ['qjs', 'a.js'], files: [file('a.js', script)] }
    expect(expectSame(program).outputs['/dev/stdout']).toMatch(/^6765 \d+ NaN\n$/)
  })

  test('SQLite', () => {
    const sql = `create table t(a integer primary key, b int, c text);
with recursive r(i) as (select 1 union all select i + 1 from r where i < 20000) insert into t select i, (i * 7919) % 10007, 'row' || i from r;
create index ti on t(b); select count(*), sum(x.b), max(x.c) from t x join t y on x.b = y.b where x.a % 10 = 1;`
    const { outputs } = expectSame({ bytes: language('sqlite.wasm'), argv: ['sqlite', '-batch', 'test.db', sql] })
    expect(outputs['/dev/stdout']).toMatch(/^\d+\|\d+\|row\d+\n$/)
  })

  test('clang', () => {
    const include = ['/sys/include', '/sys/lib/clang/8.0.1/include'].flatMap((path) => ['-internal-isystem', path])
    const target = ['-triple', 'wasm32-unknown-wasi', '-isysroot', '/sys', ...include, '-O2', '-emit-obj']
    const { exit } = expectSame({
      bytes: language('clang.wasm'),
      argv: ['clang', '-cc1', ...target, '-o', 'a.o', 'a.c'],
      files: [file('a.c', readFileSync(resolve(root, 'bench/programs/sort.c'), 'utf8'))],
      library: {
        at: '/sys',
        files: archive('clang-fs.tar.gz').map(({ path, bytes }) => ({ path: path.replace(/^sys\//, ''), bytes })),
      },
    })
    expect(exit).toBe(0)
  })
})
