/**
 * The schema of `computation.yaml`: the one table that the checker (check.ts) walks, that spec/computation.schema.json publishes
 * and that editors read. It uses the few keywords of JSON Schema 2020-12 that `Schema` names, no others.
 *
 * `format` carries what a pattern cannot say; a validator that does not know a format ignores it, as JSON Schema wants.
 */

export type Schema = {
  readonly description?: string
  readonly examples?: readonly unknown[]
  readonly default?: unknown
} & (
  | { readonly const: string | number }
  | { readonly enum: readonly string[] }
  | {
      readonly type: 'string'
      readonly minLength?: number
      readonly maxLength?: number
      readonly pattern?: string
      readonly format?: Format
    }
  | { readonly type: 'integer' | 'number'; readonly minimum: number; readonly maximum?: number }
  | { readonly type: 'array'; readonly items: Schema; readonly maxItems: number }
  | ObjectSchema
  | { readonly anyOf: readonly Schema[] }
)

export interface ObjectSchema {
  readonly type: 'object'
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly propertyNames?: { readonly pattern: string }
  /** `false`: only the named ones. A schema: any name, each value like that. */
  readonly additionalProperties: false | Schema
  readonly description?: string
}

/** Checked by settings.ts's parsers of the same text on the command line. */
export type Format = 'reprise-time' | 'reprise-seed' | 'reprise-memory' | 'reprise-guest-path'

/** No NUL anywhere: neither WASI's arguments nor a path can carry it. */
const TEXT = '^[^\\u0000]*$'
const PATH = { type: 'string', minLength: 1, maxLength: 4096, pattern: TEXT } as const

const tolerance = (what: string): Schema => ({
  description: `${what}, 0 when left out.`,
  type: 'number',
  minimum: 0,
  maximum: Number.MAX_VALUE,
})

const compare: Schema = {
  description:
    'How the output is compared: bit by bit, as text up to line ends and trailing white space, or with its numbers within tolerances.',
  anyOf: [
    {
      type: 'object',
      properties: { kind: { enum: ['bytes', 'text'] } },
      required: ['kind'],
      additionalProperties: false,
    },
    {
      type: 'object',
      properties: {
        kind: { enum: ['numbers', 'json'] },
        abs: tolerance('Absolute tolerance'),
        rel: tolerance('Relative tolerance'),
      },
      required: ['kind'],
      additionalProperties: false,
    },
  ],
}

const output: Schema = {
  description: 'A file that the program writes, relative to its working folder, or /dev/stdout or /dev/stderr.',
  anyOf: [
    { type: 'string', minLength: 1, maxLength: 4096, format: 'reprise-guest-path' },
    { enum: ['/dev/stdout', '/dev/stderr'] },
  ],
}

const HEX_64 = { type: 'string', minLength: 64, maxLength: 64, pattern: TEXT } as const
const digests: Schema = {
  description: 'Digests with their bank in front, such as `sha256:…`, as `reprise host attest` shows them.',
  type: 'array',
  maxItems: 4096,
  items: { type: 'string', pattern: TEXT, examples: ['sha256:…'] },
}
const words: Schema = { type: 'array', maxItems: 256, items: { type: 'string', minLength: 1, pattern: TEXT } }

const hostRule: Schema = {
  anyOf: [
    {
      type: 'object',
      properties: { kind: { const: 'secureBoot' }, state: { enum: ['off', 'on'] } },
      required: ['kind', 'state'],
      additionalProperties: false,
    },
    {
      type: 'object',
      properties: { kind: { enum: ['bootLoader', 'files', 'kernel'] }, digests },
      required: ['kind', 'digests'],
      additionalProperties: false,
    },
    {
      type: 'object',
      properties: {
        kind: { const: 'commandLine' },
        compare: {
          anyOf: [
            {
              type: 'object',
              properties: { kind: { const: 'exact' }, text: { type: 'string', pattern: TEXT } },
              required: ['kind', 'text'],
              additionalProperties: false,
            },
            {
              type: 'object',
              properties: { kind: { const: 'words' }, contains: words, lacks: words },
              required: ['kind', 'contains', 'lacks'],
              additionalProperties: false,
            },
          ],
        },
      },
      required: ['kind', 'compare'],
      additionalProperties: false,
    },
    {
      type: 'object',
      properties: {
        kind: { const: 'pcr' },
        bank: { const: 'sha256' },
        pcr: { type: 'integer', minimum: 0, maximum: 23 },
        value: HEX_64,
      },
      required: ['kind', 'bank', 'pcr', 'value'],
      additionalProperties: false,
    },
  ],
}

