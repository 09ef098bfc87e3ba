import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HostError } from '../error.ts'
import { LineReader } from './lines.ts'
import {
  type Answer,
  decodeAnswer,
  decodeRequest,
  encodeMessage,
  heardError,
  type Request,
  sayError,
} from './protocol.ts'

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 })
const count = fc.nat(0xffffffff)
const seq = fc.maxSafeNat()
const request: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ type: fc.constant('hello' as const), version: fc.nat() }),
  fc.record({
    type: fc.constant('openRun' as const),
    request: seq,
    runId: digest,
    attempt: fc.integer({ min: 1 }),
    firstSeq: seq,
    environmentDigest: digest,
    previous: digest,
    since: fc.option(
      fc.record({ resetCount: count, restartCount: count, clock: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) }),
    ),
    begun: fc.boolean(),
    pcrs: fc.array(fc.nat(23), { maxLength: 24 }),
  }),
  fc.record({
    type: fc.constant('head' as const),
    runId: digest,
    seq,
    cumulative: digest,
    snapshots: digest,
    end: fc.boolean(),
    urgent: fc.boolean(),
  }),
  fc.record({ type: fc.constant('closeRun' as const), runId: digest }),
  fc.record({ type: fc.constant('show' as const), request: seq }),
  fc.record({ type: fc.constant('stop' as const), request: seq }),
  fc.record({
    type: fc.constant('measure' as const),
    request: seq,
    measured: fc.array(
      fc.record({ kind: fc.constant('rewriter' as const), version: fc.string({ minLength: 1, maxLength: 8 }) }),
      { maxLength: 4 },
    ),
  }),
  fc.record({
    type: fc.constant('attest' as const),
    request: seq,
    nonce: digest,
    pcrs: fc.array(fc.nat(23), { maxLength: 24 }),
  }),
  fc.record({ type: fc.constant('endorsement' as const), request: seq }),
  fc.record({
    type: fc.constant('prove' as const),
    request: seq,
    authority: digest,
    id: digest,
    name: fc.constantFrom('a', 'node-17.example', 'A_1'),
    credentialBlob: fc.uint8Array({ minLength: 1, maxLength: 256 }),
    encryptedSecret: fc.uint8Array({ minLength: 1, maxLength: 1024 }),
  }),
  fc.record({
    type: fc.constant('keep' as const),
    request: seq,
    root: fc.uint8Array({ minLength: 1, maxLength: 8192 }),
    certificates: fc.array(fc.uint8Array({ minLength: 1, maxLength: 8192 }), { maxLength: 4 }),
  }),
)

const overTheWire = (message: Request | Answer): unknown => JSON.parse(JSON.stringify(encodeMessage(message)))

describe('requests', () => {
  test('decode to what was encoded', () => {
    fc.assert(
      fc.property(request, (sent) => {
        expect(decodeRequest(overTheWire(sent))).toEqual(sent)
      }),
    )
  })

  test('with a field too many or too few are refused', () => {
    fc.assert(
      fc.property(request, fc.nat(), (sent, choice) => {
        const json = overTheWire(sent) as Record<string, unknown>
        expect(() => decodeRequest({ ...json, also: 1 })).toThrow(HostError)
        const names = Object.keys(json)
        delete json[names[choice % names.length]]
        expect(() => decodeRequest(json)).toThrow(HostError)
      }),
    )
  })

  test('of any other JSON are refused, not crashed on', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => decodeRequest(value)).toThrow(HostError)
      }),
    )
    expect(() => decodeRequest({ type: 'toString' })).toThrow(HostError)
    expect(() => decodeRequest({ type: 'quote', qualifyingData: '00' })).toThrow('request.type must be')
  })

  test.each([
    ['hex in capitals', { runId: 'AB'.repeat(32) }],
    ['a short digest', { runId: 'ab'.repeat(31) }],
    ['a fraction', { seq: 0.5 }],
    ['a negative seq', { seq: -1 }],
    ['a seq beyond 2^53', { seq: 2 ** 53 }],
    ['text for a boolean', { urgent: 'yes' }],
  ])('with %s are refused', (_what, wrong) => {
    const whole = {
      runId: 'ab'.repeat(32),
      seq: 1,
      cumulative: 'cd'.repeat(32),
      snapshots: 'ef'.repeat(32),
      end: false,
      urgent: true,
    }
    expect(decodeRequest({ type: 'head', ...whole })).toMatchObject({ seq: 1 })
    expect(() => decodeRequest({ type: 'head', ...whole, ...wrong })).toThrow(HostError)
  })
})

describe('answers', () => {
  const receipt: Answer = {
    type: 'receipt',
    runId: new Uint8Array(32),
    attestation: {
      attempt: 1,
      attest: 'ff',
      batch: { count: 2, index: 1, path: ['ab'.repeat(32)], seq: '12' },
      pcrs: { sha256: { '0': '00'.repeat(32), '23': 'ff'.repeat(32) } },
      seq: 5,
      signature: '0018',
    },
  }

  test('bring an attestation without loss', () => {
    expect(decodeAnswer(overTheWire(receipt))).toEqual(receipt)
  })

  test('with something in an attestation that does not belong there are refused', () => {
    const { attestation } = receipt
    for (const wrong of [
      { ...attestation, more: 1 },
      { ...attestation, seq: '5' },
      { ...attestation, batch: { ...attestation.batch, seq: '012' } },
      { ...attestation, pcrs: { sha256: { '24': '00'.repeat(32) } } },
      { ...attestation, pcrs: { sha1: {} } },
    ])
      expect(() => decodeAnswer({ type: 'receipt', runId: '00'.repeat(32), attestation: wrong })).toThrow(HostError)
  })

  test('carry errors with their code and hint', () => {
    const error = new HostError('TPM_CHANGED', { message: 'changed', hint: 'do this' })
    expect(heardError(sayError(error))).toMatchObject({ code: 'TPM_CHANGED', message: 'changed', hint: 'do this' })
    expect(heardError(sayError(new Error('broken pipe')))).toMatchObject({ code: 'TPM_FAILED', message: 'broken pipe' })
  })
})

describe('LineReader', () => {
  test('finds the same values however the bytes are cut', () => {
    const values = fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 8 })
    fc.assert(
      fc.property(values, fc.array(fc.nat(40)), (sent, cuts) => {
        const bytes = Buffer.from(sent.map((value) => `${JSON.stringify(value)}\n`).join(''))
        const reader = new LineReader(1 << 20)
        const got: unknown[] = []
        let from = 0
        for (const cut of [...cuts, bytes.length]) {
          got.push(...reader.push(bytes.subarray(from, from + cut)))
          from += cut
        }
        expect(JSON.stringify(got)).toBe(JSON.stringify(sent))
      }),
    )
  })

  test('refuses a line that is too long before it is whole', () => {
    const reader = new LineReader(100)
    expect([...reader.push(Buffer.alloc(100, 0x20))]).toEqual([])
    expect(() => [...reader.push(Buffer.alloc(1, 0x20))]).toThrow('longer than 100 bytes')
  })

  test.each([Buffer.from('{\n'), Buffer.from('\n'), Buffer.from([0x22, 0xff, 0x22, 0x0a])])('refuses %j', (bytes) => {
    expect(() => [...new LineReader(100).push(bytes)]).toThrow(HostError)
  })
})
