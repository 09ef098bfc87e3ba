import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { refOf } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { formats } from './check.ts'
import { publishedSchema, type Definition, type Flags } from './index.ts'
import { define, folderForTest, put, removeFolders } from './testing.ts'
import { COMPUTATION_YAML_BYTES_MAX, parseYaml } from './yaml.ts'

afterAll(removeFolders)

async function inFolder(
  files: Readonly<Record<string, string | Uint8Array>>,
  command: readonly string[],
  flags: Flags = {},
): Promise<Definition> {
  return define(await put(await folderForTest(), files), command, flags)
}

function problemsOf(text: string): string[] {
  try {
    parseYaml(text, 'c.yaml')
    return []
  } catch (error) {
    if (error instanceof RunnerError && error.code === 'DEFINITION') return error.message.split('\n')
    throw error
  }
}

const FULL = `
program: python
arguments: [src/run.py, --fast]
environment: { LANG: de_DE, N: "1" }
stdin: data/in.txt
inputs:
  - src
  - { path: data/a.csv, guest: in/a.csv }
time: 2024-01-01
seed: "18446744073709551615"
floats: host
memory: 1 GiB
checkpoints: { every: 1000 }
success:
  - checkpoints: exact
  - output: results.csv
    compare: { kind: numbers, abs: 1e-9, rel: 1e-6 }
  - { output: /dev/stdout, compare: { kind: text } }
`
const FILES = { 'exp/c.yaml': FULL, 'exp/data/a.csv': 'a', 'exp/data/in.txt': 'in', 'exp/src/run.py': '' }

describe('computation.yaml', () => {
  test('sets every field, with paths relative to its folder', async () => {
    const { computation, program, workingFolder } = await inFolder(FILES, ['exp/c.yaml'])
    expect(computation).toMatchObject({
      checkpoints: { fuel: '1000', kind: 'grid' },
      clock: '1704067200000000000',
      environment: { LANG: 'de_DE', LC_ALL: 'C.UTF-8', N: '1', PYTHONHASHSEED: '0' },
      floats: 'host',
      limits: { memoryPages: 16_384 },
      seed: '18446744073709551615',
      stdin: refOf(Buffer.from('in')),
      success: [
        { checkpoints: 'exact' },
        { compare: { abs: 1e-9, kind: 'numbers', rel: 1e-6 }, output: 'results.csv' },
        { compare: { kind: 'text' }, output: '/dev/stdout' },
      ],
    })
    expect(computation.arguments.slice(-2)).toEqual(['src/run.py', '--fast'])
    expect(computation.mounts.map(({ at }) => at)).toEqual(['/', '/tmp', '/python'])
    expect(program.stem).toBe('c')
    expect(workingFolder.path.endsWith('/exp')).toBe(true)
  })

  test('gives way to flags', async () => {
    const flags = { checkpoint: 'none', compare: ['x=bytes'], env: ['N=2'], seed: '1', stdin: 'exp/data/a.csv' }
    const { computation } = await inFolder(FILES, ['exp/c.yaml'], flags)
    expect(computation).toMatchObject({
      checkpoints: { kind: 'none' },
      environment: { LANG: 'de_DE', N: '2' },
      seed: '1',
      stdin: refOf(Buffer.from('a')),
      success: [{ compare: { kind: 'bytes' }, output: 'x' }],
    })
  })

  test('of a module alone is the computation of the same command in its folder', async () => {
    const module = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)
    const files = { 'c.yaml': 'program: p.wasm\narguments: [x]\n', 'p.wasm': module }
    const [byYaml, byCommand] = [await inFolder(files, ['c.yaml']), await inFolder(files, ['p.wasm', 'x'])]
    expect(byYaml.computation).toEqual(byCommand.computation)
  })

  test('takes no arguments and no other yaml as its program', async () => {
    await expect(inFolder(FILES, ['exp/c.yaml', 'more'])).rejects.toMatchObject({ code: 'USAGE' })
    await expect(inFolder({ 'c.yaml': 'program: c.yaml' }, ['c.yaml'])).rejects.toMatchObject({ code: 'DEFINITION' })
    await expect(
      inFolder({ 'c.yaml': new Uint8Array(COMPUTATION_YAML_BYTES_MAX + 1) }, ['c.yaml']),
    ).rejects.toMatchObject({ code: 'DEFINITION', message: expect.stringContaining('longer') })
    await expect(inFolder({ 'c.yaml': Uint8Array.of(0xff) }, ['c.yaml'])).rejects.toMatchObject({
      code: 'DEFINITION',
      message: expect.stringContaining('UTF-8'),
    })
  })
})

