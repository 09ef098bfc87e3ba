import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compare, concat, fromHex, hex, utf8 } from '../bytes/index.ts'
import { canonical } from '../canon/index.ts'
import type { Computation, Environment, Outcome, Snapshot } from '../record/types.ts'
import {
  attestationDigest,
  batchDigest,
  computationId,
  cumulativeChain,
  environmentDigest,
  headDigest,
  hostId,
  outcomeDigest,
  outcomeOutputsRoot,
  outputsRoot,
  snapshotChain,
  snapshotRoot,
  snapshotRootPrefix,
  snapshotsStart,
  stateRoot,
} from './index.ts'

const sha256 = (data: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(data).digest())

/** spec/measurement.md §1, written once more and apart from the code: H(tag 0x00 field field …), in hex. */
function H(tag: string, ...fields: readonly Uint8Array[]): string {
  const hash = createHash('sha256').update(`${tag}\0`, 'ascii')
  for (const field of fields) hash.update(field)
  return hash.digest('hex')
}

function u64(value: bigint | number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}

const sized = (bytes: Uint8Array): Uint8Array => Buffer.concat([u64(bytes.length), bytes])

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 })
const bytes = fc.uint8Array({ maxLength: 200 })
const count = fc.maxSafeNat()
const number = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })

const path = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
const output = fc.record({ path, lengthBytes: count, pagesRoot: digest })

