import { describe, expect, test } from 'vitest'
import { utf8 } from '../bytes/index.ts'
import { canonical } from '../canon/index.ts'
import { EvidenceError } from '../error.ts'
import {
  decodeManifest,
  decodeManifestBytes,
  decodeSnapshotLine,
  encodeManifest,
  manifestBlobs,
  PACK_BYTES_MAX,
  type SnapshotManifest,
} from './index.ts'

const digestOf = (digit: string): string => digit.repeat(64)
const blob = (digit: string, lengthBytes = 3): { lengthBytes: number; sha256: string } => ({
  lengthBytes,
  sha256: digestOf(digit),
})

const MANIFEST: SnapshotManifest = {
  schema: 'reprise/snapshot/v1',
  contents: [blob('1', 0), blob('2')],
  frames: blob('3', 0),
  globals: [
    { bits: '7fc00001', type: 'f32' },
    { bits: '0'.repeat(32), type: 'v128' },
  ],
  host: blob('4'),
  memoryBytes: 131_072,
  packs: [blob('5', 8192), blob('6', PACK_BYTES_MAX)],
  pages: [
    [0, 2, 0, 0],
    [2, 1, 1, 7],
    [31, 1, 0, 1],
  ],
  phase: 'main',
  position: '18446744073709551615',
}

describe('a manifest', () => {
  test('is read as it was written', () => {
    expect(decodeManifestBytes(encodeManifest(MANIFEST))).toEqual(MANIFEST)
    const empty = { ...MANIFEST, contents: [], globals: [], memoryBytes: 0, packs: [], pages: [] }
    expect(decodeManifestBytes(encodeManifest(empty))).toEqual(empty)
  })

  test('names frames, host, packs and contents', () => {
    expect(manifestBlobs(MANIFEST).map(({ sha256 }) => sha256[0])).toEqual(['3', '4', '5', '6', '1', '2'])
  })

  test.each<[string, Partial<Record<keyof SnapshotManifest | 'more', unknown>>]>([
    ['an unknown field', { more: 1 }],
    ['another schema', { schema: 'reprise/snapshot/v2' }],
    ['an unknown phase', { phase: 'later' }],
    ['a position that is a number', { position: 1000 }],
    ['half a page of memory', { memoryBytes: 131_072 + 4096 }],
    ['too much memory', { memoryBytes: 2 ** 32 + 65_536 }],
    ['contents in another order', { contents: [blob('2'), blob('1')] }],
    ['contents twice', { contents: [blob('1'), blob('1')] }],
    ['a pack of no pages', { packs: [blob('5', 0), blob('6', 32_768)] }],
    ['a pack of half a page', { packs: [blob('5', 8192 + 2048), blob('6', 32_768)] }],
    ['a pack that is too large', { packs: [blob('5', 8192), blob('6', PACK_BYTES_MAX + 4096)] }],
    ['a pack twice', { packs: [blob('5', 8192), blob('5', 32_768)] }],
    ['a pack without a run', { packs: [blob('5', 8192), blob('6', 32_768), blob('7', 4096)] }],
    ['a run of nothing', { pages: [[0, 0, 0, 0], ...MANIFEST.pages.slice(1)] }],
    ['a run of five numbers', { pages: [[0, 1, 0, 0, 0], ...MANIFEST.pages.slice(1)] }],
    ['a run before the one before it', { pages: [MANIFEST.pages[1], MANIFEST.pages[0]] }],
    ['runs that overlap', { pages: [MANIFEST.pages[0], [1, 1, 1, 0]] }],
    ['a run beyond the memory', { pages: [MANIFEST.pages[0], [31, 2, 1, 0]] }],
    ['a run beyond its pack', { pages: [[0, 2, 0, 1], MANIFEST.pages[1]] }],
    ['a run of no pack', { pages: [...MANIFEST.pages.slice(0, 2), [31, 1, 2, 0]] }],
    ['a negative page', { pages: [[-1, 1, 0, 0], ...MANIFEST.pages.slice(1)] }],
    ['a global of no type', { globals: [{ bits: '00000000', type: 'funcref' }] }],
    ['a global with too few bits', { globals: [{ bits: '00000000', type: 'i64' }] }],
    ['a global in upper case', { globals: [{ bits: 'FFFFFFFF', type: 'i32' }] }],
  ])('with %s is refused', (_, change) => {
    expect(() => decodeManifest({ ...MANIFEST, ...change })).toThrow(EvidenceError)
  })

  test('lacks none of its fields', () => {
    for (const name of Object.keys(MANIFEST)) {
      const { [name as keyof SnapshotManifest]: _, ...others } = MANIFEST
      expect(() => decodeManifest(others)).toThrow(`$.${name} is missing`)
    }
  })

  test('has one text', () => {
    expect(() => decodeManifestBytes(utf8(JSON.stringify(MANIFEST)))).toThrow('is not canonical JSON')
  })
})

describe('the line of a snapshot', () => {
  const line = { frames: digestOf('1'), manifest: digestOf('2'), root: digestOf('3'), seq: 12 }

  test('is read as it stands', () => {
    expect(decodeSnapshotLine(canonical(line))).toEqual(line)
  })

  test.each([{ seq: -1 }, { seq: '12' }, { root: null }, { frames: digestOf('A') }, { kind: 1 }])(
    'with %j is refused',
    (change) => {
      expect(() => decodeSnapshotLine(canonical({ ...line, ...change }))).toThrow(EvidenceError)
    },
  )
})
