import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../bytes/index.ts'
import { canonical, parseCanonical } from '../canon/index.ts'
import { EvidenceError } from '../error.ts'
import {
  attestationLineDecoder,
  decodeAttestation,
  decodeCheckpointLine,
  decodeComputation,
  decodeEnvironment,
  decodeOutcome,
  encodeLine,
  LINE_BYTES_MAX,
  readLines,
  type Checkpoint,
} from './index.ts'

const D = 'd'.repeat(64)
const BLOB = { lengthBytes: 3, sha256: D }

const COMPUTATION = {
  schema: 'reprise/computation/v1',
  semantics: 'wasm/1',
  program: BLOB,
  arguments: ['a', ''],
  environment: { LANG: 'C.UTF-8' },
  stdin: BLOB,
  mounts: [
    {
      at: '/',
      output: true,
      source: { kind: 'files', files: [{ ...BLOB, path: 'a.csv', readOnly: true }] },
      writable: true,
    },
    { at: '/lib', output: false, source: { kind: 'archive', format: 'tar.gz', blob: BLOB }, writable: false },
  ],
  clock: '946684800000000000',
  seed: '18446744073709551615',
  floats: 'canonical',
  limits: { memoryPages: 32768, stackSlots: 1024 },
  checkpoints: { kind: 'grid', fuel: '1000', strideBytes: 67108864, strideMax: 1024 },
  success: [{ checkpoints: 'exact' }, { output: '/dev/stdout', compare: { kind: 'numbers', abs: 0, rel: 1e-6 } }],
}

const ENVIRONMENT = {
  schema: 'reprise/environment/v1',
  architecture: 'x64',
  bootId: null,
  cpu: 'a CPU',
  ekCertificate: D,
  follows: [D],
  kernel: '6.1.0',
  logs: [{ kind: 'ima', leftOut: 'too-large' }],
  node: '26.10.0',
  platform: 'linux',
  repeats: D,
  reprise: '0.1.0',
  rewriter: '1',
  startedAt: '2026-11-22T03:25:00Z',
  tpm: { firmware: '1', manufacturer: 'IBM', transport: 'device' },
  v8: '14',
}

const OUTCOME = {
  exit: { code: 0 },
  outputs: ['/dev/stderr', '/dev/stdout', 'a', 'b/c'].map((path) => ({ length: 1, pages: D, path, sha256: D })),
}

const ATTESTATION = {
  attempt: 1,
  attest: 'ff54',
  batch: { count: 3, index: 2, path: [D], seq: '12' },
  pcrs: { sha256: { '0': D, '10': D } },
  seq: 5,
  signature: '0018',
}

/** A copy with the value at a dotted path replaced; undefined takes the field out. */
function put(value: object, path: string, replacement: unknown): unknown {
  const copy = structuredClone(value) as Record<string, unknown>
  const names = path.split('.')
  const last = names.pop() as string
  let at = copy
  for (const name of names) at = at[name] as Record<string, unknown>
  if (replacement === undefined) delete at[last]
  else at[last] = replacement
  return copy
}

function errorOf(run: () => unknown): EvidenceError {
  try {
    run()
  } catch (error) {
    if (error instanceof EvidenceError) return error
    throw error
  }
  return expect.fail('it was taken')
}

const files = (...paths: string[]): object[] => paths.map((path) => ({ ...BLOB, path, readOnly: false }))
const long = (lengthBytes: number): string => 'x'.repeat(lengthBytes)

