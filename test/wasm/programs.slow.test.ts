/**
 * Real programs before and after rewriting: they give the same streams, files and states as the engine alone, and have
 * the same stops wherever the counter is kept.
 */

import { hex } from '@reprise/core'
import { afterAll, describe, expect, test } from 'vitest'
import { runGuest } from '../../packages/wasm/src/machine.ts'
import type { CounterPlace } from '../../packages/wasm/src/passes/fuel.ts'
import { rewriteWith, type ModuleFacts } from '../../packages/wasm/src/passes/rewrite.ts'
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

// A few stops in each program, so that hashing the memory does not take longer than running it.
const GRID = 1n << 30n

interface Made {
  readonly module: WebAssembly.Module
  readonly facts: ModuleFacts
}

/** By what they were made of, as long as this file is tested: a language runtime takes seconds, and is run several times. */
const plainModules = new Map<Uint8Array, WebAssembly.Module>()
const rewrittenModules = new Map<Uint8Array, Partial<Record<CounterPlace, Made>>>()
afterAll(() => {
  plainModules.clear()
  rewrittenModules.clear()
})

function plainModule({ bytes }: Program): WebAssembly.Module {
  const module = plainModules.get(bytes) ?? new WebAssembly.Module(bytes)
  plainModules.set(bytes, module)
  return module
}

function rewrittenModule({ bytes: program }: Program, counter: CounterPlace): Made {
  const made = rewrittenModules.get(program) ?? {}
  rewrittenModules.set(program, made)
  return (made[counter] ??= (() => {
    const limits = { stackLimitSlots: 1 << 20, memoryLimitPages: 1 << 15 }
    const { bytes, facts } = rewriteWith(program, { floats: 'canonical', ...limits }, counter)
    return { module: new WebAssembly.Module(bytes), facts }
  })())
}

function runPlain(program: Program): Result {
  const { wasi, call } = host(program)
  const module = plainModule(program)
  const imports: WebAssembly.Imports = {}
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] = { ...imports[from], [name]: call(from, name) ?? (() => 52) }
  }
  const { exports } = new WebAssembly.Instance(module, imports)
  wasi.bind(exports['memory'] as WebAssembly.Memory)
  try {
    ;(exports['_start'] as () => void)()
    return resultOf(wasi, 0)
  } catch (error) {
    return resultOf(wasi, wasi.isExit(error) ?? -1)
  }
}

function runRewritten(program: Program, counter: CounterPlace): Result & { readonly stops: readonly string[] } {
  const { wasi, call } = host(program)
  const { module, facts } = rewrittenModule(program, counter)
  const stops: string[] = []
  let due = GRID
  const end = runGuest({
    module,
    facts,
    hostImport: call,
    nextDue: () => due,
    onReady: (guest) => wasi.bind({ get buffer() { return guest.memory().buffer } }), // prettier-ignore
    onStop: (stop, guest) => {
      due = (stop.position / GRID + 1n) * GRID
      const globals = guest.globals().map(({ bits }) => bits)
      stops.push(`${stop.position} ${hex(sha256(guest.memory()))} ${globals.join()}`)
      return 'go'
    },
    isExit: (thrown) => wasi.isExit(thrown),
  })
  stops.push(String(end.position))
  return { ...resultOf(wasi, end.kind === 'exited' ? end.code : -1), stops }
}

/** The same as the engine alone gives; the same stops wherever the counter is kept. */
function expectSame(program: Program): Result {
  const plain = runPlain(program)
  const { stops, ...rewritten } = runRewritten(program, 'measured')
  expect(rewritten).toEqual(plain)
  expect(runRewritten(program, 'global').stops).toEqual(stops)
  return plain
}

describe('a program gives the same streams, files and states', () => {
  test.each(programsOfTier)('%s', (name) => {
    const { exit, outputs } = expectSame(program(name))
    expect(exit).toBe(0)
    expect(Object.values(outputs).join('').length).toBeGreaterThan(15)
  })

  test('CPython whose stack ends', () => {
    const script = `
import math, re
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
print(deep(500), len(re.findall(r'\\d+7', str(range(9)) * 99)), math.fsum(map(math.sin, range(9999))), float('inf') - float('inf'))
try: (lambda f: f(f))(lambda f: f(f))
except RecursionError as error: print(error)
`
    expect(expectSame(withScript('python', script)).outputs['/dev/stdout']).toMatch(/^500 .*nan\nmaximum recursion/)
  })

  test.runIf(isNight)('Ruby whose stack ends', () => {
    const script = `
def deep(n) n == 0 ? 0 : 1 + deep(n - 1) end
puts deep(5000)
begin; def forever(n) forever(n + 1) end; forever(0); rescue SystemStackError => e; puts e.class; end
`
    expect(expectSame(withScript('ruby', script)).outputs['/dev/stdout']).toBe('5000\nSystemStackError\n')
  })

  test.runIf(isNight)('PHP that goes deep', () => {
    const script = `<?php function deep($n) { return $n == 0 ? 0 : 1 + deep($n - 1); } echo deep(20000);`
    expect(expectSame(withScript('php', script)).outputs['/dev/stdout']).toBe('20000')
  })

  test('QuickJS with a NaN', () => {
    const { outputs } = expectSame(withScript('quickjs', 'print(0 / 0, [3, 1, 2].sort())'))
    expect(outputs['/dev/stdout']).toBe('NaN 1,2,3\n')
  })
})
