import { createHash } from 'node:crypto'
import { ByteWriter, hex, utf8 } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WasmError } from '../error.ts'
import { ABIS } from './abi.ts'
import type { SavedHost, WasiHost } from './index.ts'
import { act, perform, prepare, start, type Act, type Started } from './test-sequences.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

/** All that a host shows. */
function shownBy(wasi: WasiHost) {
  return {
    state: hex(wasi.encodeState()),
    outputsRoot: hex(wasi.outputsRoot()),
    outputs: wasi.outputs().map(({ path, read }) => `${path} ${hex(sha256(read()))}`),
    removed: wasi.removed(),
    notes: wasi.notes(),
  }
}

function textOf({ bytes, contents }: SavedHost): string {
  return [bytes, ...contents].map((part) => Buffer.from(part).toString('latin1')).join('|')
}

/** Another host and guest, where this one stands. */
function resumed({ wasi, guest, position }: Started): Started {
  const saved = wasi.save()
  const other = start(sha256, guest.abi.module, { saved, position: position(), memory: guest.memory.buffer })
  expect(textOf(other.wasi.save())).toBe(textOf(saved))
  return other
}

function same(a: Started, b: Started): void {
  expect(shownBy(b.wasi)).toEqual(shownBy(a.wasi))
  expect(Buffer.compare(new Uint8Array(a.guest.memory.buffer), new Uint8Array(b.guest.memory.buffer))).toBe(0)
}

const acts = (max: number) => fc.array(act, { minLength: 1, maxLength: max, size: 'max' })

/** Where these calls lead from the start. */
function after(before: readonly Act[], module = ABIS[0].module): Started {
  const started = start(sha256, module)
  prepare(started.guest)
  for (const a of before) perform(started.guest, a)
  return started
}

describe('a host that was saved', () => {
  test.each(ABIS)('$module: goes on in another one as it would have in the first', ({ module }) => {
    fc.assert(
      fc.property(acts(60), acts(20), (before, afterwards) => {
        const first = after(before, module)
        const second = resumed(first)
        same(first, second)
        first.told.length = 0
        for (const a of afterwards) {
          expect(perform(second.guest, a)).toBe(perform(first.guest, a))
          same(first, second)
        }
        expect(second.told).toEqual(first.told)
        expect(textOf(second.wasi.save())).toBe(textOf(first.wasi.save()))
      }),
      { numRuns: 60 },
    )
  })
})

/** How a byte string goes wrong: somewhere else a byte, a number, a length. */
const damage = fc.oneof(
  fc.record({ kind: fc.constant('byte' as const), at: fc.nat(), byte: fc.integer({ min: 1, max: 255 }) }),
  // Most numbers are below 256: the last byte of eight, after seven zeros.
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('number' as const), at: fc.nat(), byte: fc.nat(16) }) },
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({ kind: fc.constant('double' as const), at: fc.nat(), byte: fc.nat(80) }),
  fc.record({ kind: fc.constantFrom('content', 'less', 'more', 'longer'), at: fc.nat() }),
)
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never

function damagedBy(d: Damage, { bytes, contents }: SavedHost): SavedHost {
  const at = d.at % bytes.length
  if ('byte' in d) {
    if (d.kind === 'double')
      return { bytes: Buffer.concat([bytes.subarray(0, at + d.byte), bytes.subarray(at)]), contents }
    const other = bytes.slice()
    if (d.kind === 'byte') other[at] ^= d.byte
    else other[(Buffer.from(bytes).indexOf(new Uint8Array(7), at) + 7) % bytes.length] = d.byte
    return { bytes: other, contents }
  }
  if (d.kind === 'cut') return { bytes: bytes.slice(0, at), contents }
  if (d.kind === 'more') return { bytes, contents: [...contents, new Uint8Array(1)] }
  if (d.kind === 'less') return { bytes, contents: contents.slice(1) }
  const [first = new Uint8Array(0), ...others] = contents
  const next = d.kind === 'longer' ? Buffer.concat([first, new Uint8Array(1)]) : first.map((byte) => byte ^ 1)
  return { bytes, contents: contents.length === 0 ? contents : [next, ...others] }
}

/** Bytes as spec/wasi-host.md §11 lays them out, of numbers (8 bytes each), texts after their length, and bytes. */
function laidOut(...parts: readonly (number | string | Uint8Array)[]): Uint8Array {
  const out = new ByteWriter()
  for (const part of parts) {
    if (typeof part === 'number') out.u64(BigInt(part))
    else if (typeof part === 'string') out.sized(utf8(part))
    else out.raw(part)
  }
  return out.done()
}

