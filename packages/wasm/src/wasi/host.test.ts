import { createHash } from 'node:crypto'
import { fromHex, hex, outputsRoot, pagesRoot, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { ABIS, Errno, FileType, OpenFlags, Rights } from './abi.ts'
import type { WasiHost, WasiOptions } from './index.ts'
import { startGuest } from './test-guest.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
const { CREAT } = OpenFlags
const START = 946_684_800_000_000_000n

const FILES = [
  { path: 'data.csv', bytes: utf8('a,b\n1,2\n') },
  { path: 'folder/deep/file', bytes: utf8('deep') },
  { path: 'folder/other', bytes: new Uint8Array(10_000).fill(7) },
]
const OPTIONS: WasiOptions = {
  arguments: ['program', 'ä'],
  environment: [['A', 'b=c']],
  stdin: utf8('input'),
  mounts: [
    { at: '/', writable: true, output: true, files: FILES },
    { at: '/lib', writable: false, output: false, files: [{ path: 'code', bytes: utf8('code') }] },
    { at: '/tmp', writable: true, output: false, files: [] },
  ],
  clockStartNs: START,
  seed: 0n,
  position: () => 5n,
  sha256,
}
const start = (options: Partial<WasiOptions> = {}, module = ABIS[0].module) =>
  startGuest({ ...OPTIONS, ...options }, module)

const outputsOf = (wasi: WasiHost) =>
  Object.fromEntries(wasi.outputs().map(({ path, read }) => [path, Buffer.from(read()).toString()]))

describe('what is open from the start', () => {
  test('three streams, the working folder as / and as ., then the other mounts', () => {
    const { guest } = start()
    const names: string[] = []
    for (let fd = 3; guest.call('fd_prestat_get', fd, 64) === 0; fd++) {
      const lengthBytes = guest.view.getUint32(68, true)
      expect(guest.call('fd_prestat_dir_name', fd, 128, lengthBytes)).toBe(0)
      names.push(Buffer.from(guest.bytes(128, lengthBytes)).toString())
    }
    expect(names).toEqual(['/', '.', '/lib', '/tmp'])
    expect(guest.call('fd_prestat_get', 7, 64)).toBe(Errno.BADF)
  })

  test.each(ABIS.map(({ module }) => module))('%s: streams are no terminals and do not seek', (module) => {
    const { guest } = start({}, module)
    for (const fd of [0, 1, 2]) {
      expect(guest.call('fd_fdstat_get', fd, 64)).toBe(0)
      const terminal =
        guest.view.getUint8(64) === FileType.CHARACTER_DEVICE &&
        (guest.view.getUint32(72, true) & (Rights.FD_SEEK | Rights.FD_TELL)) === 0
      expect(terminal).toBe(false)
      expect(guest.seek(fd, 0n, 'current')).toEqual({ errno: Errno.SPIPE })
    }
  })

  test('arguments and environment', () => {
    const { guest } = start()
    expect(guest.call('args_sizes_get', 64, 68)).toBe(0)
    expect([guest.view.getUint32(64, true), guest.view.getUint32(68, true)]).toEqual([2, 11])
    expect(guest.call('args_get', 128, 256)).toBe(0)
    expect(Buffer.from(guest.bytes(256, 11)).toString()).toBe('program\0ä\0')
    expect(guest.view.getUint32(132, true)).toBe(256 + 8)
    guest.call('environ_get', 128, 256)
    expect(Buffer.from(guest.bytes(256, 6)).toString()).toBe('A=b=c\0')
  })

  test('options that cannot be are refused by name', () => {
    const file = (path: string) => ({ path, bytes: new Uint8Array(0) })
    const mounts = (...files: string[]) => [{ at: '/', writable: true, output: true, files: files.map(file) }]
    for (const path of ['', '/a', 'a/', 'a//b', './a', 'a/../b', 'a\0', '\ud800', 'x'.repeat(256)]) {
      expect(() => start({ mounts: mounts(path) })).toThrow(RangeError)
    }
    expect(() => start({ mounts: mounts('a', 'a') })).toThrow('twice')
    expect(() => start({ mounts: mounts('a', 'a/b') })).toThrow(RangeError)
    expect(() => start({ mounts: mounts('a/b', 'a') })).toThrow(RangeError)
    expect(() => start({ mounts: [] })).toThrow('first mount')
    expect(() => start({ environment: [['A=', '']] })).toThrow('environment name')
    expect(() => start({ seed: 1n << 64n })).toThrow('seed')
    expect(() => start({ mounts: mounts('a', 'b'), limits: { inodes: 5 } })).toThrow('more than 5 files')
  })
})

describe('clock and random', () => {
  test('the clock shows position, readings and sleep, and nothing else', () => {
    let position = 16n * 5n + 15n
    const { guest } = start({ position: () => position })
    const read = (clock: number) => {
      expect(guest.call('clock_time_get', clock, 1n, 64)).toBe(0)
      return guest.view.getBigUint64(64, true)
    }
    expect(read(0)).toBe(START + 5n + 1000n)
    expect(read(1)).toBe(5n + 2000n)
    position = 1600n
    expect(read(2)).toBe(100n + 3000n)
    expect(read(3)).toBe(100n + 4000n)
    expect(guest.call('clock_time_get', 4, 1n, 64)).toBe(Errno.INVAL)
    expect(guest.call('clock_res_get', 1, 64)).toBe(0)
    expect(guest.view.getBigUint64(64, true)).toBe(1000n)
  })

  test('random bytes are SHA-256 of tag, seed and block number', () => {
    const { guest } = start({ seed: 7n })
    const block = (i: string) =>
      createHash('sha256')
        .update('reprise/random/v1\0')
        .update(fromHex('0000000000000007'))
        .update(fromHex(i))
        .digest('hex')
    guest.call('random_get', 64, 5)
    guest.call('random_get', 69, 40)
    expect(hex(guest.bytes(64, 45))).toBe((block('0000000000000000') + block('0000000000000001')).slice(0, 90))
  })

  test.each(ABIS)(
    '$module: sleeping takes virtual time only, until the earliest deadline',
    ({ module, subscription }) => {
      const { guest } = start({}, module)
      const clock = (at: number, userdata: bigint, timeout: bigint, absolute = false) => {
        guest.put(at, new Uint8Array(subscription.lengthBytes))
        guest.view.setBigUint64(at, userdata, true)
        guest.view.setUint32(at + subscription.clockId, 1, true)
        guest.view.setBigUint64(at + subscription.timeout, timeout, true)
        guest.view.setUint16(at + subscription.flags, absolute ? 1 : 0, true)
      }
      clock(1024, 1n, 3_000_000_000n)
      clock(1024 + subscription.lengthBytes, 2n, 2_000_000_005n, true)
      expect(guest.call('poll_oneoff', 1024, 2048, 2, 64)).toBe(0)
      expect(guest.view.getUint32(64, true)).toBe(1)
      expect(guest.view.getBigUint64(2048, true)).toBe(2n)
      guest.call('clock_time_get', 1, 1n, 64)
      expect(guest.view.getBigUint64(64, true)).toBe(2_000_000_005n + 1000n)

      // A descriptor is ready at once, so no time passes.
      clock(1024, 1n, 3_000_000_000n)
      const second = 1024 + subscription.lengthBytes
      guest.put(second, new Uint8Array(subscription.lengthBytes))
      guest.view.setUint8(second + 8, 1)
      expect(guest.call('poll_oneoff', 1024, 2048, 2, 64)).toBe(0)
      expect(guest.view.getUint32(64, true)).toBe(1)
      expect(guest.view.getUint8(2048 + 10)).toBe(1)
      expect(guest.view.getBigUint64(2048 + 16, true)).toBe(5n)
      expect(guest.call('poll_oneoff', 1024, 2048, 0, 64)).toBe(Errno.INVAL)
    },
  )

  test('time stops at the end of 64 bits', () => {
    const { guest } = start()
    guest.put(1024, new Uint8Array(48))
    guest.view.setBigUint64(1024 + 24, (1n << 64n) - 1n, true)
    for (let i = 0; i < 2; i++) expect(guest.call('poll_oneoff', 1024, 2048, 1, 64)).toBe(0)
  })
})

describe('limits', () => {
  test('on open files, contents and inodes are errnos and notes', () => {
    const { guest, wasi } = start({ limits: { openFiles: 8, contentBytes: 100, inodes: 14 } })
    const fd = guest.open('new', { flags: CREAT }).value as number
    expect(guest.open('data.csv').errno).toBe(Errno.MFILE)
    expect(guest.write(fd, new Uint8Array(101)).errno).toBe(Errno.NOSPC)
    expect(guest.setSize(fd, 1n << 50n).errno).toBe(Errno.NOSPC)
    expect(guest.write(fd, new Uint8Array(60)).errno).toBe(0)
    expect(guest.write(1, new Uint8Array(41)).errno).toBe(Errno.NOSPC)
    expect(guest.write(1, new Uint8Array(40)).errno).toBe(0)
    expect(guest.setSize(fd, 0n).errno).toBe(0)
    expect(guest.write(1, new Uint8Array(60)).errno).toBe(0)
    const made = ['d', 'e', 'f', 'g', 'h'].map((name) => guest.makeDirectory(name).errno)
    expect(made.at(-1)).toBe(Errno.NOSPC)
    expect(wasi.notes().map(({ detail }) => detail)).toEqual(['open files', 'content bytes', 'inodes'])
  })

  test('a region that is not all inside the memory is a fault, and nothing happens', () => {
    const { guest, wasi } = start()
    const end = guest.memory.buffer.byteLength
    expect(guest.call('random_get', end - 3, 4)).toBe(Errno.FAULT)
    expect(guest.call('random_get', -1, -1)).toBe(Errno.FAULT)
    const before = hex(wasi.encodeState())
    expect(guest.call('clock_time_get', 0, 0n, end - 7)).toBe(Errno.FAULT)
    expect(guest.call('fd_write', 1, end, 1, 0)).toBe(Errno.FAULT)
    expect(hex(wasi.encodeState())).toBe(before)
  })

  test('the memory may grow between calls', () => {
    const { guest } = start()
    const end = guest.memory.buffer.byteLength
    expect(guest.call('random_get', end, 4)).toBe(Errno.FAULT)
    guest.memory.grow(1)
    expect(guest.call('random_get', end, 4)).toBe(0)
  })
})

describe('what there is not', () => {
  test('sockets, and calls that nobody knows, are errnos and notes', () => {
    const { guest, wasi } = start()
    expect(guest.call('sock_shutdown', 1, 0)).toBe(Errno.NOTSOCK)
    expect(guest.call('sock_recv', 99, 0, 0, 0, 0, 0)).toBe(Errno.BADF)
    expect(guest.call('sock_open', 0, 0, 0)).toBe(Errno.NOSYS)
    expect(guest.call('proc_raise', 6)).toBe(Errno.NOSYS)
    expect(guest.call('proc_raise', 6)).toBe(Errno.NOSYS)
    expect(guest.call('toString')).toBe(Errno.NOSYS)
    expect(wasi.function('env', 'fd_read')).toBeUndefined()
    expect(wasi.notes()).toEqual([
      { code: 'NO_SOCKETS', detail: 'sock_shutdown', count: 1 },
      { code: 'NO_SOCKETS', detail: 'sock_recv', count: 1 },
      { code: 'NO_SOCKETS', detail: 'sock_open', count: 1 },
      { code: 'NO_SUCH_CALL', detail: 'proc_raise', count: 2 },
      { code: 'NO_SUCH_CALL', detail: 'toString', count: 1 },
    ])
  })

  test('leaving is told by its exit code, and from every other exception', () => {
    const { guest, wasi } = start()
    let thrown: unknown
    try {
      guest.call('proc_exit', -1)
    } catch (error) {
      thrown = error
    }
    expect(wasi.isExit(thrown)).toBe(0xffff_ffff)
    expect(wasi.isExit(new Error('other'))).toBeUndefined()
  })
})

describe('outputs', () => {
  test('are the streams and every file that is new or not what it was', () => {
    const { guest, wasi } = start()
    expect(outputsOf(wasi)).toEqual({ '/dev/stderr': '', '/dev/stdout': '' })
    guest.write(1, utf8('out'))
    const fd = guest.open('data.csv').value as number
    guest.write(fd, utf8('a'), 0n)
    expect(Object.keys(outputsOf(wasi))).toEqual(['/dev/stderr', '/dev/stdout'])
    guest.write(fd, utf8('X'), 0n)
    guest.write(guest.open('scratch', { dir: 6, flags: CREAT }).value as number, utf8('not an output'))
    guest.rename('folder/other', 'b')
    guest.write(guest.open('\u{1f600}', { flags: CREAT }).value as number, utf8('1'))
    guest.write(guest.open('\uffee', { flags: CREAT }).value as number, utf8('2'))
    expect(wasi.outputs().map(({ path }) => path)).toEqual([
      '/dev/stderr',
      '/dev/stdout',
      'b',
      'data.csv',
      '\uffee',
      '\u{1f600}',
    ])
    expect(wasi.removed()).toEqual(['folder/other'])
    const leaves = wasi
      .outputs()
      .map(({ path, lengthBytes, read }) => ({ path, lengthBytes, pagesRoot: pagesRoot(read(), sha256) }))
    expect(hex(wasi.outputsRoot())).toBe(hex(outputsRoot(leaves, sha256)))
  })

  test('of another mount have its path in front', () => {
    const { guest, wasi } = start({
      mounts: [
        { at: '/', writable: true, output: false, files: [] },
        { at: '/data/out', writable: true, output: true, files: [] },
      ],
    })
    guest.open('in', { flags: CREAT })
    guest.open('x', { dir: 5, flags: CREAT })
    expect(wasi.outputs().map(({ path }) => path)).toEqual(['/data/out/x', '/dev/stderr', '/dev/stdout'])
  })

  test('that were written tell when they are closed or synced, by their name of now', () => {
    const closed: string[] = []
    const { guest } = start({ onOutputClosed: (path) => closed.push(path) })
    guest.close(guest.open('data.csv').value as number)
    const fd = guest.open('new', { flags: CREAT }).value as number
    guest.rename('new', 'folder/renamed')
    guest.call('fd_sync', fd)
    guest.call('fd_sync', fd)
    guest.write(fd, utf8('x'))
    guest.close(fd)
    const gone = guest.open('gone', { flags: CREAT }).value as number
    guest.unlink('gone')
    guest.close(gone)
    guest.close(guest.open('scratch', { dir: 6, flags: CREAT }).value as number)
    expect(closed).toEqual(['folder/renamed', 'folder/renamed'])
  })

  test('that are saved beside their place and moved there tell under both names', () => {
    const closed: string[] = []
    const { guest } = start({ onOutputClosed: (path) => closed.push(path) })
    const save = (folder: number) => {
      guest.close(guest.open('.tmp', { dir: folder, flags: CREAT }).value as number)
      guest.rename('.tmp', 'data.csv', { source: folder, target: folder })
    }
    save(3)
    expect(closed).toEqual(['.tmp', 'data.csv'])
    guest.rename('data.csv', 'data.csv')
    guest.rename('folder', 'elsewhere')
    save(6)
    expect(closed.length).toBe(2)
  })

  test('echo as they are written', () => {
    const seen: string[] = []
    const { guest } = start({ onStream: (stream, bytes) => seen.push(`${stream} ${Buffer.from(bytes).toString()}`) })
    guest.write(1, utf8('one'))
    guest.write(2, utf8('two'))
    expect(seen.map((line) => line.trimEnd()).filter((line) => line.includes(' '))).toEqual([
      'stdout one',
      'stderr two',
    ])
  })
})
