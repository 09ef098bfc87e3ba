import { readFileSync } from 'node:fs'
import { canonical, concat, fromUtf8, utf8 } from '@reprise/core'
import { toJson } from '@reprise/host/decode'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecoveryError } from '../error.ts'
import { randomFrom, type Random } from '../simulate/random.ts'
import { decodeFrame, encodeFrame, type Frame, FrameReader, PLAN_FRAME_BYTES_MAX } from './frames.ts'
import { FRAME_BYTES_MAX, SIGNED_PLAN_BYTES_MAX } from './limits.ts'
import { STATUS_ALARMS_MAX, STATUS_MISSING_MAX, STATUS_SERVICES_MAX, toLine } from './message-codec.ts'
import type { HostStatus } from './messages.ts'

const content = (frame: Frame): Uint8Array => encodeFrame(frame).subarray(4)
/** One frame of each kind, message and answer at least. */
const samples = (
  JSON.parse(readFileSync(new URL('../../../../vectors/recovery/channel/expected.json', import.meta.url), 'utf8')) as {
    readonly wire: readonly string[]
  }
).wire.map((wire) => new Uint8Array(Buffer.from(wire, 'hex').subarray(4)))
const reader = (): FrameReader =>
  new FrameReader(
    () => FRAME_BYTES_MAX,
    () => true,
  )

/** All frames that come out, in order. */
function readAll(from: FrameReader, chunks: readonly Uint8Array[]): Uint8Array[] {
  const found: Uint8Array[] = []
  for (const chunk of chunks) {
    from.push(Buffer.from(chunk))
    for (let next = from.next(); next !== undefined; next = from.next()) found.push(new Uint8Array(next))
  }
  return found
}

/** What a decoder may do with bytes of anybody: refuse them by its own error, or take them in their only form. */
function takesOnlyItsForm(bytes: Uint8Array): 'taken' | 'refused' {
  let frame: Frame
  try {
    frame = decodeFrame(bytes)
  } catch (error) {
    if (error instanceof RecoveryError && error.code === 'CHANNEL') return 'refused'
    throw error
  }
  expect(Buffer.compare(content(frame), bytes)).toBe(0)
  return 'taken'
}

