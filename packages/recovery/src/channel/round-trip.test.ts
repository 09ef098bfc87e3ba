/** Frames of every kind, with every member at and between its limits, come back as they were. */

import { concat } from '@reprise/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Fact, PriorShutdown, Share } from '../types.ts'
import { decodeFrame, type Echo, encodeFrame, type Frame, FrameReader } from './frames.ts'
import type { Quote } from '../quote.ts'
import type { Answer, HostStatus, Message } from './messages.ts'
import { FRAME_BYTES_MAX } from './limits.ts'
import type { Refusal } from '../protocol/gate.ts'

const bytes = (minLength: number, maxLength = minLength): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength }).map((found) => new Uint8Array(found))
const name = fc.stringMatching(/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/)
/** One line; with characters of all lengths, quotation marks and backslashes. */
const line = (lengthBytesMax: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('a', 'Z', ' ', '"', '\\', 'ö', '字', '🜚', '/'), maxLength: lengthBytesMax >> 2 })
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const epoch = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const index = fc.integer({ min: 0, max: 63 })
const version = fc.integer({ min: 1, max: 2 ** 31 })
const durationMs = fc.oneof(
  count,
  fc.double({ min: 0, max: 1e300, noNaN: true }).map((found) => (found === 0 ? 0 : found)),
)
const wallAgeMs = fc.integer({ min: -(2 ** 52), max: 2 ** 52 })
const wallMs = fc.integer({ min: 0, max: 253_402_300_799_999 })
const digest = bytes(32)

const quote: fc.Arbitrary<Quote> = fc.record({ attest: bytes(1, 1024), signature: bytes(1, 1024) })
const share: fc.Arbitrary<Share> = fc.record({ host: name, epoch, index, bytes: bytes(33), digest })
const bool = fc.boolean()

/** Members that may be missing, as a decoder leaves them: not there. */
function maybe<T, K extends keyof T>(record: fc.Arbitrary<T>, ...names: readonly K[]): fc.Arbitrary<T> {
  return fc.tuple(record, fc.subarray([...names])).map(([value, absent]) => {
    const rest = Object.entries(value as object).filter(([key]) => !(absent as readonly string[]).includes(key))
    return Object.fromEntries(rest) as T
  })
}

const fact = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Fact<T>> =>
  maybe(
    fc.record({
      value,
      source: fc.constantFrom('tpm', 'marker', 'kernel', 'journal', 'wtmp', 'pstore', 'file-system', 'peer'),
      signed: bool,
    }) as fc.Arbitrary<Fact<T>>,
    'value',
  )

const prior: fc.Arbitrary<PriorShutdown> = fc.record({
  ...{ orderly: fact(bool), cleanMarker: fact(bool), journalShutdown: fact(bool), wtmpShutdown: fact(bool) },
  ...{ kernelCrash: fact(bool), fileSystemClean: fact(bool), bootId: fact(line(64)) },
  ...{ resetIncrease: fact(count), restartIncrease: fact(count), poweredMs: fact(durationMs) },
})

const messages: { readonly [K in Message['kind']]: fc.Arbitrary<Extract<Message, { kind: K }>> } = {
  observe: fc.record({ kind: fc.constant('observe'), about: name }),
  ask: fc.record({
    kind: fc.constant('ask'),
    request: fc.record({ host: name, epoch, index, rosterVersion: version, attempt: line(64), prior }),
  }),
  heartbeat: fc.record({
    ...{ kind: fc.constant('heartbeat'), epoch, auditHead: digest, auditLength: count, proof: bytes(64) },
  }),
  prepare: fc.record({
    ...{ kind: fc.constant('prepare'), share, leaseKey: bytes(65) },
    succession: fc.array(fc.record({ after: epoch, epoch, leaseKey: bytes(65), signature: bytes(64) }), {
      maxLength: 64,
    }),
  }),
  commit: fc.record({ kind: fc.constant('commit'), epoch }),
  plan: fc.record({ kind: fc.constant('plan'), signed: bytes(1, 4096) }),
  statement: fc.record({ kind: fc.constant('statement'), signed: bytes(1, 16_384) }),
  status: fc.record({ kind: fc.constant('status') }),
  loaded: fc.record({ kind: fc.constant('loaded'), imageDigest: digest, quote }),
  approvals: fc.record({ kind: fc.constant('approvals'), planVersion: version, digest }),
  vouch: fc.record({ kind: fc.constant('vouch'), about: name }),
  deliver: fc.record({
    kind: fc.constant('deliver'),
    statement: bytes(1, 16_384),
    part: fc.integer({ min: 0, max: 255 }),
    parts: fc.integer({ min: 1, max: 256 }),
    bytes: bytes(1, 12_288),
  }),
}