describe('decodeComputation', () => {
  test('gives back what it took', () => {
    expect(canonical(decodeComputation(COMPUTATION))).toBe(canonical(COMPUTATION))
  })

  test.each([[{ kind: 'outputs' }], [{ kind: 'none' }], [{ kind: 'grid', fuel: '1', strideBytes: 1, strideMax: 1 }]])(
    'takes the policy %j',
    (checkpoints) => {
      expect(decodeComputation({ ...COMPUTATION, checkpoints }).checkpoints).toEqual(checkpoints)
    },
  )

  test.each(['bytes', 'text'])('takes the comparison %s', (kind) => {
    const success = [{ output: 'a', compare: { kind } }]
    expect(decodeComputation({ ...COMPUTATION, success }).success).toEqual(success)
  })

  test('takes files that sort between a file and what looks like its folder', () => {
    const sorted = files('a', 'a!', 'a-b', 'a.b', 'ab/c', 'ab/d', 'é', 'é.x')
    expect(() => decodeComputation(put(COMPUTATION, 'mounts.0.source.files', sorted))).not.toThrow()
  })

  test.each([
    ['schema', 'reprise/computation/v2', '$.schema'],
    ['schema', undefined, '$.schema'],
    ['comment', 'hello', '$.comment'],
    ['semantics', 'wasm', '$.semantics'],
    ['semantics', 'wasm/01', '$.semantics'],
    ['program', null, '$.program'],
    ['program.sha256', 'D'.repeat(64), '$.program.sha256'],
    ['program.sha256', 'd'.repeat(63), '$.program.sha256'],
    ['program.lengthBytes', -1, '$.program.lengthBytes'],
    ['program.lengthBytes', 1.5, '$.program.lengthBytes'],
    ['program.lengthBytes', 2 ** 53, '$.program.lengthBytes'],
    ['program.name', 'a', '$.program.name'],
    ['arguments', 'a b', '$.arguments'],
    ['arguments', ['a', 1], '$.arguments[1]'],
    ['arguments', ['a\0'], '$.arguments[0]'],
    ['environment', [], '$.environment'],
    ['environment', { 'A=B': 'c' }, '$.environment.A=B'],
    ['environment', { '': 'c' }, '$.environment.'],
    ['environment', { A: null }, '$.environment.A'],
    ['mounts.0.source.files.0.readOnly', undefined, '$.mounts[0].source.files[0].readOnly'],
    ['mounts.0.source.files.0.readOnly', 1, '$.mounts[0].source.files[0].readOnly'],
    ['clock', 5, '$.clock'],
    ['clock', '05', '$.clock'],
    ['clock', '-1', '$.clock'],
    ['seed', '18446744073709551616', '$.seed'],
    ['floats', 'fast', '$.floats'],
    ['limits.memoryPages', 0, '$.limits.memoryPages'],
    ['limits.memoryPages', 65537, '$.limits.memoryPages'],
    ['limits.stackSlots', '5', '$.limits.stackSlots'],
    ['checkpoints', { kind: 'often' }, '$.checkpoints.kind'],
    ['checkpoints', { kind: 'none', fuel: '1' }, '$.checkpoints.fuel'],
    ['checkpoints.fuel', '0', '$.checkpoints.fuel'],
    ['checkpoints.strideMax', 3, '$.checkpoints.strideMax'],
    ['checkpoints.strideBytes', 0, '$.checkpoints.strideBytes'],
    ['success', [], '$.success'],
    ['success', [{ checkpoints: 'roughly' }], '$.success[0].checkpoints'],
    ['success', [{ checkpoints: 'exact', output: 'a' }], '$.success[0].output'],
    ['success', [{ output: '/etc/passwd', compare: { kind: 'bytes' } }], '$.success[0].output'],
    ['success', [{ output: 'a', compare: { kind: 'bytes', abs: 0 } }], '$.success[0].compare.abs'],
    ['success', [{ output: 'a', compare: { kind: 'numbers', abs: -1, rel: 0 } }], '$.success[0].compare.abs'],
    ['success', [{ output: 'a', compare: { kind: 'json', abs: 0 } }], '$.success[0].compare.rel'],
    ['mounts', [], '$.mounts[0].at'],
    ['mounts.0.at', '/home', '$.mounts[0].at'],
    ['mounts.1.at', '/', '$.mounts[1].at'],
    ['mounts.1.at', 'lib', '$.mounts[1].at'],
    ['mounts.1.at', '/lib/', '$.mounts[1].at'],
    ['mounts.1.at', '/a/../b', '$.mounts[1].at'],
    ['mounts.1.writable', 1, '$.mounts[1].writable'],
    ['mounts.1.source.format', 'zip', '$.mounts[1].source.format'],
    ['mounts.1.source.kind', 'folder', '$.mounts[1].source.kind'],
    ['mounts.0.source.files', files('/a'), '$.mounts[0].source.files[0].path'],
    ['mounts.0.source.files', files('a/../b'), '$.mounts[0].source.files[0].path'],
    ['mounts.0.source.files', files('a//b'), '$.mounts[0].source.files[0].path'],
    ['mounts.0.source.files', files(''), '$.mounts[0].source.files[0].path'],
    ['mounts.0.source.files', files('b', 'a'), '$.mounts[0].source.files[1].path'],
    ['mounts.0.source.files', files('a', 'a'), '$.mounts[0].source.files[1].path'],
    ['mounts.0.source.files', files('\u{1f600}', '\uffff'), '$.mounts[0].source.files[1].path'],
    ['mounts.0.source.files', files('a', 'a.b', 'a/b'), '$.mounts[0].source.files[2].path'],
    ['mounts.0.source.files', files('a', 'a-b/c', 'a-b/c/d', 'a/b'), '$.mounts[0].source.files[2].path'],
  ])('refuses %s = %j', (path, value, at) => {
    const error = errorOf(() => decodeComputation(put(COMPUTATION, path, value)))
    expect([error.code, error.data['path']]).toEqual(['STRUCTURE', at])
  })

  test.each([
    ['arguments', [long(131_073)], '$.arguments[0]'],
    ['arguments', Array.from({ length: 65_537 }, () => ''), '$.arguments'],
    ['environment', { A: long(131_073) }, '$.environment.A'],
    ['mounts', Array.from({ length: 65 }, () => COMPUTATION.mounts[0]), '$.mounts'],
    ['mounts.0.source.files', files(`${'é'.repeat(2048)}x`), '$.mounts[0].source.files[0].path'],
    ['success', Array.from({ length: 1025 }, () => COMPUTATION.success[0]), '$.success'],
    ['semantics', `w${long(256)}/1`, '$.semantics'],
  ])('has a limit for %s', (path, value, at) => {
    const error = errorOf(() => decodeComputation(put(COMPUTATION, path, value)))
    expect([error.code, error.data['path']]).toEqual(['LIMIT', at])
  })
})