describe('a mistake is shown with line and column', () => {
  test.each([
    ['program: [a]', ['c.yaml:1:10: program must be text, not a list']],
    [
      'progam: python',
      [
        'c.yaml:1:1: the computation has no field "progam"; did you mean program?',
        'c.yaml:1:1: the computation lacks program; add program: …',
      ],
    ],
    ['program: x\nseed: -1', ['c.yaml:2:7: seed: -1 is out of range; write 0 to 9007199254740991']],
    [
      'program: x\nseed: 99999999999999999999',
      ['c.yaml:2:7: seed: 100000000000000000000 is out of range; write 0 to 9007199254740991'],
    ],
    [
      'program: x\nseed: soon',
      [
        'c.yaml:2:7: seed: the seed "soon" is not a whole number below 2^64; write 0 to 18446744073709551615, or random',
      ],
    ],
    ['program: x\nenvironment:\n  N: 1', ['c.yaml:3:6: environment.N must be text, not 1; put it in quotes: "1"']],
    ['program: x\nenvironment:\n  A=B: "1"', ['c.yaml:3:3: "A=B" cannot be a name in environment']],
    [
      'program: x\ntime: 2024-01-01T00:00:00',
      [
        'c.yaml:2:7: time: the time "2024-01-01T00:00:00" is not ISO 8601 with a zone; write for example 2024-05-01T12:00:00Z, 2024-05-01T12:00:00.5+02:00 or now',
      ],
    ],
    [
      'program: x\ncheckpoints: sometimes',
      ['c.yaml:2:14: checkpoints: "sometimes" means nothing; write outputs or none'],
    ],
    ['program: x\ncheckpoints: {}', ['c.yaml:2:14: checkpoints lacks every; add every: …']],
    [
      'program: x\nsuccess:\n  - output: a\n    compare: { kind: numbers, abs: .inf }',
      ['c.yaml:4:36: success[0].compare.abs must be a number, not Infinity'],
    ],
    [
      'program: x\nsuccess:\n  - output: /abs\n    compare: { kind: bytes, abs: 1 }',
      [
        'c.yaml:3:13: success[0].output: the path is absolute; write a relative path such as results/table.csv',
        'c.yaml:4:29: success[0].compare has no field "abs"; known are kind',
      ],
    ],
    ['program: x\ninputs: [{ guest: a }]', ['c.yaml:2:10: inputs[0] lacks path; add path: …']],
    ['program: x\nprogram: y', ['c.yaml:2:1: Map keys must be unique']],
    ['program: &a x\nstdin: *a', ['c.yaml:2:8: stdin is an alias; write the value out']],
    ['program: "x', ['c.yaml:1:12: Missing closing "quote']],
    ['', ['c.yaml:1:1: the file is empty; write one computation, at least its program: …']],
    ['- a', ['c.yaml:1:1: the computation must be a mapping, not a list']],
    [
      'program: x\n---\nprogram: y',
      ['c.yaml:2:1: a second document starts here; write one computation, at least its program: …'],
    ],
  ])('%j', (text, expected) => expect(problemsOf(text)).toEqual(expected))

  test('all at once', () => {
    expect(problemsOf('seed: x\nfloats: 3\nmemory: 1 GB\nfoo: 1').length).toBe(5)
  })

  test('and neither depth nor aliases nor junk make the reader hang or crash', () => {
    expect(problemsOf('['.repeat(100_000)).length).toBeGreaterThan(0)
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from('bcdefghij')
      .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[index]}`).join(',')}]`)
      .join('\n')}`
    expect(problemsOf(bomb).length).toBeGreaterThan(0)
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void problemsOf(text)))
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            'program',
            ':',
            ' ',
            '\n',
            '- ',
            '{',
            '}',
            '[',
            '&a',
            '*a',
            '!!x',
            '"',
            '|',
            '?',
            '#',
            '%YAML 1.1',
          ),
          { maxLength: 30 },
        ),
        (parts) => void problemsOf(parts.join('')),
      ),
    )
  })
})

describe('spec/computation.schema.json', () => {
  test('is the schema that the checker walks', async () => {
    await expect(publishedSchema()).toMatchFileSnapshot('../../../../spec/computation.schema.json')
  })

  const ajv = new Ajv2020({
    formats: Object.fromEntries(
      Object.entries(formats).map(([name, check]) => [name, (text: string) => check(text) === null]),
    ),
    strict: true,
  })
  const validate = ajv.compile(JSON.parse(publishedSchema()))
  const agree = (value: unknown): void => {
    const text = stringify(value)
    const isValid = validate(value)
    expect({ problems: problemsOf(text).length === 0, text }).toEqual({ problems: isValid, text })
  }

  const text = fc.oneof(
    fc.constantFrom(
      '',
      'a',
      'a/b',
      '../a',
      '/dev/stdout',
      'random',
      'now',
      '1 GiB',
      '2000-01-01',
      'outputs',
      'exact',
      'host',
      'bytes',
      'json',
      '17',
      'true',
      'null',
      '~',
      '0x1',
      'a\0b',
      'a: b',
      '# c',
      '- x',
    ),
    fc.string(),
  )
  const scalar = fc.oneof(
    text,
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
  )
  const names = [
    'program',
    'arguments',
    'environment',
    'stdin',
    'inputs',
    'time',
    'seed',
    'floats',
    'memory',
    'checkpoints',
    'success',
    'path',
    'guest',
    'every',
    'output',
    'compare',
    'kind',
    'abs',
    'rel',
    'A=B',
    'other',
  ]
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      scalar,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 4 }),
    ),
  }))
  const criterion = fc.oneof(
    fc.record({ checkpoints: fc.constantFrom('exact', 'some') }),
    fc.record(
      {
        compare: fc.record(
          {
            abs: fc.oneof(fc.double({ max: 2, min: -1, noNaN: true }), value),
            kind: fc.constantFrom('bytes', 'numbers', 'json', 'odd'),
            rel: fc.constant(0),
          },
          { requiredKeys: ['kind'] },
        ),
        output: text,
      },
      { requiredKeys: [] },
    ),
  )
  const document = fc.record(
    {
      arguments: fc.oneof(fc.array(text), value),
      checkpoints: fc.oneof(fc.constantFrom('outputs', 'none'), fc.record({ every: fc.integer() }), value),
      environment: fc.oneof(fc.dictionary(text, text), value),
      floats: fc.oneof(fc.constantFrom('canonical', 'host'), value),
      inputs: fc.oneof(
        fc.array(fc.oneof(text, fc.record({ guest: text, path: text }, { requiredKeys: ['path'] }))),
        value,
      ),
      memory: fc.oneof(fc.constantFrom('1 GiB', '64K', '9 GiB'), value),
      program: fc.oneof(fc.constant('python'), text),
      seed: fc.oneof(fc.nat(), text, value),
      stdin: value,
      success: fc.array(fc.oneof(criterion, value), { maxLength: 2 }),
      time: fc.oneof(text, value),
    },
    { requiredKeys: [] },
  )

  test('says the same as the checker about any document', () => {
    fc.assert(fc.property(fc.oneof(document, value), agree), {
      numRuns: process.env['REPRISE_TESTS'] === 'check' ? 300 : 1500,
    })
  })

  test('has a description for every field', () => {
    const { properties } = JSON.parse(publishedSchema()) as { properties: Record<string, { description?: string }> }
    for (const [name, schema] of Object.entries(properties))
      expect({ name, ...schema }).toMatchObject({ description: expect.stringMatching(/\w/) })
  })
})
