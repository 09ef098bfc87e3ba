/** For tests: random sequences of calls, on a small host with a read-only mount and a read-only file. */
import { utf8, type Sha256 } from '@reprise/core'
import fc from 'fast-check'
import { expect } from 'vitest'
import { ABIS, Errno, EventType, FdFlags, FILE_RIGHTS, OpenFlags, Rights, RIGHTS_TO_WRITE, type Abi } from './abi.ts'
import { createWasi, type SavedHost, type WasiHost } from './index.ts'
import { ALL_RIGHTS, TestGuest } from './test-guest.ts'

export const FIXED = 'd/fixed'
export const NAMES: readonly string[] = ['a', 'b', 'd/c', 'd/input', FIXED]
export const INPUT: Uint8Array = new Uint8Array(9000).fill(1)
export const INPUTS = [
  { path: 'd/input', bytes: INPUT },
  { path: FIXED, bytes: INPUT, readOnly: true },
  { path: 'f/g/input', bytes: INPUT },
]

export interface Started {
  readonly wasi: WasiHost
  readonly guest: TestGuest
  /** What the host was told by the way. */
  readonly told: string[]
  readonly position: () => bigint
}

/** A host whose position counts the calls: at its start, or where another one was saved. */
export function start(
  sha256: Sha256,
  module: Abi['module'] = ABIS[0].module,
  from: { readonly saved?: SavedHost; readonly position: bigint; readonly memory?: ArrayBuffer } = { position: 0n },
): Started {
  let calls = from.position
  const told: string[] = []
  const wasi = createWasi({
    arguments: ['p'],
    environment: [],
    stdin: utf8('in'),
    mounts: [
      { at: '/', writable: true, output: true, files: INPUTS },
      { at: '/ro', writable: false, output: false, files: [{ path: 'x', bytes: INPUT }] },
      { at: '/tmp', writable: true, output: false, files: [] },
    ],
    clockStartNs: 0n,
    seed: 1n,
    position: () => calls,
    // Keeps a file that a random call makes huge from being hashed.
    limits: { contentBytes: 1 << 20, inodes: 1000 },
    sha256,
    onStream: (stream, bytes) => told.push(`${stream} ${bytes.length}`),
    onOutputClosed: (path) => told.push(path),
    saved: from.saved,
  })
  const guest = new TestGuest(
    (name, ...parameters) => {
      calls++
      return wasi.function(module, name)?.(...parameters) ?? -1
    },
    undefined,
    module,
  )
  if (from.memory !== undefined) guest.put(0, new Uint8Array(from.memory))
  wasi.bind(guest.memory)
  return { wasi, guest, told, position: () => calls }
}

// Mostly one file, so that what happens to it adds up.
const name = fc.oneof({ weight: 3, arbitrary: fc.constant('a') }, fc.constantFrom(...NAMES))
/** Near the boundaries of pages. */
const size = fc.oneof(fc.nat(20), fc.nat(20_000), fc.constantFrom(4095, 4096, 4097, 8192))
export const step = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), name, at: size, length: size, byte: fc.nat(255) }),
  fc.record({ kind: fc.constant('append' as const), name, length: size, byte: fc.nat(255) }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('resize' as const), name, length: size }) },
  fc.record({ kind: fc.constant('empty' as const), name }),
  fc.record({ kind: fc.constant('rename' as const), name, to: name }),
  fc.constant({ kind: 'rename' as const, name: 'd', to: 'e' }),
  fc.record({ kind: fc.constant('unlink' as const), name }),
  fc.record({ kind: fc.constant('print' as const), length: fc.nat(5000), byte: fc.nat(255) }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('measure' as const) }) },
)
export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