describe('decodeEnvironment', () => {
  test('gives back what it took', () => {
    expect(canonical(decodeEnvironment(ENVIRONMENT))).toBe(canonical(ENVIRONMENT))
  })

  test.each([
    ['startedAt', '2026-02-30T00:00:00Z'],
    ['startedAt', '2026-11-22T03:25:00.000Z'],
    ['startedAt', '2026-11-22T03:25:00+01:00'],
    ['startedAt', '2026-11-22'],
    ['cpu', ''],
    ['node', null],
    ['follows', ['x']],
    ['tpm.transport', 'mssim'],
    ['repeats', 5],
    ['user', 'me'],
  ])('refuses %s = %j', (path, value) => {
    expect(errorOf(() => decodeEnvironment(put(ENVIRONMENT, path, value))).code).toBe('STRUCTURE')
  })
})

describe('decodeOutcome', () => {
  test('gives back what it took', () => {
    expect(canonical(decodeOutcome(OUTCOME))).toBe(canonical(OUTCOME))
    expect(decodeOutcome({ ...OUTCOME, exit: { trap: 'unreachable' } }).exit).toEqual({ trap: 'unreachable' })
  })

  test.each([
    ['exit', { code: -1 }],
    ['exit', { code: 2 ** 32 }],
    ['exit', { code: 0, trap: 'x' }],
    ['exit', { trap: '' }],
    ['exit', {}],
    ['outputs', OUTCOME.outputs.slice(1)],
    ['outputs', OUTCOME.outputs.toReversed()],
    ['outputs.2.path', '/dev/null'],
    ['outputs.2.path', '../a'],
    ['outputs.2.length', '1'],
  ])('refuses %s = %j', (path, value) => {
    expect(errorOf(() => decodeOutcome(put(OUTCOME, path, value))).code).toBe('STRUCTURE')
  })
})

const digest = fc.stringMatching(/^[0-9a-f]{64}$/)
const checkpoint = fc.record({
  kind: fc.constantFrom(1 as const, 2 as const, 3 as const),
  outputs: digest,
  position: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(String),
  seq: fc.maxSafeNat(),
  state: digest,
})

const lineOf = (value: Checkpoint): string => encodeLine(value).slice(0, -1)

describe('decodeCheckpointLine', () => {
  test('gives back every checkpoint', () => {
    fc.assert(
      fc.property(checkpoint, (value) => {
        expect(decodeCheckpointLine(lineOf(value))).toEqual(value)
      }),
    )
  })

  test('takes no other text for the same checkpoint', () => {
    fc.assert(
      fc.property(checkpoint, fc.nat(), fc.constantFrom(' ', '0', '-', '+', '.0', 'e1', '"'), (value, at, added) => {
        const line = lineOf(value)
        const cut = at % (line.length + 1)
        const changed = line.slice(0, cut) + added + line.slice(cut)
        try {
          expect(lineOf(decodeCheckpointLine(changed))).toBe(changed)
        } catch (error) {
          expect(error).toBeInstanceOf(EvidenceError)
        }
      }),
    )
  })

  test.each([
    ['kind', 0],
    ['kind', 4],
    ['seq', -1],
    ['seq', 2 ** 53],
    ['position', '18446744073709551616'],
    ['position', 5],
    ['state', 'D'.repeat(64)],
    ['more', 1],
  ])('refuses %s = %j', (name, value) => {
    const line = canonical({ kind: 1, outputs: D, position: '0', seq: 0, state: D, [name]: value })
    expect(errorOf(() => decodeCheckpointLine(line)).code).toBe('STRUCTURE')
  })
})

