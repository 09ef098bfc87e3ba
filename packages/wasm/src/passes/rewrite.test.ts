import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WasmError } from '../error.ts'
import { assemble, signed, type AssembledModule } from '../module/assembler.ts'
import { generate } from './generator.ts'
import { rewrite, type RewriteOptions } from './rewrite.ts'

const OPTIONS: RewriteOptions = { floats: 'canonical', stackLimitSlots: 1 << 16, memoryLimitPages: 16 }

function refusal(bytes: Uint8Array): WasmError {
  try {
    rewrite(bytes, OPTIONS)
  } catch (error) {
    if (error instanceof WasmError) return error
    throw error
  }
  throw new Error('it was not refused')
}

const command = (code: number[], rest: Partial<AssembledModule> = {}): Uint8Array<ArrayBuffer> =>
  assemble({ functions: [{ code, exported: '_start' }], memory: { minPages: 1 }, ...rest })

/** A command with one more section, put in front of all others. */
function withSection(id: number, content: number[]): Uint8Array {
  const bytes = command([])
  return Uint8Array.from([...bytes.slice(0, 8), id, content.length, ...content, ...bytes.slice(8)])
}

describe('what is no command is refused by name', () => {
  test.each([
    ['NOT_WASM', new Uint8Array()],
    ['NOT_WASM', new TextEncoder().encode('#!/bin/sh\necho')],
    ['NOT_A_COMMAND', Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0)],
    ['MALFORMED', Uint8Array.of(0, 0x61, 0x73, 0x6d, 2, 0, 0, 0)],
    ['NOT_A_COMMAND', Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)],
    ['NOT_A_COMMAND', assemble({ functions: [{ code: [], exported: '_initialize' }] })],
    ['NOT_A_COMMAND', assemble({ functions: [{ params: ['i32'], code: [], exported: '_start' }] })],
    ['RESERVED_NAME', assemble({ functions: [{ code: [], exported: 'reprise:fuel' }] })],
    ['LIMIT', command([], { memory: { minPages: 17 } })],
    ['MALFORMED', command([]).slice(0, -1)],
    ['MALFORMED', Uint8Array.from([...command([]), 9])],
  ])('%s', (code, bytes) => {
    expect(refusal(bytes).code).toBe(code)
  })

  test('a reactor is called one', () => {
    expect(refusal(assemble({ functions: [{ code: [], exported: '_initialize' }] })).message).toContain('reactor')
  })
})

describe('imports', () => {
  const importing = (module: string, name: string): Uint8Array =>
    command([], { imports: [{ module, name, params: ['i32'] }] })

  test('other modules are refused, naming the import', () => {
    const error = refusal(importing('env', 'emscripten_memcpy'))
    expect([error.code, error.message]).toEqual(['IMPORT', expect.stringContaining('env.emscripten_memcpy')])
  })

  test('the machine cannot be imported from', () => {
    expect(refusal(importing('reprise:machine', 'poll')).code).toBe('IMPORT')
    expect(refusal(importing('reprise', 'checkpoint')).code).toBe('IMPORT') // one parameter too few
  })

  test('WASI names and signatures that preview 1 does not have are marked unknown', () => {
    const wasi = 'wasi_snapshot_preview1'
    const bytes = command([], {
      imports: [
        { module: wasi, name: 'proc_exit', params: ['i32'] },
        { module: wasi, name: 'sock_accept', params: ['i32', 'i32'], results: ['i32'] },
        { module: 'wasi_unstable', name: 'toString', results: ['f64'] },
      ],
    })
    expect(rewrite(bytes, OPTIONS).facts.imports.map(({ signature, known }) => [signature, known])).toEqual([
      ['i>', true],
      ['ii>i', false],
      ['>F', false],
    ])
  })

  test.each([
    ['memory', [2, 0, 1]],
    ['table', [1, 0x70, 0, 1]],
    ['global', [3, 0x7f, 0]],
  ])('an imported %s is refused', (what, description) => {
    const content = [1, 3, ...Buffer.from('env'), 1, ...Buffer.from('x'), ...description]
    const bytes = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 2, content.length, ...content])
    expect(refusal(bytes)).toMatchObject({ code: 'IMPORT', message: expect.stringContaining(what) as string })
  })
})

