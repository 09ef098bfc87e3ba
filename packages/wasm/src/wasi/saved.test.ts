import { createHash } from 'node:crypto'
import { ByteWriter, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { OpenFlags, Rights } from './abi.ts'
import type { SavedHost } from './index.ts'
import { decode } from './saved.ts'
import { start, textOf } from './test-calls.ts'
import type { TestGuest } from './test-guest.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

describe('what is saved', () => {
  test('is nothing of inputs that were only read, and little of one that was only moved', () => {
    const { wasi, guest } = start(sha256)
    const { value: fd = 0 } = guest.open('d/input', { rights: Rights.FD_READ })
    expect(guest.read(fd, 9000).value?.length).toBe(9000)
    guest.close(fd)
    expect(guest.list(3).errno).toBe(0)
    expect(decode(wasi.save().bytes).inodes).toEqual([])
    expect(guest.rename('d/input', 'moved').errno).toBe(0)
    const { bytes, contents } = wasi.save()
    expect(contents).toEqual([])
    // So little time has passed that the folders show none.
    expect(decode(bytes).inodes.map(({ number }) => number)).toEqual([7])
  })

  test('has a record for the least difference', () => {
    const changedBy = (change: (guest: TestGuest) => void) => {
      const started = start(sha256)
      change(started.guest)
      expect(textOf(started.resume().wasi.save())).toBe(textOf(started.wasi.save()))
      return decode(started.wasi.save().bytes).inodes.map(({ number }) => number)
    }
    const pass = (guest: TestGuest) => guest.call('clock_time_get', 0, 0n, 64)
    // A second name; only the time at which it had one; another mount, under the same numbers and names.
    expect(changedBy((guest) => guest.link('f/g/input', 'd/second'))).toEqual([10])
    expect(changedBy((guest) => [guest.link('f/g/input', 'f/g/b'), pass(guest), guest.unlink('f/g/b')])).toEqual([
      9, 10,
    ])
    const moved = changedBy((guest) => {
      guest.unlink('f/g/input')
      for (const path of ['f/g', 'f']) expect(guest.removeDirectory(path).errno).toBe(0)
      for (const path of ['f', 'f/g']) expect(guest.makeDirectory(path, 6).errno).toBe(0)
    })
    expect(moved).toEqual([8, 9, 10])
  })

  test('stays as it is when either host goes on', () => {
    const first = start(sha256)
    first.guest.open('a', { flags: OpenFlags.CREAT })
    first.guest.write(7, utf8('before'))
    const saved = first.wasi.save()
    const text = textOf(saved)
    for (const { guest } of [first, first.resume(), first.resume()]) guest.write(7, utf8('AFTER'), 0n)
    expect(textOf(saved)).toBe(text)
  })

  test('keeps which of its names a file is told under, the oldest that is left', () => {
    const first = start(sha256)
    const opened = first.guest.open('e', { flags: OpenFlags.CREAT })
    for (const name of ['z', 'a', 'y']) expect(first.guest.link('e', name).errno).toBe(0)
    first.guest.unlink('e')
    const second = first.resume()
    second.guest.close(opened.value ?? 0)
    expect(second.told).toEqual(['z'])
  })
})

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
    ['descriptor 7 has an offset', { descriptors: [opened({ inode: 0, offset: 1 })] }],
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
