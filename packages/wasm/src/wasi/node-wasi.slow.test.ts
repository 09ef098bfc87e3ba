/**
 * The same calls through this host and through `node:wasi` (uvwasi on a real folder): errnos, answers and the trees that
 * are left must be the same. What differs on purpose is listed in spec/wasi-host.md §12 and kept out of the sequences.
 */
import { createHash } from 'node:crypto'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { WASI } from 'node:wasi'
import { utf8 } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ABIS, FdFlags, OpenFlags, Rights, type Abi } from './abi.ts'
import { ALL_RIGHTS, startGuest, TestGuest, type Answer } from './test-guest.ts'

const INPUTS = { f: 'a file', 'd/g': 'another one', 'd/e/h': 'deep' }
const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())

function ourGuest(module: Abi['module']): TestGuest {
  const files = Object.entries(INPUTS).map(([path, text]) => ({ path, bytes: utf8(text) }))
  const options = {
    arguments: ['p'],
    environment: [],
    stdin: new Uint8Array(0),
    mounts: [{ at: '/', writable: true, output: true, files }],
    clockStartNs: 0n,
    seed: 0n,
    position: () => 0n,
    sha256,
  }
  return startGuest(options, module).guest
}

/** Under both names `node:wasi` has the layouts of preview 1, so the older ones are checked against those. */
function nodeGuest(folder: string): TestGuest {
  for (const [path, text] of Object.entries(INPUTS)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const wasi = new WASI({ version: 'preview1', args: ['p'], env: {}, preopens: { '/': folder, '.': folder } })
  const imports = wasi.wasiImport as Record<string, (...parameters: (number | bigint)[]) => number>
  const guest = new TestGuest((name, ...parameters) => imports[name](...parameters))
  wasi.initialize({ exports: { memory: guest.memory } })
  return guest
}

const path = fc.constantFrom('f', 'g', 'd', 'd/g', 'd/e', 'd/e/h', 'd/n', 'n', 'n/m', './f', 'd//g', 'f/x')
/** Elsewhere a path that ends in a dot is an error in Linux, which uvwasi does not see. */
const anyPath = fc.oneof({ weight: 8, arbitrary: path }, fc.constant('.'))
/** A place in the list of descriptors that the sequence opened; two in twelve are none. */
const fd = fc.nat(11)
const flags = fc.constantFrom(
  0,
  0,
  OpenFlags.CREAT,
  OpenFlags.CREAT,
  OpenFlags.CREAT | OpenFlags.EXCL,
  OpenFlags.TRUNC,
  OpenFlags.CREAT | OpenFlags.TRUNC,
  OpenFlags.DIRECTORY,
)
const rights = fc.constantFrom(
  ALL_RIGHTS,
  ALL_RIGHTS,
  ALL_RIGHTS & ~(Rights.FD_WRITE | Rights.FD_ALLOCATE | Rights.FD_DATASYNC | Rights.FD_FILESTAT_SET_SIZE),
  ALL_RIGHTS & ~(Rights.FD_WRITE | Rights.FD_ALLOCATE | Rights.FD_DATASYNC | Rights.FD_FILESTAT_SET_SIZE),
  Rights.FD_READ,
  Rights.FD_WRITE | Rights.FD_SEEK,
)
const short = fc.nat(40)
const offset = fc.nat(60).map(BigInt)
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('open' as const), path: anyPath, flags, rights, append: fc.boolean() }),
  },
  fc.record({ op: fc.constant('close' as const), fd }),
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('read' as const),
      fd,
      length: short,
      at: fc.option(offset, { nil: undefined }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      fd,
      length: short,
      at: fc.option(offset, { nil: undefined }),
    }),
  },
  fc.record({
    op: fc.constant('seek' as const),
    fd,
    delta: fc.integer({ min: -20, max: 60 }).map(BigInt),
    whence: fc.constantFrom('set' as const, 'current' as const, 'end' as const),
  }),
  fc.record({ op: fc.constant('tell' as const), fd }),
  fc.record({ op: fc.constant('setSize' as const), fd, size: offset }),
  fc.record({ op: fc.constant('allocate' as const), fd, at: offset, length: offset.map((n) => n + 1n) }),
  fc.record({ op: fc.constant('sync' as const), fd, call: fc.constantFrom('fd_sync', 'fd_datasync') }),
  fc.record({ op: fc.constant('advise' as const), fd, advice: fc.nat(7) }),
  fc.record({ op: fc.constant('setFlags' as const), fd, flags: fc.constantFrom(0, FdFlags.APPEND) }),
  fc.record({ op: fc.constant('type' as const), fd }),
  fc.record({ op: fc.constant('renumber' as const), fd, to: fd }),
  fc.record({ op: fc.constant('setTimes' as const), fd, flags: fc.nat(15) }),
  fc.record({ op: fc.constant('stat' as const), fd }),
  fc.record({ op: fc.constant('statPath' as const), path: anyPath, follow: fc.boolean() }),
  fc.record({ op: fc.constant('makeDirectory' as const), path }),
  fc.record({ op: fc.constant('removeDirectory' as const), path }),
  fc.record({ op: fc.constant('unlink' as const), path }),
  { weight: 2, arbitrary: fc.record({ op: fc.constant('rename' as const), path, to: path, dot: fc.boolean() }) },
  fc.record({ op: fc.constant('link' as const), path, to: path }),
  fc.record({
    op: fc.constant('symlink' as const),
    path: fc.constantFrom('f', 'g', 'n', 's'),
    target: fc.constantFrom('f', 'd', 'n', 's'),
  }),
  fc.record({ op: fc.constant('readLink' as const), path }),
  fc.record({ op: fc.constant('list' as const), path: anyPath, length: fc.constantFrom(64, 100, 4096) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Makes the call and gives what a guest can see of the answer, without times and inode numbers. */
function perform(guest: TestGuest, opened: readonly number[], s: Step): unknown {
  const at = (index: number) => opened[index] ?? 77
  switch (s.op) {
    case 'open':
      // uvwasi follows a link first and then makes its target exclusively.
      return guest.open(s.path, {
        ...s,
        fdFlags: s.append ? FdFlags.APPEND : 0,
        follow: (s.flags & OpenFlags.EXCL) === 0,
      })
    case 'close':
      return guest.close(at(s.fd))
    case 'read':
      return guest.read(at(s.fd), s.length, s.at)
    case 'write':
      return guest.write(at(s.fd), new Uint8Array(s.length).fill(s.length), s.at)
    case 'seek':
      return guest.seek(at(s.fd), s.delta, s.whence)
    case 'tell':
      return guest.tell(at(s.fd))
    case 'setSize':
      return guest.setSize(at(s.fd), s.size)
    case 'allocate':
      return guest.allocate(at(s.fd), s.at, s.length)
    case 'sync':
      return guest.call(s.call, at(s.fd))
    case 'advise':
      return guest.call('fd_advise', at(s.fd), 0n, 10n, s.advice)
    case 'setFlags':
      return guest.call('fd_fdstat_set_flags', at(s.fd), s.flags)
    case 'type':
      return typeOf(guest, at(s.fd))
    case 'renumber':
      // To itself even what is not open can be renumbered in uvwasi.
      return at(s.fd) === at(s.to) ? undefined : guest.renumber(at(s.fd), at(s.to))
    case 'setTimes':
      return guest.setTimes(at(s.fd), 0n, 0n, s.flags)
    case 'stat':
      return visible(guest.stat(at(s.fd)))
    case 'statPath':
      return visible(guest.statPath(s.path, s))
    case 'makeDirectory':
      return guest.makeDirectory(s.path)
    case 'removeDirectory':
      return guest.removeDirectory(s.path)
    case 'unlink':
      return guest.unlink(s.path)
    case 'rename':
      return guest.rename(s.path, s.to, s.dot ? { source: 4 } : {})
    case 'link':
      // Of two reasons to fail uvwasi names the second one first.
      return guest.link(s.path, s.to).errno === 0
    case 'symlink':
      return guest.symlink(s.target, s.path)
    case 'readLink':
      return guest.readLink(s.path)
    case 'list': {
      // uvwasi lists the path under which a directory was opened, so it is opened for the purpose.
      const directory = guest.open(s.path, { rights: Rights.FD_READDIR })
      if (directory.value === undefined) return directory
      const { errno, value } = guest.list(directory.value, s.length)
      guest.close(directory.value)
      const names = value?.map(([name, type]) => `${type} ${name}`)
      return { errno, names: names?.filter((name) => !/ \.\.?$/.test(name)).sort() }
    }
  }
}

function typeOf(guest: TestGuest, fd: number): unknown {
  const errno = guest.call('fd_fdstat_get', fd, 64)
  return errno === 0 ? { errno, type: guest.view.getUint8(64) } : { errno }
}

function visible({ errno, value }: ReturnType<TestGuest['stat']>): Answer<unknown> {
  if (value === undefined) return { errno }
  const { type, size, links } = value
  return { errno, value: type === 3 ? { type } : { type, size, links } }
}

function realTree(folder: string, prefix = ''): string[] {
  return readdirSync(join(folder, prefix)).flatMap((name) => {
    const at = prefix + name
    const stat = lstatSync(join(folder, at))
    if (stat.isDirectory()) return [`${at}/`, ...realTree(folder, `${at}/`)]
    if (stat.isSymbolicLink()) return [`${at} -> ${readlinkSync(join(folder, at))}`]
    return [`${at}: ${readFileSync(join(folder, at)).toString('hex')}`]
  })
}

function guestTree(guest: TestGuest, prefix = ''): string[] {
  const directory = guest.open(prefix === '' ? '.' : prefix, { rights: Rights.FD_READDIR }).value as number
  const entries = guest.list(directory).value ?? []
  guest.close(directory)
  return entries.flatMap(([name, type]) => {
    if (name === '.' || name === '..') return []
    const at = prefix + name
    if (type === 3) return [`${at}/`, ...guestTree(guest, `${at}/`)]
    if (type === 7) return [`${at} -> ${guest.readLink(at).value}`]
    const fd = guest.open(at, { rights: Rights.FD_READ }).value as number
    const bytes = guest.read(fd, 10_000).value as Uint8Array
    guest.close(fd)
    return [`${at}: ${Buffer.from(bytes).toString('hex')}`]
  })
}

describe('this host and node:wasi', () => {
  test.each(ABIS)('$module: give the same answers to the same calls, and leave the same tree', ({ module }) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), (steps) => {
        const folder = mkdtempSync(join(tmpdir(), 'reprise-wasi-'))
        const [ours, theirs] = [ourGuest(module), nodeGuest(folder)]
        try {
          const opened: number[] = []
          for (const s of steps) {
            const [our, their] = [perform(ours, opened, s), perform(theirs, opened, s)]
            expect({ ...s, answer: our }).toEqual({ ...s, answer: their })
            if (s.op === 'open' && (our as Answer<number>).errno === 0)
              opened.push((our as Answer<number>).value as number)
          }
          expect(guestTree(ours).sort()).toEqual(realTree(folder).sort())
        } finally {
          // What a guest leaves open node:wasi leaves open; nothing above this can be.
          for (let fd = 3; fd < 80; fd++) theirs.close(fd)
          rmSync(folder, { recursive: true, force: true })
        }
      }),
      { numRuns: 500 },
    )
  })
})