describe('features outside of the semantics are refused, with function and offset', () => {
  test.each([
    ['threads', [0xfe, 0x03, 0]],
    ['relaxed SIMD', [0xfd, 0x80, 0x02]],
    ['legacy and new exception handling together', [0x06, 0x40, 0x0b, 0x1f, 0x40, 0, 0x0b]],
    ['typed function references', [0x14, 0]],
    ['typed function references', [0x15, 0]],
    ['typed function references', [0xd0, 1, 0x1a]],
    ['garbage collection', [0xfb, 0]],
    ['external references', [0xd0, 0x6f, 0x1a]],
    ['several memories', [0x41, 0, 0x28, 0x42, 1, 0, 0x1a]],
  ])('%s', (feature, code) => {
    // A name section that calls function 0 "run".
    const names = [4, ...Buffer.from('name'), 1, 6, 1, 0, 3, ...Buffer.from('run')]
    const error = refusal(Uint8Array.from([...command(code), 0, names.length, ...names]))
    expect(error).toMatchObject({ code: 'FEATURE', data: { feature, where: 'function 0 ("run")' } })
  })

  test.each([
    ['several memories', 5, [2, 0, 1, 0, 1]],
    ['shared memory', 5, [1, 3, 1, 1]],
    ['memory64', 5, [1, 4, 1]],
    ['garbage collection', 1, [1, 0x5f, 0]],
    ['external references', 4, [1, 0x6f, 0, 1]],
    ['references to exceptions', 4, [1, 0x69, 0, 1]],
    ['references in globals', 6, [1, 0x70, 1, 0xd0, 0x70, 0x0b]],
    ['external references', 1, [1, 0x60, 1, 0x6f, 0]],
    ['typed function references', 1, [1, 0x60, 1, 0x64, 0x70, 0]],
  ])('%s in section %i', (feature, id, content) => {
    expect(refusal(withSection(id, content))).toMatchObject({ code: 'FEATURE', data: { feature } })
  })
})

test('a reference to a function that nothing declares is refused', () => {
  const bytes = assemble({ functions: [{ code: [0xd2, 1, 0x1a], exported: '_start' }, { code: [] }] })
  expect(refusal(bytes)).toMatchObject({ code: 'MALFORMED', message: expect.stringContaining('undeclared') as string })
})

test('references in imports are refused', () => {
  const imports = [{ module: 'wasi_snapshot_preview1', name: 'odd', results: ['funcref'] }] as const
  const bytes = assemble({ imports, functions: [{ code: [], exported: '_start' }] })
  expect(refusal(bytes)).toMatchObject({ code: 'FEATURE', data: { feature: 'references in imports' } })
})

test.each([
  ['legacy first', [0x06, 0x40, 0x0b], [0x1f, 0x40, 0, 0x0b]],
  ['new first', [0x1f, 0x40, 0, 0x0b], [0x06, 0x40, 0x0b]],
])('both kinds of exception handling in two functions are refused: %s', (_, one, other) => {
  const bytes = assemble({ functions: [{ code: one, exported: '_start' }, { code: other }] })
  const feature = 'legacy and new exception handling together'
  expect(refusal(bytes)).toMatchObject({ code: 'FEATURE', data: { feature, where: 'function 1' } })
})

test('references in exceptions are refused', () => {
  const bytes = assemble({ functions: [{ code: [], exported: '_start' }], tags: [{ params: ['funcref'] }] })
  expect(refusal(bytes)).toMatchObject({ code: 'FEATURE', data: { feature: 'references in exceptions' } })
})

describe('indices that only the rewritten module would have are refused', () => {
  test.each([
    ['function', [0x10, 4]],
    ['global', [0x23, 0, 0x1a]],
    ['local', [0x20, 0, 0x1a]],
    ['type', [0x41, 0, 0x11, 7, 0]],
    ['table', [0x41, 0, 0x11, 0, 0]],
    ['table', [0xfc, 0x10, 0]],
    ['element segment', [0xfc, 0x0d, 0]],
    ['tag', [0x08, 0]],
    ['label', [0x0c, 1]],
  ])('%s', (what, code) => {
    expect(refusal(command(code))).toMatchObject({
      code: 'MALFORMED',
      message: expect.stringContaining(what) as string,
    })
  })
})