describe('frames', () => {
  test('a member too many, too few, or of another type is refused', () => {
    const values = ['', 'x', 0, -1, 1.5, 2 ** 40, true, null, [], {}, '00', 'ZZ']
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.nat(),
        fc.constantFrom(...values),
        fc.boolean(),
        (bytes, at, value, adds) => {
          const json = JSON.parse(fromUtf8(bytes)) as Record<string, unknown>
          const places: Record<string, unknown>[] = []
          const walk = (node: unknown): void => {
            if (typeof node !== 'object' || node === null) return
            if (!Array.isArray(node)) places.push(node as Record<string, unknown>)
            Object.values(node).forEach(walk)
          }
          walk(json)
          const place = places[at % places.length]
          if (adds) place['unknown'] = value
          else place[Object.keys(place)[at % Object.keys(place).length]] = value
          const outcome = takesOnlyItsForm(utf8(canonical(json)))
          if (adds) expect(outcome).toBe('refused')
        },
      ),
    )
  })

  test.each([
    ['white space', '{"kind":"echo", "nonce":"0000000000000000","turn":0}'],
    ['another order', '{"nonce":"0000000000000000","kind":"echo","turn":0}'],
    ['a name twice', '{"kind":"echo","kind":"echo","nonce":"0000000000000000","turn":0}'],
    ['an escape', '{"kind":"ech\\u006f","nonce":"0000000000000000","turn":0}'],
    ['capital hex', '{"kind":"echo","nonce":"AA00000000000000"}'],
    ['a line feed after it', '{"kind":"echo","nonce":"0000000000000000","turn":0}\n'],
    ['a mark before it', '\ufeff{"kind":"echo","nonce":"0000000000000000","turn":0}'],
    ['a kind of the prototype', '{"kind":"toString"}'],
    ['a member of the prototype', '{"__proto__":{},"kind":"echo","nonce":"0000000000000000","turn":0}'],
    ['a list', '[]'],
    ['null', 'null'],
    [
      'null for what may be absent',
      '{"answer":{"kind":"refused","refusals":[{"budget":1,"resetIncrease":null,"rule":"RESETS"}]},"id":1,"kind":"answer"}',
    ],
    ['an escape sequence of a terminal', '{"kind":"refuse","why":"\\u001b[2J"}'],
    ['a line separator', '{"kind":"refuse","why":"\u2028"}'],
    ['an upper-case name', '{"id":1,"kind":"say","message":{"about":"Web","kind":"observe"}}'],
    ['an epoch of nothing', '{"id":1,"kind":"say","message":{"epoch":0,"kind":"commit"}}'],
    ['a number beyond all', '{"id":1e400,"kind":"say","message":{"kind":"status"}}'],
    [
      'registers out of order',
      `{"akPublic":"00","host":"a","kind":"hello","nonce":"${'00'.repeat(32)}","planVersion":1,"registers":[7,4]}`,
    ],
    ['deep nesting', '['.repeat(30_000) + ']'.repeat(30_000)],
  ])('%s is refused', (_what, text) => {
    expect(takesOnlyItsForm(utf8(text))).toBe('refused')
  })

  test('lists and texts beyond their limit are refused', () => {
    const refusals = Array.from({ length: 17 }, () => ({ rule: 'ATTESTED' }) as const)
    expect(() => encodeFrame({ kind: 'answer', id: 1, answer: { kind: 'refused', refusals } })).toThrow(
      /list of at most 16/,
    )
    expect(takesOnlyItsForm(utf8(canonical({ kind: 'answer', id: 1, answer: { kind: 'refused', refusals } })))).toBe(
      'refused',
    )
    expect(takesOnlyItsForm(utf8(canonical({ kind: 'refuse', why: 'ö'.repeat(151) })))).toBe('refused')
    expect(takesOnlyItsForm(utf8(canonical({ kind: 'refuse', why: 'ö'.repeat(150) })))).toBe('taken')
  })

  test('the longest status fits', () => {
    const name = 'n'.repeat(63)
    const wallMs = 1.2345678901234567e-100
    const status: HostStatus = {
      ...{ host: name, planVersion: 2 ** 31, state: 'starting', verdict: '"'.repeat(32), epoch: 2 ** 53 - 1 },
      ...{ sharesHeld: 64, sharesNeeded: 64, uptimeMs: Number.MIN_VALUE, auditLength: 2 ** 53 - 1 },
      auditHead: new Uint8Array(32),
      missing: Array.from({ length: STATUS_MISSING_MAX }, () => ({ witness: name, why: '"'.repeat(64) })),
      services: Array.from({ length: STATUS_SERVICES_MAX }, () => ({ name, state: 'starting', sinceWallMs: wallMs })),
      alarms: Array.from({ length: STATUS_ALARMS_MAX }, () => ({ wallMs, text: '\\'.repeat(200) })),
    }
    expect(takesOnlyItsForm(content({ kind: 'answer', id: 1, answer: { kind: 'status', status } }))).toBe('taken')
  })

  test('a wall clock is one that a date can show', () => {
    const status = (wallMs: number): object => ({
      ...{ host: 'h', planVersion: 1, state: 'serving', epoch: 1, sharesHeld: 0, sharesNeeded: 0, uptimeMs: 0 },
      ...{ auditLength: 0, auditHead: '00'.repeat(32), missing: [], alarms: [] },
      services: [{ name: 'web', state: 'ready', sinceWallMs: wallMs }],
    })
    const said = (wallMs: number): string =>
      takesOnlyItsForm(utf8(canonical({ kind: 'answer', id: 1, answer: { kind: 'status', status: status(wallMs) } })))
    expect([0, 253_402_300_799_999, 253_402_300_800_000, 8.65e15, -1].map(said)).toEqual([
      ...['taken', 'taken', 'refused', 'refused', 'refused'],
    ])
  })

  test('the largest part of a delivery fits', () => {
    const largest = { statement: new Uint8Array(16_384), part: 255, parts: 256, bytes: new Uint8Array(12_288) }
    const frame: Frame = { kind: 'say', id: 2 ** 32 - 1, message: { kind: 'deliver', ...largest } }
    expect(takesOnlyItsForm(content(frame))).toBe('taken')
  })

  test('what cannot be said is refused before it is sent', () => {
    expect(() => encodeFrame({ kind: 'say', id: 1, message: { kind: 'observe', about: 'Web 1' } })).toThrow(
      RecoveryError,
    )
    const refusal = { rule: 'ROUND_TRIP', roundTripMs: Number.NaN, boundMs: 1 } as const
    expect(() => encodeFrame({ kind: 'answer', id: 1, answer: { kind: 'refused', refusals: [refusal] } })).toThrow(
      /cannot be said/,
    )
  })

  test('any text becomes a line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 700 }), (text) => {
        expect(takesOnlyItsForm(utf8(canonical({ kind: 'refuse', why: toLine(text, 300) })))).toBe('taken')
      }),
    )
  })
})

