/** The same statements, batches and frames as a second implementation made of them: vectors/recovery/channel. */

import { readFileSync } from 'node:fs'
import { fromHex, hex, utf8 } from '@reprise/core'
import { toJson } from '@reprise/host/decode'
import { describe, expect, test } from 'vitest'
import { decodeFrame, encodeFrame, type Frame, FrameReader } from './frames.ts'
import { FRAME_BYTES_MAX } from './limits.ts'
import { batchOf, batchRoot, type PeerFacts, peerStatement, sha256 } from './statement.ts'

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../../vectors/recovery/channel/${name}`, import.meta.url), 'utf8'))
const input = read('input.json') as {
  readonly facts: Readonly<Record<keyof PeerFacts, string>>
  readonly frames: readonly { readonly kind: string }[]
}
const expected = read('expected.json') as {
  readonly statements: Readonly<Record<'asking' | 'witness', string>>
  readonly batches: readonly { readonly count: number; readonly root: string; readonly paths: readonly string[][] }[]
  readonly wire: readonly string[]
  readonly refused: Readonly<Record<string, string>>
}

/** As a receiver does. */
function received(wire: string): Frame {
  const reader = new FrameReader(
    () => FRAME_BYTES_MAX,
    () => false,
  )
  reader.push(Buffer.from(wire, 'hex'))
  const content = reader.next()
  if (content === undefined) throw new Error('the frame is not whole')
  return decodeFrame(content)
}

describe('the vectors of channels', () => {
  const { facts } = input
  const { asking, witness } = facts
  const bytes = (name: keyof PeerFacts): Uint8Array => fromHex(facts[name])
  const peers: PeerFacts = {
    ...{ asking, witness, tlsKeyAsking: bytes('tlsKeyAsking'), tlsKeyWitness: bytes('tlsKeyWitness') },
    ...{ exporter: bytes('exporter'), nonceAsking: bytes('nonceAsking'), nonceWitness: bytes('nonceWitness') },
  }

  test.each(['asking', 'witness'] as const)('statement of the role %s', (role) => {
    expect(hex(peerStatement(role, peers))).toBe(expected.statements[role])
  })

  test.each(expected.batches)('a batch of $count', ({ count, root, paths }) => {
    const statements = Array.from({ length: count }, (_, i) => sha256(utf8(`statement ${i}`)))
    const made = batchOf(statements)
    expect(hex(made.root)).toBe(root)
    const places = paths.length === count ? made.places : [made.places[0], made.places[count - 1]]
    expect(places.map(({ path }) => path.map(hex))).toEqual(paths)
    for (const [i, place] of made.places.entries()) {
      expect(hex(batchRoot(statements[i], place) ?? new Uint8Array())).toBe(root)
      expect(batchRoot(statements[i], { ...place, count: count + 1 })).not.toEqual(made.root)
      expect(batchRoot(statements[i], { ...place, path: [...place.path, made.root] })).toBeUndefined()
      if (place.path.length > 0)
        expect(batchRoot(statements[i], { ...place, path: place.path.slice(1) })).toBeUndefined()
    }
  })

  test('a batch beyond the largest has no root', () => {
    const { places } = batchOf(Array.from({ length: 65 }, () => new Uint8Array(32)))
    expect(batchRoot(new Uint8Array(32), places[0])).toBeUndefined()
  })

  test.each(input.frames.map(({ kind }, i) => [i, kind]))('frame %i, %s', (i) => {
    const wire = expected.wire[i]
    expect(toJson(received(wire))).toEqual(input.frames[i])
    expect(hex(encodeFrame(received(wire)))).toBe(wire)
  })

  test.each(Object.entries(expected.refused))('%s is refused', (_what, wire) => {
    expect(() => received(wire)).toThrow(/breaks the rules/)
  })
})