describe('attestationLineDecoder', () => {
  const decodeAttestationLine = (line: string): unknown => attestationLineDecoder()(line)

  test('gives back what it took', () => {
    expect(decodeAttestationLine(canonical(ATTESTATION))).toEqual(ATTESTATION)
  })

  test.each([
    ['attempt', 0],
    ['attest', ''],
    ['attest', 'FF'],
    ['attest', 'f'],
    ['batch.count', 0],
    ['batch.index', 3],
    ['batch.seq', 12],
    ['batch.path', ['0']],
    ['pcrs.sha1', {}],
    ['pcrs.sha256', { '01': D }],
    ['pcrs.sha256', { '32': D }],
    ['pcrs.sha256', { '0': 'd' }],
    ['pcrs.sha256', [D]],
    ['note', ''],
  ])('refuses %s = %j', (path, value) => {
    expect(errorOf(() => decodeAttestationLine(canonical(put(ATTESTATION, path, value)))).code).toBe('STRUCTURE')
  })

  test('takes a batch of one by its form, exactly as it takes the JSON', () => {
    const line = canonical({ ...ATTESTATION, batch: { count: 1, index: 0, path: [], seq: '7' } })
    expect(decodeAttestationLine(line)).toEqual(decodeAttestation(JSON.parse(line)))
    fc.assert(
      fc.property(
        fc.nat(line.length),
        fc.nat(2),
        fc.constantFrom('', ...Array.from('0f9,:"{}[]A ')),
        (at, cut, added) => {
          const changed = line.slice(0, at) + added + line.slice(at + cut)
          const outcome = (decode: () => unknown): unknown => {
            try {
              return decode()
            } catch (error) {
              return (error as EvidenceError).code
            }
          }
          expect(outcome(() => decodeAttestationLine(changed))).toEqual(
            outcome(() => decodeAttestation(parseCanonical(changed, LINE_BYTES_MAX))),
          )
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('gives registers that did not change as the same object', () => {
    const decode = attestationLineDecoder()
    const one = { ...ATTESTATION, batch: { count: 1, index: 0, path: [], seq: '7' } }
    const [first, second] = [decode(canonical(one)), decode(canonical({ ...one, seq: 9 }))]
    expect(second.pcrs).toBe(first.pcrs)
    const other = decode(canonical(put(one, 'pcrs.sha256', { '1': D })))
    expect(other.pcrs).toEqual({ sha256: { '1': D } })
  })

  test('refuses a path longer than any batch has', () => {
    const path = Array.from({ length: 17 }, () => D)
    expect(errorOf(() => decodeAttestationLine(canonical(put(ATTESTATION, 'batch.path', path)))).code).toBe('LIMIT')
  })
})

async function lines(...pieces: readonly (string | Uint8Array)[]): Promise<string[]> {
  const all: string[] = []
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (const piece of pieces) yield typeof piece === 'string' ? utf8(piece) : piece
  }
  for await (const batch of readLines(chunks(), 'x')) all.push(...batch)
  return all
}

describe('readLines', () => {
  test('gives the same lines wherever the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.stringMatching(/^[^\n]*$/u)), fc.nat(), fc.nat(), async (expected, a, b) => {
        const bytes = utf8(expected.map((line) => `${line}\n`).join(''))
        const [from, to] = [a % (bytes.length + 1), b % (bytes.length + 1)].sort((x, y) => x - y)
        expect(await lines(bytes.subarray(0, from), bytes.subarray(from, to), bytes.subarray(to))).toEqual(expected)
      }),
    )
  })

  test('refuses a last line without a line feed, and text that is not UTF-8', async () => {
    await expect(lines('a\nb')).rejects.toMatchObject({ code: 'STRUCTURE' })
    await expect(lines(Uint8Array.of(0xff, 0x0a))).rejects.toMatchObject({ code: 'STRUCTURE' })
    await expect(lines(utf8('é').subarray(0, 1))).rejects.toMatchObject({ code: 'STRUCTURE' })
  })

  test('does not collect a line without end', async () => {
    await expect(lines('x'.repeat(LINE_BYTES_MAX), 'x'.repeat(10))).rejects.toMatchObject({ code: 'LIMIT' })
  })
})