const byte = (value: number) => Uint8Array.of(value)
const list = (items: readonly Uint8Array[]) => laidOut(items.length, ...items)
type Links = readonly (readonly [directory: number, name: string])[]
const place = (links: Links, mount = 0) =>
  laidOut(1, 1, 1, mount, list(links.map(([directory, name]) => laidOut(directory, name))))
const free = (number: number) => laidOut(number, byte(0))
const input = (number: number, links: Links, mount = 0) =>
  laidOut(number, byte(1), place(links, mount), byte(0), byte(0))
const file = (number: number, links: Links, lengthBytes = 1, mount = 0) =>
  laidOut(number, byte(1), place(links, mount), byte(0), byte(1), lengthBytes)
const directory = (number: number, links: Links, mount = 0) => laidOut(number, byte(2), place(links, mount))
const symlink = (number: number, links: Links, target: string) => laidOut(number, byte(3), place(links), target)
const stream = (number: number) => laidOut(number, byte(4), 1)

interface Open {
  readonly number?: number
  readonly inode?: number
  readonly offset?: number
  readonly flags?: number
  readonly rights?: number
  readonly inheriting?: number
  readonly preopen?: string
  readonly listing?: readonly string[]
}
function opened({
  number = 7,
  inode = 10,
  offset = 0,
  flags = 0,
  rights = 2,
  inheriting = 0,
  preopen,
  listing,
}: Open = {}) {
  return laidOut(
    ...[number, inode, offset, flags, rights, inheriting],
    ...(preopen === undefined ? [byte(0)] : [byte(1), preopen]),
    ...(listing === undefined ? [byte(0)] : [byte(1), list(listing.map((name) => laidOut(name)))]),
  )
}
const note = (code: number, detail: string) => laidOut(byte(code), detail, 1)

interface Parts {
  readonly tag?: string
  readonly stdinOffset?: number
  readonly inodeCount?: number
  readonly inodes?: readonly Uint8Array[]
  readonly descriptors?: readonly Uint8Array[]
  readonly notes?: readonly Uint8Array[]
  readonly contents?: readonly Uint8Array[]
  readonly behind?: Uint8Array
}
const ONE = new Uint8Array(1)
/** Inodes: 4 is `/`, 5 `d`, 6 `d/fixed`, 7 `d/input`, 8 `f`, 9 `f/g`, 10 `f/g/input`, 11 `/ro`, 12 `/ro/x`, 13 `/tmp`. */
function assembled(parts: Parts): SavedHost {
  const { stdinOffset = 0, inodeCount = 13, inodes = [], descriptors = [], notes = [], contents = [] } = parts
  const head = utf8(parts.tag ?? 'reprise/wasi/saved/v1\0')
  const lists = [inodes, descriptors, notes].map(list)
  return {
    bytes: laidOut(head, 0, 0, 0, stdinOffset, inodeCount, ...lists, parts.behind ?? new Uint8Array(0)),
    contents,
  }
}
const goOnFrom = (parts: Parts) => start(sha256, undefined, { saved: assembled(parts), position: 0n })

