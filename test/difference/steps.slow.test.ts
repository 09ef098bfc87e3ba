/** The first step at which two executions part, against a comparison at every single site. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { explainStep, type StepDifference } from '../../packages/runner/src/difference/explain.ts'
import { both, searchStep, type Pair, type Search, type Step } from '../../packages/runner/src/difference/steps.ts'
import type { Probe } from '../../packages/runner/src/machine/index.ts'
import {
  Bench,
  bruteForce,
  draw,
  drawingModule,
  forgetDrawn,
  guestModule,
  i32,
  loadDrawn,
  putDrawn,
  stripped,
  turns,
  type Given,
} from './pair.ts'

let bench: Bench
let guest: Uint8Array
beforeAll(() => {
  bench = new Bench()
  guest = guestModule()
})
afterAll(() => bench[Symbol.asyncDispose]())

async function found(a: Given, b: Given, module: Uint8Array, different = 0n): Promise<StepDifference & { step: Step }> {
  const probes = await bench.pair(a, b)
  const step = await checked(probes, different)
  return { ...(await explainStep(probes, step, module)), step }
}

/** The search finds what the comparison at every site finds. */
async function checked(probes: Pair<Probe>, different: bigint): Promise<Step> {
  const sure = await bruteForce(probes)
  await both(probes, (probe) => probe.back())
  const step = isStep(await searchStep(probes, { equal: 0n, different }))
  expect({ from: step.from, a: step.stops.a.position, b: step.stops.b.position }).toEqual({
    from: sure?.from,
    a: sure?.a,
    b: sure?.b,
  })
  return step
}

function isStep(search: Search): Step {
  if (search.kind !== 'step') throw new Error(`the search says ${search.kind}`)
  return search
}

const drawing = (code: readonly number[], seed: string, rest = {}): Given => ({
  files: { 'm.wasm': drawingModule(code, rest) },
  command: ['m.wasm'],
  flags: { seed },
})

describe('a program in C that reads another input', () => {
  const given = (numbers: string, module: Uint8Array): Given => ({
    files: { 'guest.wasm': module, 'numbers.txt': numbers },
    command: ['guest.wasm', 'numbers.txt'],
  })

  test('parts where it reads it: call, file, offset, function, line, address and values are named', async () => {
    const [a, b] = [given('12\n34\n56\n', guest), given('12\n35\n56\n', guest)]
    const said = await found(a, b, guest, 5000n)
    expect(said.call).toEqual({ name: 'fd_read', path: 'numbers.txt', offset: 0, errno: { a: 0, b: 0 } })
    expect(said.stack.map(({ function: { name } }) => name)).toEqual(expect.arrayContaining(['load', 'main', '_start']))
    const load = said.stack.find(({ function: { name } }) => name === 'load')
    const source = readFileSync(new URL('guest.c', import.meta.url), 'utf8').split('\n')
    expect(load?.source?.file).toMatch(/guest\.c$/)
    expect(source[(load?.source?.line ?? 0) - 1]).toContain('read(file')
    expect(said.memory).toMatchObject({
      a: '34',
      b: '35',
      as: [{ type: 'text', a: '"12\\n34\\n56\\n"', b: '"12\\n35\\n56\\n"' }],
    })
    expect(said.bytes).toEqual([{ address: said.memory?.address, a: 0x34, b: 0x35 }])
    expect(said.global).toBeNull()
    expect(said.script).toBeNull()
  })

  test('and is longer: the run takes other ways from there, and the step is the same', async () => {
    const said = await found(given('12\n34\n', guest), given('12\n34\n5\n', guest), guest)
    expect(said.call).toMatchObject({ name: 'fd_read', path: 'numbers.txt' })
    expect(BigInt(said.steps.from)).toBe(said.step.from)
  })

  test('and has no names and no lines: indices and offsets are left', async () => {
    const bare = stripped(guest)
    const said = await found(given('1\n', bare), given('2\n', bare), bare)
    const named = await found(given('1\n', guest), given('2\n', guest), guest)
    expect(said.place).toEqual({ ...named.place, function: { index: named.place?.function.index, name: null } })
    expect(said.stack.every(({ source }) => source === null)).toBe(true)
    expect(said.steps).toEqual(named.steps)
  })

  test('and does not find it: the answer of the call differs', async () => {
    const gone = { ...given('1\n', guest), files: { 'guest.wasm': guest } }
    const said = await found(given('1\n', guest), gone, guest)
    expect(said.call).toMatchObject({ path: 'numbers.txt', errno: { a: 0, b: 44 } })
  })
})

describe('a program that is given other', () => {
  const given = (word: string): Given => ({
    files: { 'guest.wasm': guest, 'n.txt': '1\n' },
    command: ['guest.wasm', 'n.txt', word],
  })

  test.each([
    ['arguments', '5', 'args_get'],
    ['arguments of another length', '55', 'args_sizes_get'],
  ])('%s parts where it asks for them', async (_what, other, name) => {
    const said = await found(given('4'), given(other), guest)
    expect(said.call).toEqual({ name, path: null, offset: null, errno: { a: 0, b: 0 } })
    expect(said.stack.at(-1)?.function.name).toBe('_start')
  })
})