export function apply(wasi: WasiHost, guest: TestGuest, s: Step): void {
  const withFile = (use: (fd: number) => void, flags = 0, fdFlags = 0) => {
    if (s.kind === 'print' || s.kind === 'measure') return
    const { errno, value: fd } = guest.open(s.name, { flags: OpenFlags.CREAT | flags, fdFlags })
    expect(errno).toBe(s.name === FIXED ? Errno.ROFS : Errno.SUCCESS)
    if (fd === undefined) return
    use(fd)
    expect(guest.close(fd).errno).toBe(0)
  }
  switch (s.kind) {
    case 'write':
      return withFile((fd) => guest.write(fd, new Uint8Array(s.length).fill(s.byte), BigInt(s.at)))
    case 'append':
      return withFile((fd) => guest.write(fd, new Uint8Array(s.length).fill(s.byte)), 0, FdFlags.APPEND)
    case 'resize':
      return withFile((fd) => guest.setSize(fd, BigInt(s.length)))
    case 'empty':
      return withFile(() => {}, OpenFlags.TRUNC)
    case 'rename':
      return void guest.rename(s.name, s.to)
    case 'unlink':
      return void guest.unlink(s.name)
    case 'print':
      return void guest.write(1, new Uint8Array(s.length).fill(s.byte))
    case 'measure':
      wasi.encodeState()
      wasi.outputsRoot()
  }
}

/** Of every call: i is i32, I is i64. */
const CALLS: readonly (readonly [name: string, parameters: string])[] = [
  ['args_get', 'ii'],
  ['args_sizes_get', 'ii'],
  ['environ_get', 'ii'],
  ['environ_sizes_get', 'ii'],
  ['clock_res_get', 'ii'],
  ['clock_time_get', 'iIi'],
  ['fd_advise', 'iIIi'],
  ['fd_allocate', 'iII'],
  ['fd_close', 'i'],
  ['fd_datasync', 'i'],
  ['fd_fdstat_get', 'ii'],
  ['fd_fdstat_set_flags', 'ii'],
  ['fd_fdstat_set_rights', 'iII'],
  ['fd_filestat_get', 'ii'],
  ['fd_filestat_set_size', 'iI'],
  ['fd_filestat_set_times', 'iIIi'],
  ['fd_pread', 'iiiIi'],
  ['fd_prestat_get', 'ii'],
  ['fd_prestat_dir_name', 'iii'],
  ['fd_pwrite', 'iiiIi'],
  ['fd_read', 'iiii'],
  ['fd_readdir', 'iiiIi'],
  ['fd_renumber', 'ii'],
  ['fd_seek', 'iIii'],
  ['fd_sync', 'i'],
  ['fd_tell', 'ii'],
  ['fd_write', 'iiii'],
  ['path_create_directory', 'iii'],
  ['path_filestat_get', 'iiiii'],
  ['path_filestat_set_times', 'iiiiIIi'],
  ['path_link', 'iiiiiii'],
  ['path_open', 'iiiiiIIii'],
  ['path_readlink', 'iiiiii'],
  ['path_remove_directory', 'iii'],
  ['path_rename', 'iiiiii'],
  ['path_symlink', 'iiiii'],
  ['path_unlink_file', 'iii'],
  ['poll_oneoff', 'iiii'],
  ['random_get', 'ii'],
  ['sched_yield', ''],
  ['sock_accept', 'iii'],
  ['sock_recv', 'iiiiii'],
  ['sock_send', 'iiiii'],
  ['sock_shutdown', 'ii'],
]

/** Signed, as WebAssembly passes it: small numbers (descriptors, flags, lengths), addresses, and anything. */
const i32 = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 9 }) },
  { weight: 2, arbitrary: fc.constantFrom(64, 1024, 2048, 65_528, 65_536, -1, -8) },
  fc.integer(),
)
const i64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 300n }),
  fc.constantFrom(-1n, (1n << 28n) - 1n, (1n << 53n) - 1n, (1n << 63n) - 1n, -(1n << 63n)),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
)
export const anyCall = fc
  .constantFrom(...CALLS)
  .chain(([name, parameters]) =>
    fc.tuple(fc.constant(name), fc.tuple(...parameters.split('').map((letter) => (letter === 'I' ? i64 : i32)))),
  )

/** A memory in which addresses are likely to mean something: paths, and regions and subscriptions at 64. */
export function prepare(guest: TestGuest): void {
  new Uint8Array(guest.memory.buffer).fill(0)
  guest.put(1024, utf8('d/input\0../a'))
  guest.put(2048, utf8('a/b'))
  guest.view.setUint32(64, 1024, true)
  guest.view.setUint32(68, 3, true)
}