describe('what no host can have saved', () => {
  test.each<readonly [message: string, parts: Parts]>([
    ['it does not begin as one', { tag: 'reprise/wasi/saved/v2\0' }],
    ['bytes too many', { behind: ONE }],
    ['bytes wanted', { notes: [laidOut(2 ** 40)] }],
    ['larger than any number', { behind: ONE, stdinOffset: 2 ** 60 }],
    ['not UTF-8', { notes: [laidOut(byte(0), 1, byte(255), 1)] }],
    ['more than all of standard input', { stdinOffset: 3 }],
    ['cannot have 12 inodes', { inodeCount: 12 }],
    ['cannot have 1001 inodes', { inodeCount: 1001 }],
    ['inode 7 is not where', { inodes: [free(10), free(7)] }],
    ['inode 7 is not where', { inodes: [free(7), free(7)] }],
    ['inode 14 is not where', { inodes: [free(14)] }],
    ['inode 0 is not where', { inodes: [free(0)] }],
    ['inode 7 is of no kind', { inodes: [laidOut(7, byte(5))] }],
    ['one form', { inodeCount: 14, inodes: [free(14)] }],
    [
      'one form',
      {
        inodes: [file(10, [[9, 'input']], 1)].map((bytes) => bytes.map((b, i) => (i === 70 ? 2 : b))),
        contents: [ONE],
      },
    ],
    ['inode 14 is no input', { inodeCount: 14, inodes: [input(14, [[4, 'x']])] }],
    ['inode 8 is no input', { inodes: [input(8, [[4, 'x']])] }],
    ['inode 10 is no input', { inodes: [input(10, [[13, 'x']], 2)] }],
    ['cannot be in inode 99', { inodes: [input(10, [[99, 'x']])] }],
    ['cannot be in inode 7', { inodes: [input(10, [[7, 'x']])] }],
    ['cannot be in inode 13', { inodes: [input(10, [[13, 'x']])] }],
    ['cannot be in inode 4', { inodes: [input(10, [[4, 'd']])] }],
    [
      'cannot be in inode 4',
      {
        inodes: [
          input(10, [
            [4, 'x'],
            [4, 'x'],
          ]),
        ],
      },
    ],
    ...['', '.', '..', 'a/b', 'a\0', 'x'.repeat(256)].map(
      (name) => ['inode 10 cannot have its name', { inodes: [input(10, [[4, name]])] }] as const,
    ),
    ['nothing leads to inode 10', { inodes: [input(10, [])] }],
    ['nothing leads to inode 9', { inodes: [directory(9, []), free(10)] }],
    ['inode 9 is not what it holds', { inodes: [free(9)] }],
    ['inode 9 is not what it holds', { inodes: [file(9, [[8, 'g']])], contents: [ONE] }],
    ['inode 8 is inside itself', { inodes: [directory(8, [[9, 'f']]), directory(9, [[8, 'g']])] }],
    ['inode 8 is inside itself', { inodes: [directory(8, [[8, 'f']])] }],
    ['inode 9 is removed and holds', { inodes: [directory(9, [])], descriptors: [opened({ inode: 9 })] }],
    [
      'inode 8 is a directory in several',
      {
        inodes: [
          directory(8, [
            [4, 'f'],
            [4, 'x'],
          ]),
        ],
      },
    ],
    ['inode 4 is a directory in several', { inodes: [directory(4, [[8, 'x']])] }],
    ['inode 4 is the root', { inodes: [free(4)] }],
    ['inode 4 is the root', { inodes: [symlink(4, [[8, 'x']], 'a')] }],
    ['inode 4 is the root', { inodes: [directory(4, [], 2)] }],
    ['inode 6 is read-only', { inodes: [free(6)] }],
    ['inode 5 holds what is read-only', { inodes: [directory(5, [[4, 'x']])] }],
    ['inode 12 is read-only', { inodes: [free(12)] }],
    ['inode 11 is read-only', { inodes: [directory(11, [], 1)] }],
    ['inode 14 is in no mount', { inodeCount: 14, inodes: [symlink(14, [[11, 'x']], 'a').fill(1, 40, 41)] }],
    ['inode 10 is in no mount', { inodes: [input(10, [[4, 'x']], 3)] }],
    ['inode 14 has no such target', { inodeCount: 14, inodes: [symlink(14, [[4, 'x']], '')] }],
    ['inode 14 has no such target', { inodeCount: 14, inodes: [symlink(14, [[4, 'x']], 'x'.repeat(4097))] }],
    ['inode 10 has not its 1 bytes', { inodes: [file(10, [[9, 'input']])] }],
    ['inode 10 has not its 1 bytes', { inodes: [file(10, [[9, 'input']])], contents: [new Uint8Array(2)] }],
    ['contents of nothing', { inodes: [file(10, [[9, 'input']])], contents: [ONE, ONE] }],
    [
      'contents are above the limit',
      { inodes: [file(10, [[9, 'input']], 2 ** 20 + 1)], contents: [new Uint8Array(2 ** 20 + 1)] },
    ],
    ['inode 1 cannot be a stream', { inodes: [stream(1)], contents: [ONE] }],
    ['inode 7 cannot be a stream', { inodes: [stream(7)], contents: [ONE] }],
    ['inode 2 cannot be a free', { inodes: [free(2)] }],
    ['descriptor 7 leads to no inode', { descriptors: [opened({ inode: 14 })] }],
    ['descriptor 7 leads to no inode', { descriptors: [opened({ inode: 0 })] }],
    ['descriptor 7 leads to no inode', { inodes: [free(10)], descriptors: [opened()] }],
    ['descriptor 1024 is above', { descriptors: [opened({ number: 1024 })] }],
    ['descriptor 7 has unknown flags', { descriptors: [opened({ flags: 32 })] }],
    ['descriptor 7 has rights', { descriptors: [opened({ rights: 1 << 14 })] }],
    ['descriptor 7 has rights', { descriptors: [opened({ rights: 2 ** 32 + 2 })] }],
    ['descriptor 7 has rights', { descriptors: [opened({ inheriting: 2 })] }],
    [
      'descriptor 7 has rights',
      { inodeCount: 14, inodes: [symlink(14, [[4, 'x']], 'a')], descriptors: [opened({ inode: 14 })] },
    ],
    ['descriptor 7 could write', { descriptors: [opened({ inode: 6, rights: 1 << 6 })] }],
    ['descriptor 7 could write', { descriptors: [opened({ inode: 12, rights: 1 << 6 })] }],
    ['descriptor 7 has an offset', { descriptors: [opened({ inode: 9, rights: 0, offset: 1 })] }],
    ['descriptor 7 has a name', { descriptors: [opened({ preopen: '/' })] }],
    ['descriptor 7 has a name', { descriptors: [opened({ inode: 13, rights: 0, preopen: '.' })] }],
    ['descriptor 7 lists', { descriptors: [opened({ listing: ['a'] })] }],
    ['one form', { descriptors: [opened(), opened()] }],
    ['one form', { descriptors: [opened({ number: 8 }), opened()] }],
    ['a note has no such code', { notes: [note(4, 'x')] }],
    ['one form', { notes: [note(3, 'x'), note(3, 'x')] }],
    ['too many notes', { notes: Array.from({ length: 257 }, (_, i) => note(3, String(i))) }],
  ])('%s', (message, parts) => {
    expect(() => goOnFrom(parts)).toThrow(
      expect.objectContaining({
        name: 'WasmError',
        code: 'SNAPSHOT',
        message: expect.stringContaining(message) as string,
      }),
    )
  })

  test('and beside it, what one can have', () => {
    const { wasi } = goOnFrom({
      inodeCount: 15,
      inodes: [
        ...[stream(2), directory(4, []), directory(8, [[9, 'f']]), directory(9, [[4, 'g']])],
        ...[
          input(10, [
            [4, 'x'],
            [8, 'y'],
          ]),
          file(14, [[13, 'z']], 2, 2),
        ],
      ],
      descriptors: [
        opened({ offset: 3 }),
        opened({ number: 1023, inode: 4, preopen: '.', listing: ['gone'], rights: 0 }),
      ],
      notes: [note(2, '/ro'), note(3, 'x')],
      contents: [ONE, new Uint8Array(2)],
    })
    expect(wasi.outputs().map(({ path }) => path)).toEqual(['/dev/stderr', '/dev/stdout', 'g/f/y', 'x'])
    expect(wasi.removed()).toEqual(['f/g/input'])
    expect(wasi.notes()).toEqual([
      { code: 'READ_ONLY', detail: '/ro', count: 1 },
      { code: 'LIMIT', detail: 'x', count: 1 },
    ])
  })
})