describe('a difference that only exists', () => {
  test('in a global: memory is equal again at the next site', async () => {
    const code = [...turns(5), ...draw, ...loadDrawn, 0x24, 0, ...forgetDrawn, ...turns(50)]
    const said = await found(drawing(code, '1'), drawing(code, '2'), drawingModule(code))
    expect(said.differs).toEqual(['globals'])
    expect(said.call).toMatchObject({ name: 'random_get' })
    expect(said.global).toMatchObject({ index: 0, name: null, type: 'i64' })
    expect(said.global?.a).not.toBe(said.global?.b)
  })

  test('on the stack: the state that checkpoints tell is equal long after', async () => {
    const late = [...i32(64), 0x20, 1, 0x37, 3, 0]
    const code = [...turns(5), ...draw, ...loadDrawn, 0x21, 1, ...forgetDrawn, ...turns(50), ...late, ...turns(5)]
    const pair = [drawing(code, '1'), drawing(code, '2')] as const
    const said = await found(...pair, drawingModule(code))
    expect(said.differs).toEqual(['frames'])
    expect(said.call).toMatchObject({ name: 'random_get' })
    // From a position at which only the stacks differ nothing can be found.
    const probes = await bench.pair(...pair)
    expect(await searchStep(probes, { equal: said.step.stops.a.position, different: 900n })).toEqual({ kind: 'apart' })
  })

  test('in what was put out', async () => {
    const code = [...turns(5), ...draw, ...putDrawn, ...forgetDrawn, ...turns(50)]
    const said = await found(drawing(code, '1'), drawing(code, '2'), drawingModule(code))
    expect(said.differs).toEqual(['outputs'])
  })

  test('for a while and not at any site is none; the next one that lasts is found', async () => {
    const passing = [...turns(5), ...draw, ...forgetDrawn, ...turns(50)]
    const probes = await bench.pair(drawing(passing, '1'), drawing(passing, '2'))
    expect(await searchStep(probes, { equal: 0n, different: 300n })).toMatchObject({ kind: 'none' })
    const code = [...passing, ...draw, ...turns(50)]
    const said = await found(drawing(code, '1'), drawing(code, '2'), drawingModule(code), 300n)
    expect(said.step.call).toBe(1)
    expect(said.memory).toMatchObject({ address: 16 })
  })
})

describe('a difference that no host call brings', () => {
  /** (0/0) as bits, to address 0, after some turns; then more of them. */
  const zero = [0x44, 0, 0, 0, 0, 0, 0, 0, 0]
  const nan = [...i32(0), ...zero, ...zero, 0xa3, 0x39, 3, 0]
  const code = [...turns(700), ...nan, ...turns(700)]

  test('is narrowed down to the step, with the place before it', async () => {
    const given = (floats: 'canonical' | 'host'): Given => ({
      files: { 'm.wasm': drawingModule(code) },
      command: ['m.wasm'],
      flags: { floats },
    })
    const probes = await bench.pair(given('canonical'), given('host'))
    const search = await searchStep(probes, { equal: 0n, different: 9000n })
    // On an architecture whose own NaN is the canonical one there is nothing to find.
    if (process.arch !== 'x64') return expect(search).toMatchObject({ kind: 'none' })
    const said = await found(given('canonical'), given('host'), drawingModule(code), 9000n)
    expect(said.call).toBeNull()
    expect(said.memory).toMatchObject({ address: 7, a: '7f', b: 'ff' })
    expect(said.place).toMatchObject({ function: { index: 2, name: null } })
  })
})

describe('runs of different length', () => {
  test('part at the end of the shorter one when nothing else differs before', async () => {
    // Ends by a trap when the drawn number is even: nothing of it stays.
    const trap = [...loadDrawn, 0x42, 1, 0x83, 0x50, 0x04, 0x40, 0x00, 0x0b]
    const code = [...turns(5), ...draw, ...trap, ...forgetDrawn, ...turns(50)]
    const ends = new Map<string, string>()
    for (const seed of ['0', '1', '2', '3', '4', '5']) {
      const { a } = await bench.pair(drawing(code, seed), drawing(code, seed))
      ends.set((await a.run({ position: 1n << 62n })).kind, seed)
    }
    const said = await found(drawing(code, ends.get('exited') ?? ''), drawing(code, ends.get('trapped') ?? ''), drawingModule(code)) // prettier-ignore
    expect(said.stops).toMatchObject({ a: { kind: 'due' }, b: { kind: 'trapped' } })
    expect(said.call).toMatchObject({ name: 'random_get' })
  })
})

test('a search that is interrupted says so, and leaves nothing on the disk but the rewritten module', async () => {
  const code = [...turns(1 << 30), ...draw]
  const probes = await bench.pair(drawing(code, '1'), drawing(code, '2'))
  const searching = searchStep(probes, { equal: 0n, different: 1n << 60n })
  for (const probe of [probes.a, probes.b]) probe.interrupt()
  expect(await searching).toEqual({ kind: 'interrupted' })
})
