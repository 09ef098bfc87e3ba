/** Shares without a TPM. */

import { inspect } from 'node:util'
import fc from 'fast-check'
import { hex } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import type { Share } from '../types.ts'
import { combineShares, isShare, type ShareDigests, splitHalf } from './quorum-half.ts'
import { rootOf, unwrapContentKey, wrapContentKey } from './content-key.ts'
import { leaseKey } from './keys.ts'
import { Secret } from './secret.ts'

const scope = { host: 'web-1', epoch: 3 }
const plan = (shares: readonly Share[], threshold: number): ShareDigests => ({
  ...scope,
  threshold,
  digests: shares.map(({ digest }) => digest),
})

describe('shares', () => {
  test('any K of N give the half back, and fewer do not', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 0, max: 8 }),
        fc.infiniteStream(fc.nat()),
        async (bytes, threshold, more, order) => {
          using half = Secret.owning(bytes)
          const shares = await splitHalf(half, { ...scope, count: threshold + more, threshold })
          const mixed = shares.map((share) => [order.next().value ?? 0, share] as const).toSorted(([a], [b]) => a - b)
          const chosen = mixed.slice(0, threshold).map(([, share]) => share)
          using together = await combineShares(chosen, plan(shares, threshold))
          expect(hex(together.bytes)).toBe(hex(bytes))
          await expect(combineShares(chosen.slice(1), plan(shares, threshold))).rejects.toMatchObject({
            code: 'SHARES',
          })
        },
      ),
      { numRuns: 40 },
    )
  })

  test('one that lies is left out and named; one sent twice counts once', async () => {
    using half = Secret.random(32)
    const shares = await splitHalf(half, { ...scope, count: 5, threshold: 3 })
    const lie = { ...shares[1], bytes: shares[1].bytes.with(0, shares[1].bytes[0] ^ 1) }
    const swapped = { ...shares[2], index: 4 }
    const old = { ...shares[3], epoch: 2 }
    for (const wrong of [lie, swapped, old]) expect(isShare(wrong, plan(shares, 3))).toBe(false)
    using together = await combineShares([lie, ...shares.slice(2)], plan(shares, 3))
    expect(hex(together.bytes)).toBe(hex(half.bytes))
    await expect(combineShares([lie, shares[0], shares[0], shares[4]], plan(shares, 3))).rejects.toMatchObject({
      code: 'SHARES',
      data: { valid: 2, threshold: 3, wrong: [1] },
    })
  })

  test('counts that mean nothing are refused', async () => {
    using half = Secret.random(32)
    for (const [count, threshold] of [
      [3, 4],
      [3, 0],
      [256, 3],
    ]) {
      await expect(splitHalf(half, { ...scope, count, threshold })).rejects.toMatchObject({ code: 'USAGE' })
    }
  })
})

describe('the content key', () => {
  const root = { mode: 'quorum', ...scope, imageBase: 4n, rosterBase: 9n, approvalsBase: 2n } as const
  const random = (lengthBytes: number): Uint8Array => Secret.random(lengthBytes).bytes

  test('opens with its own halves, generation and version alone', () => {
    using tpm = Secret.random(32)
    using quorum = Secret.random(32)
    using other = Secret.random(32)
    using key = Secret.random(32)
    using own = rootOf({ tpm, quorum }, root)
    const wrapped = wrapContentKey(own, { version: 7, key }, random)
    using opened = unwrapContentKey(own, wrapped)
    expect(hex(opened.bytes)).toBe(hex(key.bytes))
    const roots = [
      rootOf({ tpm: other, quorum }, root),
      rootOf({ tpm, quorum: other }, root),
      rootOf({ tpm: quorum, quorum: tpm }, root),
      rootOf({ tpm }, { ...root, mode: 'tpm-only' }),
      rootOf({ tpm, quorum }, { ...root, host: 'web-2' }),
      rootOf({ tpm, quorum }, { ...root, epoch: 4 }),
      rootOf({ tpm, quorum }, { ...root, imageBase: 5n }),
      rootOf({ tpm, quorum }, { ...root, rosterBase: 8n }),
      rootOf({ tpm, quorum }, { ...root, approvalsBase: 3n }),
    ]
    for (const wrong of roots) {
      expect(() => unwrapContentKey(wrong, wrapped)).toThrow(expect.objectContaining({ code: 'CONTENT_KEY' }) as Error)
      wrong[Symbol.dispose]()
    }
    expect(() => unwrapContentKey(own, { ...wrapped, version: 6 })).toThrow(/version 6/)
    for (let at = 0; at < wrapped.wrapped.length; at++) {
      const changed = { ...wrapped, wrapped: wrapped.wrapped.with(at, wrapped.wrapped[at] ^ 0x10) }
      expect(() => unwrapContentKey(own, changed)).toThrow(expect.objectContaining({ code: 'CONTENT_KEY' }) as Error)
    }
  })

  test('of a mode takes its halves and no others', () => {
    using tpm = Secret.random(32)
    expect(() => rootOf({ tpm }, root)).toThrow(/two halves/)
    expect(() => rootOf({ tpm, quorum: Secret.random(31) }, root)).toThrow(/32 bytes/)
    expect(() => rootOf({ tpm, quorum: tpm }, { ...root, mode: 'tpm-only' })).toThrow(/alone/)
  })

  test('the key that writes leases follows from the root, and signs', () => {
    using first = Secret.owning(new Uint8Array(32).fill(1))
    using second = Secret.owning(new Uint8Array(32).fill(2))
    expect(leaseKey(first).area).toEqual(leaseKey(first).area)
    expect(leaseKey(first).area).not.toEqual(leaseKey(second).area)
  })
})

test('a secret is wiped with its scope, and is in no text', () => {
  const bytes = new Uint8Array(32).fill(0xee)
  {
    using secret = Secret.owning(bytes)
    expect(`${JSON.stringify({ secret })}${inspect(secret, { depth: 9, showHidden: true })}`).not.toMatch(/238|eeee/)
  }
  expect(bytes.every((byte) => byte === 0)).toBe(true)
})