describe('what was saved and then changed', () => {
  test('is refused, or is another state or outputs root, or goes on the same', () => {
    const counts = { refused: 0, other: 0, same: 0 }
    fc.assert(
      fc.property(acts(40), fc.array(damage, { minLength: 1, maxLength: 20 }), acts(10), (before, damages, more) => {
        const first = after(before)
        const { state, outputsRoot } = shownBy(first.wasi)
        const saved = first.wasi.save()
        const position = first.position()
        const goOn = (from: SavedHost) =>
          start(sha256, undefined, { saved: from, position, memory: first.guest.memory.buffer })
        for (const d of damages) {
          const changed = damagedBy(d, saved)
          let second: Started
          try {
            second = goOn(changed)
          } catch (error) {
            expect(error).toBeInstanceOf(WasmError)
            expect(error).toMatchObject({ code: 'SNAPSHOT', message: /^The snapshot's host state is damaged: .*\.$/ })
            counts.refused++
            continue
          }
          const shown = shownBy(second.wasi)
          expect(textOf(second.wasi.save())).toBe(textOf(changed))
          const isSame = shown.state === state && shown.outputsRoot === outputsRoot
          counts[isSame ? 'same' : 'other']++
          const control = isSame ? goOn(saved) : undefined
          for (const a of more) {
            const errno = perform(second.guest, a)
            if (control !== undefined) expect(errno).toBe(perform(control.guest, a))
          }
          if (control !== undefined) {
            expect(hex(second.wasi.encodeState())).toBe(hex(control.wasi.encodeState()))
            expect(hex(second.wasi.outputsRoot())).toBe(hex(control.wasi.outputsRoot()))
          }
        }
      }),
      { numRuns: 100 },
    )
    expect(counts.refused).toBeGreaterThan(10)
    expect(counts.other).toBeGreaterThan(10)
  })
})