describe('measurement', () => {
  test('of JSON is the tag, a zero byte and the canonical text', () => {
    const value = { b: 1, a: ['é'] }
    const text = utf8(canonical(value))
    expect(hex(computationId(value as unknown as Computation, sha256))).toBe(H('reprise/computation/v1', text))
    expect(hex(environmentDigest(value as unknown as Environment, sha256))).toBe(H('reprise/environment/v1', text))
    expect(hex(outcomeDigest(value as unknown as Outcome, sha256))).toBe(H('reprise/outcome/v1', text))
  })

  test('of a state follows spec/measurement.md §3', () => {
    fc.assert(
      fc.property(digest, bytes, (memoryRoot, engineState) => {
        expect(hex(stateRoot(memoryRoot, engineState, sha256))).toBe(
          H('reprise/state/v1', memoryRoot, sized(engineState)),
        )
      }),
    )
  })

  test('of outputs follows §2.1 and §3, in the order of path bytes', () => {
    const up = (level: readonly string[]): string[] => {
      if (level.length <= 1) return [...level]
      // RFC 9162 §2.1.1: split at the largest power of two below n.
      const split = 2 ** Math.floor(Math.log2(level.length - 1))
      const [left, right] = [level.slice(0, split), level.slice(split)].map((side) => fromHex(up(side)[0]))
      return [H('reprise/outputs/node', left, right)]
    }
    fc.assert(
      fc.property(fc.uniqueArray(output, { selector: (each) => each.path, maxLength: 9 }), (outputs) => {
        const sorted = outputs.toSorted((a, b) => compare(utf8(a.path), utf8(b.path)))
        const leaves = sorted.map(({ path, lengthBytes, pagesRoot }) =>
          H('reprise/outputs/leaf', sized(utf8(path)), u64(lengthBytes), pagesRoot),
        )
        const expected = H('reprise/outputs/root', u64(leaves.length), ...up(leaves).map(fromHex))
        expect(hex(outputsRoot(outputs, sha256))).toBe(expected)
        const outcome: Outcome = {
          exit: { code: 0 },
          outputs: sorted.map((each) => ({
            length: each.lengthBytes,
            pages: hex(each.pagesRoot),
            path: each.path,
            sha256: '',
          })),
        }
        expect(hex(outcomeOutputsRoot(outcome, sha256))).toBe(expected)
      }),
      { numRuns: 50 },
    )
  })

  test('chains checkpoints as §5 says', () => {
    const leaf = fc.record({
      seq: count,
      position: number,
      kind: fc.constantFrom(1 as const, 2 as const, 3 as const),
      stateRoot: digest,
      outputsRoot: digest,
      outcome: digest,
    })
    fc.assert(
      fc.property(digest, fc.array(leaf, { maxLength: 5 }), (id, leaves) => {
        const chain = cumulativeChain(sha256)
        let actual = chain.start(id)
        let expected = H('reprise/start/v1', id)
        expect(hex(actual)).toBe(expected)
        for (const each of leaves) {
          actual = chain.next(actual, each)
          const { kind, outcome, outputsRoot, position, seq, stateRoot } = each
          const hashed = H(
            'reprise/checkpoint/v1',
            u64(seq),
            u64(position),
            Uint8Array.of(kind),
            stateRoot,
            outputsRoot,
            outcome,
          )
          expected = H('reprise/cumulative/v1', fromHex(expected), fromHex(hashed))
          expect(hex(actual)).toBe(expected)
        }
      }),
    )
  })

  test('of a snapshot, and the chain over snapshots, follow §5', () => {
    const hexDigest = digest.map(hex)
    const snapshot = fc.record({
      frames: hexDigest,
      manifest: hexDigest,
      root: hexDigest,
      gap: fc.nat(3),
      position: number,
    })
    fc.assert(
      fc.property(digest, bytes, fc.array(snapshot, { maxLength: 5 }), (id, frames, items) => {
        expect(hex(snapshotRoot(id, frames, sha256))).toBe(H('reprise/snapshot/v1', id, sized(frames)))
        expect(hex(sha256(concat(snapshotRootPrefix(id, frames.length), frames)))).toBe(
          H('reprise/snapshot/v1', id, sized(frames)),
        )
        let expected = H('reprise/snapshots/start/v1', id)
        const expectedAt = [expected]
        const snapshots: (Snapshot & { readonly position: bigint })[] = []
        for (const { gap, position, ...line } of items) {
          for (let i = 0; i < gap; i++) expectedAt.push(expected)
          const seq = expectedAt.length
          snapshots.push({ ...line, seq, position })
          const link = [u64(seq), u64(position), ...[line.root, line.frames, line.manifest].map(fromHex)]
          expected = H('reprise/snapshots/v1', fromHex(expected), ...link)
          expectedAt.push(expected)
        }
        const checkpoints = expectedAt.map((_, seq) => ({
          kind: 1 as const,
          outputs: '',
          position: String(snapshots.find((each) => each.seq === seq)?.position ?? 0n),
          seq,
          state: '',
        }))
        const chain = snapshotChain(id, { snapshots, checkpoints }, sha256)
        expect(expectedAt.map((_, seq) => hex(chain.at(seq)))).toEqual(expectedAt)
      }),
      { numRuns: 50 },
    )
  })

  test('of what a TPM signs follows §5 and §6', () => {
    fc.assert(
      fc.property(
        fc.array(digest, { minLength: 5, maxLength: 5 }),
        fc.array(count, { minLength: 3, maxLength: 3 }),
        (d, n) => {
          const [runId, cumulative, snapshots, environment, previous] = d
          const [attempt, firstSeq, seq] = n
          const head = {
            runId,
            attempt,
            firstSeq,
            seq,
            cumulative,
            snapshots,
            environmentDigest: environment,
            previous,
          }
          expect(hex(headDigest(head, sha256))).toBe(
            H(
              'reprise/head/v1',
              runId,
              u64(attempt),
              u64(firstSeq),
              u64(seq),
              cumulative,
              snapshots,
              environment,
              previous,
            ),
          )
          expect(hex(snapshotsStart(runId, sha256))).toBe(H('reprise/snapshots/start/v1', runId))
        },
      ),
    )
    fc.assert(
      fc.property(bytes, bytes, digest, number, (a, b, root, seq) => {
        expect(hex(attestationDigest(a, b, sha256))).toBe(H('reprise/attestation/v1', sized(a), sized(b)))
        expect(hex(hostId(a, sha256))).toBe(H('reprise/host/v1', sized(a)))
        expect(hex(batchDigest({ hostId: root, seq, root }, sha256))).toBe(H('reprise/batch/v1', root, u64(seq), root))
      }),
    )
  })
})
