import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LiveOutput, type StreamName } from './live-output.ts'

function recorded(): {
  readonly output: LiveOutput
  readonly sent: [StreamName, string][]
  readonly clock: { nowMs: number }
} {
  const sent: [StreamName, string][] = []
  const clock = { nowMs: 0 }
  const output = new LiveOutput({
    send: (stream, bytes) => sent.push([stream, Buffer.from(bytes).toString('latin1')]),
    nowMs: () => clock.nowMs,
  })
  return { output, sent, clock }
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')

describe('LiveOutput', () => {
  test('sends at once what comes after a silence, and together what comes soon after it', () => {
    const { output, sent, clock } = recorded()
    output.write('stdout', bytes('a'))
    expect(sent).toEqual([['stdout', 'a']])
    clock.nowMs = 4
    output.write('stdout', bytes('b'))
    output.write('stdout', bytes('c'))
    expect(sent).toHaveLength(1)
    clock.nowMs = 10
    output.write('stdout', bytes('d'))
    expect(sent.slice(1)).toEqual([['stdout', 'bcd']])
  })

  test('sends what waits when it is told to, once', () => {
    const { output, sent } = recorded()
    output.write('stderr', bytes('a'))
    output.write('stderr', bytes('b'))
    output.flush()
    output.flush()
    expect(sent).toEqual([
      ['stderr', 'a'],
      ['stderr', 'b'],
    ])
  })

  test('loses nothing and keeps the order of both streams, in pieces that are not small', () => {
    const writes = fc.array(
      fc.record({
        stream: fc.constantFrom<StreamName>('stdout', 'stderr'),
        lengthBytes: fc.oneof(fc.nat(2000), fc.nat(200_000)),
        afterMs: fc.nat(12),
      }),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(writes, (all) => {
        const { output, sent, clock } = recorded()
        const written: [StreamName, string][] = []
        let count = 0
        let silences = 0
        for (const { stream, lengthBytes, afterMs } of all) {
          clock.nowMs += afterMs
          if (afterMs > 0) silences++
          const text = String.fromCharCode(count++ % 256).repeat(lengthBytes)
          // The buffer is the guest's, which writes on.
          const guests = bytes(text)
          output.write(stream, guests)
          guests.fill(0)
          written.push([stream, text])
        }
        output.flush()
        expect(joined(sent)).toEqual(joined(written))
        const streams = joined(written).length
        const totalBytes = written.reduce((sum, [, { length }]) => sum + length, 0)
        // The first one, each silence and each change of the stream may send once; two neighbours else fill one piece.
        expect(sent.length).toBeLessThanOrEqual(2 + silences + streams + totalBytes / (32 << 10))
      }),
    )
  })
})

/** Neighbours of one stream put together, empty ones left out. */
function joined(pieces: readonly (readonly [StreamName, string])[]): [StreamName, string][] {
  const all: [StreamName, string][] = []
  for (const [stream, text] of pieces) {
    const last = all.at(-1)
    if (text === '') continue
    if (last?.[0] === stream) last[1] += text
    else all.push([stream, text])
  }
  return all
}