describe('a plan', () => {
  const plan = (lengthBytes: number): Frame => ({
    ...{ kind: 'say', id: 7 },
    message: { kind: 'plan', signed: new Uint8Array(lengthBytes).fill(0xab) },
  })

  test.each([1, 32_700, 32_768, 100_000, 1 << 22])('of %i bytes comes back as it was', (lengthBytes) => {
    const whole = encodeFrame(plan(lengthBytes))
    const [found, ...others] = readAll(reader(), [whole.subarray(0, 5), whole.subarray(5, 60), whole.subarray(60)])
    expect(others).toEqual([])
    const frame = decodeFrame(found)
    expect(canonical(toJson(frame)) === Buffer.from(whole.subarray(4)).toString()).toBe(true)
  })

  test('is refused beyond its limit, before it is kept', () => {
    expect(() => encodeFrame(plan(SIGNED_PLAN_BYTES_MAX + 1))).toThrow(RecoveryError)
    const header = Buffer.alloc(4)
    header.writeUInt32BE(PLAN_FRAME_BYTES_MAX + 1)
    expect(() => readAll(reader(), [header])).toThrow(/a frame of/)
  })

  test('is the only frame that may be large', () => {
    const header = Buffer.alloc(4)
    header.writeUInt32BE(FRAME_BYTES_MAX + 1)
    const head = utf8('{"id":7,"kind":"say","message":{"kind":"statement","signed":"'.padEnd(80, 'a'))
    expect(readAll(reader(), [header])).toEqual([])
    expect(() => readAll(reader(), [header, head])).toThrow(/that is no plan/)
    const deaf = new FrameReader(
      () => FRAME_BYTES_MAX,
      () => false,
    )
    expect(() => readAll(deaf, [header])).toThrow(/a frame of/)
  })

  test.each([
    ['capital hex', 'AB', '"}}'],
    ['half a byte', 'abc', '"}}'],
    ['another member', 'ab","x":"ab', '"}}'],
    ['another end', 'ab', '"}]'],
  ])('with %s is refused', (_what, piece, tail) => {
    const head = '{"id":7,"kind":"say","message":{"kind":"plan","signed":"'
    expect(takesOnlyItsForm(utf8(`${head}${'ab'.repeat(40_000)}${piece}${tail}`))).toBe('refused')
  })
})

describe('a reader of frames', () => {
  test.each([0, FRAME_BYTES_MAX + 1, 0xffff_ffff])('refuses a length of %i at once', (length) => {
    const header = Buffer.alloc(4)
    header.writeUInt32BE(length)
    const strict = new FrameReader(
      () => FRAME_BYTES_MAX,
      () => false,
    )
    expect(() => readAll(strict, [header])).toThrow(RecoveryError)
  })
})

/** Bytes near those of frames: changed, cut, doubled, put together. */
function mutated({ below }: Random, samples: readonly Uint8Array[]): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(samples[below(samples.length)])
  for (let changes = 1 + below(4); changes > 0 && bytes.length > 0; changes--) {
    const at = below(bytes.length)
    const other = samples[below(samples.length)]
    switch (below(6)) {
      case 0:
        bytes[at] ^= 1 << below(8)
        break
      case 1:
        bytes[at] = '"{}[],:0a\\u- \n'.charCodeAt(below(15)) || 0
        break
      case 2:
        bytes = bytes.slice(0, at)
        break
      case 3:
        bytes = concat(bytes.subarray(0, at), bytes.subarray(below(bytes.length)))
        break
      case 4:
        bytes = concat(bytes.subarray(0, at), other.subarray(below(other.length)))
        break
      default:
        bytes = Uint8Array.from({ length: 1 + below(64) }, () => below(256))
    }
  }
  return bytes
}

/** A fifth of them for a commit. */
const ROUNDS = process.env['REPRISE_TESTS'] === 'check' ? 4000 : 20_000

describe('bytes of anybody', () => {
  test('end in a frame in its only form, or in an error of ours', () => {
    const random = randomFrom(7, 'channel frames')
    const outcomes = { taken: 0, refused: 0 }
    for (let round = 0; round < ROUNDS; round++) outcomes[takesOnlyItsForm(mutated(random, samples))] += 1
    // Both ways are walked: some changes are of a byte within hex.
    expect(outcomes.taken).toBeGreaterThan(ROUNDS / 200)
    expect(outcomes.refused).toBeGreaterThan(ROUNDS / 2)
  })

  test('as a stream are frames, or end it, and never wait with more than a frame', () => {
    const random = randomFrom(8, 'channel stream')
    for (let round = 0; round < ROUNDS / 10; round++) {
      const from = reader()
      try {
        for (let chunks = 0; chunks < 6; chunks++) {
          const bytes = mutated(random, samples)
          const header = Buffer.alloc(4)
          header.writeUInt32BE(random.next() < 0.5 ? bytes.length : random.below(2 ** 32))
          readAll(from, [header, bytes]).forEach(takesOnlyItsForm)
        }
      } catch (error) {
        if (!(error instanceof RecoveryError)) throw error
      }
    }
  })
})