describe('any bytes', () => {
  const accepted = (bytes: Uint8Array): void => {
    try {
      const out = rewrite(bytes, OPTIONS).bytes
      // What the engine takes unchanged it takes rewritten, and the other way round.
      expect(WebAssembly.validate(out)).toBe(WebAssembly.validate(Uint8Array.from(bytes)))
    } catch (error) {
      if (!(error instanceof WasmError)) throw error
    }
  }

  test('random bytes are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...bytes]))).toBeInstanceOf(WasmError)
      }),
      { numRuns: 300 },
    )
  })

  test('a changed byte or a cut is refused, or gives a module that is as valid as the changed one', () => {
    const language = fc.constantFrom(undefined, 'legacy', 'exnref')
    const change = fc.record({ seed: fc.nat(50), at: fc.nat(), to: fc.nat(255), cut: fc.boolean(), language })
    fc.assert(
      fc.property(change, ({ seed, at, to, cut, language }) => {
        const bytes = generate(seed, { canonicalSinks: false, signs: true, ...(language && { language }) })
        if (cut) return accepted(bytes.slice(0, at % bytes.length))
        bytes[at % bytes.length] = to
        accepted(bytes)
      }),
      { numRuns: process.env['REPRISE_TESTS'] === 'check' ? 150 : 600 },
    )
  })
})

describe('canonical NaNs', () => {
  // A NaN with sign and payload, as parameter of a function that the engine must not see through.
  const odd = [0x44, 1, 0, 0, 0, 0, 0, 0xf4, 0xff]
  const store = (value: number[]): number[] => [0x41, 0, ...value, 0x39, 0, 0]

  function stored(code: number[], locals: AssembledModule['functions'][number]['locals'] = []): bigint {
    const bytes = assemble({
      functions: [
        { code, locals, exported: '_start' },
        { params: ['f64'], results: ['f64'], code: [0x20, 0] },
      ],
      memory: { minPages: 1 },
    })
    const rewritten = rewrite(bytes, OPTIONS)
    const machine = { poll: () => {}, exhausted: () => {}, out_of_memory: () => {} }
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(rewritten.bytes), {
      'reprise:machine': machine,
    })
    ;(exports['_start'] as () => void)()
    return new DataView((exports['memory'] as WebAssembly.Memory).buffer).getBigUint64(0, true)
  }
  const CANONICAL = 0x7ff8_0000_0000_0000n
  const ODD = 0xfff4_0000_0000_0001n

  test('a constant keeps its bits, through a local and a select', () => {
    expect(stored(store(odd))).toBe(ODD)
    expect(stored([...odd, 0x21, 0, ...store([0x20, 0])], ['f64'])).toBe(ODD)
    expect(stored(store([...odd, ...odd, 0x41, 0, 0x1b]))).toBe(ODD)
    expect(stored(store([...odd, 0x99]))).toBe(ODD & ~(1n << 63n)) // abs
  })

  test('what came through a call, a block or arithmetic is made canonical', () => {
    expect(stored(store([...odd, 0x10, 1]))).toBe(CANONICAL)
    expect(stored(store([0x02, 0x7c, ...odd, 0x0b]))).toBe(CANONICAL)
    expect(stored(store([...odd, ...odd, 0xa0]))).toBe(CANONICAL)
  })

  test('a local that only a later turn of a loop fills with such a value counts as such', () => {
    // local 0 starts pure; the loop stores it, then sets it to local 1, then local 1 to a sum.
    const turn = [...store([0x20, 0]), 0x20, 1, 0x21, 0, ...odd, ...odd, 0xa0, 0x21, 1]
    const loop = [0x03, 0x40, ...turn, 0x20, 2, 0x41, 1, 0x6a, 0x22, 2, 0x41, ...signed(4), 0x47, 0x0d, 0, 0x0b]
    expect(stored(loop, ['f64', 'f64', 'i32'])).toBe(CANONICAL)
  })

  test('the sign of a NaN does not get out by copysign', () => {
    expect(stored(store([0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, ...odd, 0x10, 1, 0xa6]))).toBe(0x3ff0_0000_0000_0000n)
  })

  test('vector arithmetic gives canonical lanes, splats too', () => {
    const vector = [...odd, 0x10, 1, 0xfd, 0x14] // f64x2.splat
    const lane = [0xfd, 0x1d, 0] // i64x2.extract_lane 0
    expect(stored([0x41, 0, ...vector, ...lane, 0x37, 0, 0])).toBe(CANONICAL)
    const sum = [
      0xfd,
      0x0c,
      ...odd.slice(1),
      ...odd.slice(1),
      0xfd,
      0x0c,
      ...odd.slice(1),
      ...odd.slice(1),
      0xfd,
      0xf0,
      0x01,
    ]
    expect(stored([0x41, 0, ...sum, ...lane, 0x37, 0, 0])).toBe(CANONICAL)
  })
})

test('rewriting the same module twice gives the same bytes', () => {
  const bytes = generate(7, { canonicalSinks: false, signs: true })
  expect(rewrite(bytes, OPTIONS).bytes).toEqual(rewrite(bytes, OPTIONS).bytes)
})