/** Mostly what a call opened: 0 to 6 are there from the start. */
const fd = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(7, 7, 8, 8, 9) }, fc.nat(12))
const path = fc.constantFrom(
  'a',
  'b',
  'd',
  'd/c',
  'd/input',
  FIXED,
  'e',
  'e/a',
  'e/h',
  'f',
  'f/g',
  'f/g/input',
  '.',
  'f/../b/',
)
const directory = fc.oneof({ weight: 9, arbitrary: fc.constant(3) }, fd)
const length = fc.oneof(fc.nat(20), fc.nat(5000))
const READING = (FILE_RIGHTS & ~RIGHTS_TO_WRITE) | Rights.FD_READDIR

/** Calls that mean something, and leave open what they open. */
export const act = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('open' as const),
      path,
      dir: directory,
      flags: fc.constantFrom(
        0,
        OpenFlags.CREAT,
        OpenFlags.CREAT,
        OpenFlags.CREAT | OpenFlags.TRUNC,
        OpenFlags.DIRECTORY,
      ),
      fdFlags: fc.constantFrom(0, FdFlags.APPEND),
      follow: fc.boolean(),
      // All that can be asked for, or what reading takes.
      writes: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('close' as const, 'sync' as const), fd }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('write' as const), fd, length, byte: fc.nat(255) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('read' as const, 'size' as const, 'seek' as const), fd, length }),
  },
  fc.record({
    kind: fc.constant('list' as const),
    fd: fc.constantFrom(3, 4, 7, 8),
    cookie: fc.nat(4),
    length: fc.nat(200),
  }),
  fc.record({ kind: fc.constant('renumber' as const), fd, to: fd }),
  fc.record({ kind: fc.constant('rights' as const), fd, rights: fc.nat() }),
  fc.record({ kind: fc.constant('times' as const), fd, at: fc.nat(9) }),
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('rename' as const, 'link' as const, 'symlink' as const),
      path,
      to: path,
      dir: directory,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('makeDirectory' as const, 'removeDirectory' as const, 'unlink' as const),
      path,
      dir: directory,
    }),
  },
  fc.record({ kind: fc.constantFrom('clock' as const, 'random' as const, 'sleep' as const), length: fc.nat(100) }),
  fc.record({ kind: fc.constant('any' as const), call: anyCall }),
)
export type Act = typeof act extends fc.Arbitrary<infer T> ? T : never

/** @returns The errno. */
export function perform(guest: TestGuest, a: Act): number {
  switch (a.kind) {
    case 'open':
      return guest.open(a.path, { ...a, rights: a.writes ? ALL_RIGHTS : READING }).errno
    case 'close':
      return guest.close(a.fd).errno
    case 'sync':
      return guest.call('fd_sync', a.fd)
    case 'write':
      return guest.write(a.fd, new Uint8Array(a.length).fill(a.byte)).errno
    case 'read':
      return guest.read(a.fd, a.length).errno
    case 'size':
      return guest.setSize(a.fd, BigInt(a.length)).errno
    case 'seek':
      return guest.seek(a.fd, BigInt(a.length), 'set').errno
    case 'list':
      return guest.listFrom(a.fd, BigInt(a.cookie), a.length).errno
    case 'renumber':
      return guest.renumber(a.fd, a.to).errno
    case 'rights':
      return guest.call('fd_fdstat_set_rights', a.fd, BigInt(a.rights & READING), 0n)
    case 'times':
      return guest.setTimes(a.fd, BigInt(a.at), 0n, 5).errno
    case 'rename':
      return guest.rename(a.path, a.to, { source: a.dir }).errno
    case 'link':
      return guest.link(a.path, a.to, { target: a.dir }).errno
    case 'symlink':
      return guest.symlink(a.path, a.to, a.dir).errno
    case 'makeDirectory':
    case 'removeDirectory':
    case 'unlink':
      return guest[a.kind](a.path, a.dir).errno
    case 'clock':
      return guest.call('clock_time_get', a.length % 4, 0n, 64)
    case 'random':
      return guest.call('random_get', 4096, a.length)
    case 'sleep':
      new Uint8Array(guest.memory.buffer).fill(0, 512, 1024)
      guest.view.setUint8(512 + 8, EventType.CLOCK)
      guest.view.setBigUint64(512 + guest.abi.subscription.timeout, BigInt(a.length), true)
      return guest.call('poll_oneoff', 512, 768, 1, 64)
    case 'any':
      return guest.call(a.call[0], ...a.call[1])
  }
}