const refusal: fc.Arbitrary<Refusal> = fc.oneof(
  fc.record({ rule: fc.constantFrom('ATTESTED', 'MEASUREMENT', 'WITNESS_DOMAIN') }),
  fc.record({
    rule: fc.constant('ROSTER'),
    membership: fc.constantFrom('active', 'expunged', 'revoked', 'unknown'),
  }),
  fc.record({ rule: fc.constant('ROSTER_OLD'), requestRoster: version, ownRoster: version }),
  fc.record({ rule: fc.constant('EPOCH'), epoch: fc.constantFrom('missing', 'superseded') }),
  maybe(fc.record({ rule: fc.constant('RESETS'), resetIncrease: count, budget: count }), 'resetIncrease'),
  maybe(fc.record({ rule: fc.constant('RESTARTS'), restartIncrease: count }), 'restartIncrease'),
  fc.record({ rule: fc.constant('ROUND_TRIP'), roundTripMs: durationMs, boundMs: durationMs }),
  maybe(fc.record({ rule: fc.constant('LEASE'), ageMs: durationMs, leaseMs: durationMs }), 'ageMs'),
  fc.record({ rule: fc.constant('VERDICT'), action: fc.constantFrom('hold', 'lock'), theft: durationMs }),
)

const service = fc.record({
  ...{ name, state: fc.constantFrom('waiting', 'starting', 'ready', 'failed', 'stopped'), sinceWallMs: wallMs },
})
const status = maybe(
  fc.record({
    ...{ host: name, planVersion: version, verdict: line(32), epoch: count, uptimeMs: durationMs },
    state: fc.constantFrom(
      ...(['starting', 'asking', 'holding', 'locked', 'refused', 'loading', 'serving', 'broken'] as const),
    ),
    ...{ sharesHeld: index, sharesNeeded: index, auditLength: count, auditHead: digest },
    missing: fc.array(fc.record({ witness: name, why: line(64) }), { maxLength: 64 }),
    services: fc.array(service, { maxLength: 256 }),
    alarms: fc.array(fc.record({ wallMs, text: line(200) }), { maxLength: 20 }),
  }) as fc.Arbitrary<HostStatus>,
  'verdict',
)
const report = maybe(
  fc.record({
    ...{ uptimeMs: durationMs, lastShutdown: fc.constantFrom('clean', 'abnormal') },
    lease: fc.record({ boundMs: durationMs, isContinuous: bool, wallMs: wallAgeMs }),
  }),
  'lease',
)

const answers: { readonly [K in Answer['kind']]: fc.Arbitrary<Extract<Answer, { kind: K }>> } = {
  observed: fc.record({ kind: fc.constant('observed'), report, planVersion: version }),
  share: fc.record({ kind: fc.constant('share'), share, release: quote }),
  refused: fc.record({ kind: fc.constant('refused'), refusals: fc.array(refusal, { maxLength: 16 }) }),
  beaten: fc.record({ kind: fc.constant('beaten'), countersign: quote }),
  prepared: fc.record({ kind: fc.constant('prepared'), epoch }),
  committed: fc.record({ kind: fc.constant('committed'), epoch }),
  taken: fc.record({ kind: fc.constant('taken'), planVersion: version }),
  status: fc.record({ kind: fc.constant('status'), status }),
  loaded: fc.record({ kind: fc.constant('loaded'), confirm: quote }),
  approvals: fc.record({ kind: fc.constant('approvals'), planVersion: version, digest }),
  vouched: fc.record(
    {
      kind: fc.constant('vouched'),
      ak: fc.stringMatching(/^000b[0-9a-f]{64}$/),
      keys: fc.array(fc.record({ epoch, leaseKey: bytes(65, 65) }), { maxLength: 16 }),
    },
    { requiredKeys: ['kind', 'keys'] },
  ),
  delivering: fc.record({ kind: fc.constant('delivering'), next: fc.integer({ min: 0, max: 256 }) }),
  delivered: fc.record({ kind: fc.constant('delivered'), epoch }),
  failed: fc.record({
    kind: fc.constant('failed'),
    code: fc.constantFrom('MALFORMED', 'NOT_NOW', 'NOT_FOR_YOU', 'PROOF', 'STATEMENT', 'PLAN'),
    text: line(300),
  }),
}