/** What a host must show (spec/computation.md §7). */
const hostRules: Schema = {
  description:
    'What the host must show, before the run and at every attestation; otherwise nothing begins, and what has begun stops.',
  type: 'object',
  properties: {
    tier: { description: 'The lowest kind of TPM that is enough.', enum: ['software', 'firmware', 'hardware'] },
    pcrs: {
      type: 'object',
      properties: {
        sha256: {
          description: 'Values of registers 0 to 23 by their number in quotes, in hex.',
          type: 'object',
          propertyNames: { pattern: '^(\\d|1\\d|2[0-3])$' },
          additionalProperties: HEX_64,
        },
      },
      required: ['sha256'],
      additionalProperties: false,
    },
    eventLog: {
      description: 'What the measured boot log must show, at most one rule of each kind.',
      type: 'array',
      maxItems: 256,
      items: hostRule,
    },
    engines: {
      description: 'SHA-256 of engines and of Node binaries: no other may have been at work since the TPM was started.',
      type: 'array',
      maxItems: 4096,
      items: HEX_64,
    },
    onChange: {
      description: 'What becomes of the run when its host ceases to show this; stop when left out.',
      enum: ['stop', 'record'],
    },
  },
  additionalProperties: false,
}

export const computationYaml = {
  description:
    'A computation for `reprise run computation.yaml`. Paths are relative to the folder of this file. Everything left out has a fixed default, so that the same file gives the same computation everywhere.',
  type: 'object',
  properties: {
    program: {
      ...PATH,
      description: 'A WebAssembly command module (WASI), or one of the runtimes python, ruby, php, qjs, sqlite.',
      examples: ['python', 'build/solver.wasm'],
    },
    arguments: {
      description: "What follows the program's name, for a runtime usually the script first.",
      type: 'array',
      items: { type: 'string', pattern: TEXT },
      maxItems: 10_000,
      default: [],
      examples: [['analysis.py', '--years', '10']],
    },
    environment: {
      description:
        'Environment variables, besides LANG and LC_ALL (C.UTF-8) and those of the runtime, which they override.',
      type: 'object',
      propertyNames: { pattern: '^[^=\\u0000]+$' },
      additionalProperties: { type: 'string', pattern: TEXT },
    },
    stdin: { ...PATH, description: 'A file that becomes the standard input, which is empty otherwise.' },
    inputs: {
      description:
        "What the program may read. Left out: the folder of this file, which is then the program's working folder. What is named here is read-only; new files may be made beside it.",
      type: 'array',
      maxItems: 1000,
      items: {
        anyOf: [
          PATH,
          {
            type: 'object',
            properties: {
              path: { ...PATH, description: 'A file or folder.' },
              guest: {
                description:
                  'Where the program finds it, below its working folder. Left out: the same relative path, or the last name when it lies elsewhere.',
                type: 'string',
                minLength: 1,
                maxLength: 4096,
                format: 'reprise-guest-path',
              },
            },
            required: ['path'],
            additionalProperties: false,
          },
        ],
      },
      examples: [['data.csv', { path: '../shared/raw', guest: 'raw' }]],
    },
    time: {
      description:
        "The program's clock at its start: ISO 8601 with a zone, to the nanosecond, or `now` (drawn once and sealed).",
      type: 'string',
      format: 'reprise-time',
      default: '2000-01-01T00:00:00Z',
    },
    seed: {
      description:
        'Seed of all randomness, a whole number below 2^64 (as text from 2^53 on), or `random` (drawn once and sealed).',
      anyOf: [
        { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
        { type: 'string', format: 'reprise-seed' },
      ],
      default: 0,
    },
    floats: {
      description:
        '`canonical`: one NaN on every processor. `host`: faster, but NaN bits may differ between kinds of processors.',
      enum: ['canonical', 'host'],
      default: 'canonical',
    },
    memory: {
      description: 'The most memory that the program may have, at most 4 GiB.',
      type: 'string',
      format: 'reprise-memory',
      default: '2 GiB',
      examples: ['512 MiB'],
    },
    start: {
      description:
        '`warm`: a language runtime begins where it has initialised itself, when there is a way to it (Python). `cold`: at its very beginning.',
      enum: ['warm', 'cold'],
      default: 'warm',
    },
    checkpoints: {
      description:
        'Where the state is measured: on a grid of executed fuel, whenever an output is closed, or only at start and end.',
      anyOf: [
        { enum: ['outputs', 'none'] },
        {
          type: 'object',
          properties: {
            every: {
              description: 'Fuel units between checkpoints.',
              type: 'integer',
              minimum: 1,
              maximum: Number.MAX_SAFE_INTEGER,
            },
          },
          required: ['every'],
          additionalProperties: false,
        },
      ],
    },
    success: {
      description:
        'What counts as the same in a repetition, sealed before the first run. Left out: every checkpoint equal.',
      type: 'array',
      maxItems: 1000,
      items: {
        anyOf: [
          {
            type: 'object',
            properties: { checkpoints: { const: 'exact' } },
            required: ['checkpoints'],
            additionalProperties: false,
          },
          {
            type: 'object',
            properties: { output, compare },
            required: ['output', 'compare'],
            additionalProperties: false,
          },
        ],
      },
    },
    host: hostRules,
  },
  required: ['program'],
  additionalProperties: false,
} as const satisfies Schema

/** The published file, spec/computation.schema.json. */
export function publishedSchema(): string {
  const head = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'urn:reprise:computation.yaml:v1',
    title: 'computation.yaml',
  }
  return `${JSON.stringify({ ...head, ...computationYaml }, null, 2)}\n`
}
