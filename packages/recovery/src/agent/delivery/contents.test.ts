import { randomBytes } from 'node:crypto'
import { concat, utf8 } from '@reprise/core'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PART_BYTES_MAX } from '../../channel/message-codec.ts'
import { Secret } from '../../sealing/secret.ts'
import { contentsOf } from '../own/provisioning.ts'
import { CONTENTS_BYTES_MAX, decodeContents, encodeContents, partsOf } from './contents.ts'

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?$/)
const credentials = fc.dictionary(name, fc.uint8Array({ maxLength: 20_000 }), { maxKeys: 5, noNullPrototype: true })
const versions = fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 31 }), { maxLength: 5 })

describe('contents of a delivery', () => {
  test('come out of their parts as they went in', () => {
    fc.assert(
      fc.property(credentials, versions, (named, numbers) => {
        using given = contentsOf(
          new Map(Object.entries(named).map(([key, bytes]) => [key, Secret.owning(bytes)])),
          numbers.map((version) => ({ version, key: Secret.random(32) })),
        )
        using whole = encodeContents(given)
        const parts = partsOf(whole)
        expect(parts.every(({ length }) => length > 0 && length <= PART_BYTES_MAX)).toBe(true)
        using taken = decodeContents(concat(...parts))
        const plain = ({ credentials: all, imageKeys }: typeof taken) => ({
          credentials: new Map([...all].map(([key, { bytes }]) => [key, Buffer.from(bytes)])),
          imageKeys: imageKeys.map(({ version, key }) => [version, Buffer.from(key.bytes)]),
        })
        expect(plain(taken)).toEqual(plain(given))
      }),
      { numRuns: 30 },
    )
  })

  test('that are too much for one delivery are refused before anything is said', () => {
    const many = Array.from({ length: 30 }, (_, i): [string, Secret] => [`c${i}`, Secret.owning(randomBytes(1 << 16))])
    const big = contentsOf(new Map(many), [])
    expect(() => encodeContents(big)).toThrow(`at most ${CONTENTS_BYTES_MAX}`)
  })

  test.each([
    [
      'a name twice',
      {
        credentials: [
          { bytes: '', name: 'a' },
          { bytes: '', name: 'a' },
        ],
        imageKeys: [],
      },
    ],
    ['a key that is short', { credentials: [], imageKeys: [{ key: '00', version: 1 }] }],
    ['the version of the credentials', { credentials: [], imageKeys: [{ key: '00'.repeat(32), version: 0 }] }],
    ['a path for a name', { credentials: [{ bytes: '', name: '../a' }], imageKeys: [] }],
    ['a member too many', { credentials: [], imageKeys: [], more: 1 }],
  ])('are refused with %s', (_what, rest) => {
    const file = { schema: 'reprise/recovery-delivery/v1', ...rest }
    const sorted = Object.fromEntries(Object.entries(file).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    expect(() => decodeContents(utf8(JSON.stringify(sorted)))).toThrow('This is no delivery')
  })
})