const id = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const registers = fc
  .subarray(
    Array.from({ length: 24 }, (_, pcr) => pcr),
    { minLength: 1 },
  )
  .map((pcrs) => pcrs.toSorted((a, b) => a - b))

const frames: { readonly [K in Frame['kind']]: fc.Arbitrary<Extract<Frame, { kind: K }>> } = {
  hello: fc.record({
    ...{ kind: fc.constant('hello'), host: name, nonce: bytes(32), akPublic: bytes(1, 1024) },
    ...{ planVersion: version, registers },
  }),
  proof: fc.record({
    ...{ kind: fc.constant('proof'), attest: bytes(1, 1024), signature: bytes(1, 1024), index },
    ...{ registers: fc.array(digest, { maxLength: 24 }), count: fc.integer({ min: 1, max: 64 }) },
    path: fc.array(digest, { maxLength: 6 }),
  }),
  refuse: fc.record({ kind: fc.constant('refuse'), why: line(300) }),
  echo: maybe(
    fc.record({
      ...{ kind: fc.constant('echo'), turn: fc.integer({ min: 0, max: 6 }), nonce: bytes(8), back: bytes(8) },
    }) as fc.Arbitrary<Echo>,
    'back',
  ),
  say: fc.record({ kind: fc.constant('say'), id, message: fc.oneof(...Object.values(messages)) }),
  answer: fc.record({ kind: fc.constant('answer'), id, answer: fc.oneof(...Object.values(answers)) }),
}

const content = (frame: Frame): Uint8Array => encodeFrame(frame).subarray(4)
const any: fc.Arbitrary<Frame> = fc.oneof(...Object.values(frames))

describe('frames', () => {
  const comesBack = (arbitrary: fc.Arbitrary<Frame>): void =>
    fc.assert(
      fc.property(arbitrary, (frame) => {
        expect(decodeFrame(content(frame))).toEqual(frame)
      }),
    )

  test.each(Object.entries(frames))('%s comes back as it was', (_kind, arbitrary: fc.Arbitrary<Frame>) => {
    comesBack(arbitrary)
  })

  test.each(Object.entries(messages))('message %s comes back as it was', (_kind, arbitrary: fc.Arbitrary<Message>) => {
    comesBack(arbitrary.map((message) => ({ kind: 'say', id: 1, message })))
  })

  test.each(Object.entries(answers))('answer %s comes back as it was', (_kind, arbitrary: fc.Arbitrary<Answer>) => {
    comesBack(arbitrary.map((answer) => ({ kind: 'answer', id: 1, answer })))
  })

  test('are found however they are cut', () => {
    fc.assert(
      fc.property(fc.array(any, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 20 }), (sent, cuts) => {
        const whole = concat(...sent.map(encodeFrame))
        const edges = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].toSorted((a, b) => a - b)
        const chunks = [0, ...edges].map((from, i) => whole.subarray(from, edges[i] ?? whole.length))
        expect(readAll(chunks)).toEqual(sent)
      }),
      { numRuns: 50 },
    )
  })
})

function readAll(chunks: readonly Uint8Array[]): Frame[] {
  const reader = new FrameReader(
    () => FRAME_BYTES_MAX,
    () => true,
  )
  const found: Frame[] = []
  for (const chunk of chunks) {
    reader.push(Buffer.from(chunk))
    for (let next = reader.next(); next !== undefined; next = reader.next()) found.push(decodeFrame(next))
  }
  return found
}
