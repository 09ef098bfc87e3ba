import type { BlobRef, Computation, Environment, InputFile } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { diffComputations, diffEnvironments, likelyCause, type ComputationPart } from './difference.ts'

const blob = (digit: string, lengthBytes = 3): { lengthBytes: number; sha256: string } => ({
  lengthBytes,
  sha256: digit.repeat(64),
})

const dataFile = (content: BlobRef, readOnly = false): InputFile => ({ ...content, path: 'data.csv', readOnly })

const computation: Computation = {
  schema: 'reprise/computation/v1',
  semantics: 'wasm/1',
  program: blob('1'),
  arguments: ['p', 'x'],
  environment: { LANG: 'C.UTF-8' },
  stdin: blob('0', 0),
  mounts: [
    { at: '/', output: true, writable: true, source: { kind: 'files', files: [dataFile(blob('2'))] } },
    { at: '/lib', output: false, writable: false, source: { kind: 'archive', format: 'tar.gz', blob: blob('3') } },
  ],
  clock: '946684800000000000',
  seed: '0',
  floats: 'canonical',
  limits: { memoryPages: 1, stackSlots: 1 },
  checkpoints: { kind: 'none' },
  success: [{ checkpoints: 'exact' }],
}

const environment: Environment = {
  schema: 'reprise/environment/v1',
  architecture: 'x64',
  bootId: null,
  cpu: 'A',
  ekCertificate: null,
  follows: [],
  kernel: '6.1',
  logs: [],
  node: '26.10.0',
  platform: 'linux',
  repeats: null,
  reprise: '0.1.0',
  rewriter: '1',
  startedAt: '2026-11-22T03:25:00Z',
  tpm: { firmware: '1', manufacturer: 'IBM', transport: 'swtpm' },
  v8: '14',
}

const [working, library] = computation.mounts

/** Each part with a computation in which only it differs, and how that is said. */
const changes: readonly [ComputationPart, Partial<Computation>, string][] = [
  ['program', { program: blob('9', 4) }, 'program: 111111111111… (3 bytes) and 999999999999… (4 bytes)'],
  ['semantics', { semantics: 'wasm/2' }, 'semantics: "wasm/1" and "wasm/2"'],
  ['arguments', { arguments: ['p', 'y'] }, 'arguments: ["p","x"] and ["p","y"]'],
  ['environment variable', { environment: {} }, 'environment variable LANG: "C.UTF-8" and none'],
  ['stdin', { stdin: blob('9') }, 'stdin: 000000000000… (0 bytes) and 999999999999… (3 bytes)'],
  [
    'input file',
    { mounts: [{ ...working, source: { kind: 'files', files: [dataFile(blob('9'))] } }, library] },
    'input file data.csv: 222222222222… (3 bytes) and 999999999999… (3 bytes)',
  ],
  [
    'input file',
    { mounts: [{ ...working, source: { kind: 'files', files: [] } }, library] },
    'input file data.csv: 222222222222… (3 bytes) and none',
  ],
  [
    'input file',
    { mounts: [{ ...working, source: { kind: 'files', files: [dataFile(blob('2'), true)] } }, library] },
    'input file data.csv: read-only only in b',
  ],
  ['mount', { mounts: [working] }, 'mount /lib: only in a'],
  ['mount', { mounts: [working, { ...library, writable: true }] }, 'mount /lib: read-only and writable'],
  ['mount', { mounts: [library, working] }, 'order of mounts: /, /lib and /lib, /'],
  [
    'mount',
    { mounts: [working, { ...library, source: { kind: 'archive', format: 'tar.gz', blob: blob('9') } }] },
    'mount /lib: archive 333333333333… (3 bytes) and 999999999999… (3 bytes)',
  ],
  [
    'mount',
    { mounts: [working, { ...library, source: { kind: 'files', files: [] } }] },
    'mount /lib: archive and files',
  ],
  ['clock', { clock: '0' }, 'clock: "946684800000000000" and "0"'],
  ['seed', { seed: '7' }, 'seed: "0" and "7"'],
  ['floats', { floats: 'host' }, 'floats: "canonical" and "host"'],
  [
    'limits',
    { limits: { memoryPages: 2, stackSlots: 1 } },
    'limits: {"memoryPages":1,"stackSlots":1} and {"memoryPages":2,"stackSlots":1}',
  ],
  ['checkpoints', { checkpoints: { kind: 'outputs' } }, 'checkpoints: {"kind":"none"} and {"kind":"outputs"}'],
  ['success', { success: [] }, 'success: [{"checkpoints":"exact"}] and []'],
]

describe('diffComputations', () => {
  test.each(changes)('says in words that %s differs', (part, change, text) => {
    expect(diffComputations(computation, { ...computation, ...change })).toEqual([{ part, text }])
  })

  test('finds nothing between equal computations', () => {
    expect(diffComputations(computation, structuredClone(computation))).toEqual([])
  })

  test('covers every field of a computation', () => {
    const changed = new Set(changes.flatMap(([, change]) => Object.keys(change)))
    expect(Object.keys(computation).filter((field) => !changed.has(field))).toEqual(['schema'])
  })

  test('finds every one of several differences', () => {
    fc.assert(
      fc.property(fc.subarray(changes as (typeof changes)[number][]), (some) => {
        const change = Object.assign({}, ...some.map(([, change]) => change)) as Partial<Computation>
        const found = new Set(diffComputations(computation, { ...computation, ...change }).map(({ part }) => part))
        const fields = new Set(some.flatMap(([, change]) => Object.keys(change)))
        expect(found.size).toBe(fields.size)
      }),
    )
  })
})

describe('likelyCause', () => {
  const causeOf = (change: Partial<Computation>, other: Partial<Environment> | undefined): string =>
    likelyCause({
      computations: diffComputations(computation, { ...computation, ...change }),
      environments: other && diffEnvironments(environment, { ...environment, ...other }),
    }).cause

  test('a program that differs outweighs an input that does, and both outweigh the environment', () => {
    expect(causeOf({ program: blob('9'), seed: '1' }, { cpu: 'B' })).toBe('program')
    expect(causeOf({ seed: '1' }, { cpu: 'B' })).toBe('input')
    expect(causeOf({}, { cpu: 'B' })).toBe('environment')
  })

  test('what the guest does not see is no cause', () => {
    expect(causeOf({ checkpoints: { kind: 'outputs' }, success: [] }, {})).toBe('nondeterminism')
    expect(causeOf({}, { startedAt: '2027-01-01T00:00:00Z', bootId: 'x', repeats: '00' })).toBe('nondeterminism')
  })

  test('an environment that is not known leaves the cause open', () => {
    expect(causeOf({}, undefined)).toBe('unknown')
  })

  test('names the first few differences in its sentence', () => {
    const environments = diffEnvironments(environment, { ...environment, cpu: 'B', node: '27', kernel: '7', v8: '15' })
    expect(likelyCause({ computations: [], environments }).sentence).toContain(
      'cpu: "A" and "B"; kernel: "6.1" and "7"; node: "26.10.0" and "27"; and 1 more.',
    )
  })
})
