import { createHash } from 'node:crypto'
import { fromHex, hex, outputsRoot, pagesRoot, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { ABIS, Errno, FdFlags, FileType, OpenFlags, Rights, TimeFlags } from './abi.ts'
import { createWasi, type WasiHost, type WasiOptions } from './index.ts'
import { TestGuest } from './test-guest.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
const { CREAT, EXCL, TRUNC, DIRECTORY } = OpenFlags
const START = 946_684_800_000_000_000n

function start(options: Partial<WasiOptions> = {}, module = ABIS[0].module): { wasi: WasiHost; guest: TestGuest } {
  const wasi = createWasi({
    arguments: ['program', 'ä'],
    environment: [['A', 'b=c']],
    stdin: utf8('input'),
    mounts: [
      {
        at: '/',
        writable: true,
        output: true,
        files: [
          { path: 'data.csv', bytes: utf8('a,b\n1,2\n') },
          { path: 'folder/deep/file', bytes: utf8('deep') },
          { path: 'folder/other', bytes: new Uint8Array(10_000).fill(7) },
        ],
      },
      { at: '/lib', writable: false, output: false, files: [{ path: 'code', bytes: utf8('code') }] },
      { at: '/tmp', writable: true, output: false, files: [] },
    ],
    clockStartNs: START,
    seed: 0n,
    position: () => 5n,
    sha256,
    ...options,
  })
  const guest = new TestGuest(
    (name, ...parameters) => wasi.function(module, name)?.(...parameters) ?? -1,
    undefined,
    module,
  )
  wasi.bind(guest.memory)
  return { wasi, guest }
}

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
    let position = 5n
    const { guest } = start({ position: () => position })
    const read = (clock: number) => {
      expect(guest.call('clock_time_get', clock, 1n, 64)).toBe(0)
      return guest.view.getBigUint64(64, true)
    }
    expect(read(0)).toBe(START + 5n + 1000n)
    expect(read(1)).toBe(5n + 2000n)
    position = 100n
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

describe('files', () => {
  test('are read, and changed only as copies', () => {
    const bytes = utf8('abc')
    const { guest, wasi } = start({
      mounts: [{ at: '/', writable: true, output: true, files: [{ path: 'f', bytes }] }],
    })
    const fd = guest.open('f').value as number
    expect(guest.read(fd, 10).value).toEqual(utf8('abc'))
    expect(guest.read(fd, 10).value).toEqual(utf8(''))
    expect(guest.write(fd, utf8('XY'), 1n).value).toBe(2)
    expect(guest.seek(fd, -1n, 'end').value).toBe(2n)
    expect(guest.write(fd, utf8('end')).value).toBe(3)
    expect(guest.tell(fd).value).toBe(5n)
    expect(outputsOf(wasi)['f']).toBe('aXend')
    expect(bytes).toEqual(utf8('abc'))
  })

  test('appending writes go to the end, wherever the offset is', () => {
    const { guest, wasi } = start()
    const fd = guest.open('data.csv', { fdFlags: FdFlags.APPEND }).value as number
    guest.write(fd, utf8('x'))
    guest.write(fd, utf8('y'), 0n)
    expect(outputsOf(wasi)['data.csv']).toBe('a,b\n1,2\nxy')
  })

  test('are zero where nobody wrote, also after cutting and growing again', () => {
    const { guest, wasi } = start()
    const fd = guest.open('new', { flags: CREAT | EXCL }).value as number
    guest.write(fd, utf8('abc'), 5n)
    guest.setSize(fd, 6n)
    guest.allocate(fd, 6n, 4n)
    expect(outputsOf(wasi)['new']).toBe('\0\0\0\0\0a\0\0\0\0')
    expect(guest.open('new', { flags: CREAT | EXCL }).errno).toBe(Errno.EXIST)
    expect(guest.open('new', { flags: TRUNC }).errno).toBe(0)
    expect(outputsOf(wasi)['new']).toBe('')
  })

  test('that are unlinked while open live until they are closed', () => {
    const { guest } = start()
    const fd = guest.open('data.csv').value as number
    const before = guest.stat(fd).value
    expect(guest.unlink('data.csv').errno).toBe(0)
    expect(guest.stat(fd).value).toMatchObject({ links: 0n, size: 8n, inode: before?.inode })
    expect(guest.open('data.csv').errno).toBe(Errno.NOENT)
    expect(guest.read(fd, 3).value).toEqual(utf8('a,b'))
    guest.close(fd)
    expect(guest.read(fd, 3).errno).toBe(Errno.BADF)
    const next = guest.open('fresh', { flags: CREAT }).value as number
    expect(guest.stat(next).value?.inode).toBe(before?.inode)
  })

  test('have names that are links to one content', () => {
    const { guest } = start()
    expect(guest.link('data.csv', 'folder/again').errno).toBe(0)
    expect(guest.statPath('data.csv').value?.links).toBe(2n)
    expect(guest.statPath('folder/again').value?.inode).toBe(guest.statPath('data.csv').value?.inode)
    expect(guest.link('folder', 'g').errno).toBe(Errno.PERM)
    expect(guest.link('data.csv', 'new', { target: 5 }).errno).toBe(Errno.ROFS)
    expect(guest.link('data.csv', 'x', { target: 6 }).errno).toBe(Errno.XDEV)
  })

  test('take their times from the virtual clock, or as they are set', () => {
    let position = 0n
    const { guest } = start({ position: () => position })
    expect(guest.statPath('data.csv').value).toMatchObject({ accessed: START, modified: START })
    position = 77n
    const fd = guest.open('data.csv').value as number
    guest.write(fd, utf8('z'))
    expect(guest.stat(fd).value).toMatchObject({ accessed: START, modified: START + 77n })
    guest.setTimes(fd, 3n, 4n, TimeFlags.ATIM | TimeFlags.MTIM_NOW)
    expect(guest.stat(fd).value).toMatchObject({ accessed: 3n, modified: START + 77n })
    expect(guest.setTimes(fd, 3n, 4n, TimeFlags.ATIM | TimeFlags.ATIM_NOW).errno).toBe(Errno.INVAL)
  })

  test('are refused what their rights do not hold', () => {
    const { guest } = start()
    const fd = guest.open('data.csv', { rights: Rights.FD_READ }).value as number
    expect(guest.write(fd, utf8('x')).errno).toBe(Errno.NOTCAPABLE)
    expect(guest.seek(fd, 0n, 'set').errno).toBe(Errno.NOTCAPABLE)
    expect(guest.call('fd_fdstat_set_rights', fd, BigInt(Rights.FD_WRITE), 0n)).toBe(Errno.NOTCAPABLE)
    expect(guest.call('fd_fdstat_set_rights', fd, 0n, 0n)).toBe(0)
    expect(guest.read(fd, 1).errno).toBe(Errno.NOTCAPABLE)
  })

  test('of read-only mounts stay as they are', () => {
    const { guest, wasi } = start()
    const lib = { dir: 5 }
    expect(guest.open('code', { ...lib, rights: Rights.FD_READ }).errno).toBe(0)
    expect(guest.open('code', lib).errno).toBe(Errno.ROFS)
    expect(guest.open('code', { ...lib, rights: Rights.FD_READ, flags: TRUNC }).errno).toBe(Errno.ROFS)
    expect(guest.open('new', { ...lib, flags: CREAT }).errno).toBe(Errno.ROFS)
    expect(guest.unlink('code', 5).errno).toBe(Errno.ROFS)
    expect(guest.makeDirectory('d', 5).errno).toBe(Errno.ROFS)
    expect(guest.rename('code', 'x', { source: 5, target: 5 }).errno).toBe(Errno.ROFS)
    expect(guest.symlink('code', 's', 5).errno).toBe(Errno.ROFS)
    expect(guest.call('path_filestat_set_times', 5, 0, ...guest.put(1024, utf8('code')), 0n, 0n, 1)).toBe(Errno.ROFS)
    expect(wasi.notes()).toEqual([{ code: 'READ_ONLY', detail: '/lib', count: 8 }])
  })
})

describe('directories', () => {
  const names = (guest: TestGuest, path: string, lengthBytes?: number) => {
    const fd = guest.open(path, { flags: DIRECTORY, rights: Rights.FD_READDIR }).value as number
    const list = guest.list(fd, lengthBytes).value?.map(([name]) => name)
    guest.close(fd)
    return list
  }

  test('list in the order of their names’ bytes, whatever the buffer', () => {
    const files = ['b', 'a/x', 'Z', 'ä', '\u{1f600}', '\uffee', 'a-'].map((path) => ({
      path,
      bytes: new Uint8Array(0),
    }))
    const { guest } = start({ mounts: [{ at: '/', writable: true, output: true, files }] })
    const sorted = ['.', '..', 'Z', 'a', 'a-', 'b', 'ä', '\uffee', '\u{1f600}']
    for (const lengthBytes of [4096, 40, 29, 64]) expect(names(guest, '.', lengthBytes)).toEqual(sorted)
  })

  test('go on listing where they were while entries come and go', () => {
    const files = ['a', 'b', 'c', 'd'].map((path) => ({ path, bytes: new Uint8Array(0) }))
    const { guest } = start({ mounts: [{ at: '/', writable: true, output: true, files }] })
    const fd = guest.open('.', { rights: Rights.FD_READDIR }).value as number
    const first = guest.listFrom(fd, 0n, 24 + 1 + 24 + 2 + 25).value?.entries.map(([name]) => name)
    expect(first).toEqual(['.', '..', 'a'])
    guest.unlink('a')
    guest.unlink('c')
    guest.open('aa', { flags: CREAT })
    expect(guest.listFrom(fd, 3n).value?.entries.map(([name]) => name)).toEqual(['b', 'd'])
    expect(guest.list(fd).value?.map(([name]) => name)).toEqual(['.', '..', 'aa', 'b', 'd'])
    expect(guest.listFrom(fd, 1n << 63n).value?.entries).toEqual([])
  })

  test('are made, moved and removed with the errors of Linux', () => {
    const { guest } = start()
    expect(guest.makeDirectory('new').errno).toBe(0)
    expect(guest.makeDirectory('new').errno).toBe(Errno.EXIST)
    expect(guest.makeDirectory('none/new').errno).toBe(Errno.NOENT)
    expect(guest.makeDirectory('data.csv/new').errno).toBe(Errno.NOTDIR)
    expect(guest.rename('folder', 'folder/deep/x').errno).toBe(Errno.INVAL)
    expect(guest.rename('folder/deep', 'folder').errno).toBe(Errno.NOTEMPTY)
    expect(guest.rename('folder', 'data.csv').errno).toBe(Errno.NOTDIR)
    expect(guest.rename('data.csv', 'folder').errno).toBe(Errno.ISDIR)
    expect(guest.rename('new', 'folder').errno).toBe(Errno.NOTEMPTY)
    expect(guest.rename('.', 'x').errno).toBe(Errno.BUSY)
    expect(guest.rename('data.csv', 'new/').errno).toBe(Errno.NOTDIR)
    expect(guest.rename('folder', 'new').errno).toBe(0)
    expect(names(guest, 'new')).toEqual(['.', '..', 'deep', 'other'])
    expect(guest.removeDirectory('new').errno).toBe(Errno.NOTEMPTY)
    expect(guest.removeDirectory('data.csv').errno).toBe(Errno.NOTDIR)
    expect(guest.unlink('new').errno).toBe(Errno.ISDIR)
    expect(guest.open('new', { flags: CREAT }).errno).toBe(Errno.ISDIR)
    expect(guest.open('fresh/', { flags: CREAT }).errno).toBe(Errno.ISDIR)
    expect(guest.open('data.csv/', { rights: Rights.FD_READ }).errno).toBe(Errno.NOTDIR)
  })

  test('that are removed while open take nothing in', () => {
    const { guest } = start()
    guest.makeDirectory('gone')
    const dir = guest.open('gone', { rights: Rights.PATH_OPEN | Rights.PATH_CREATE_FILE | Rights.FD_READDIR })
      .value as number
    expect(guest.removeDirectory('gone').errno).toBe(0)
    expect(guest.open('x', { dir, flags: CREAT }).errno).toBe(Errno.NOENT)
    expect(guest.list(dir).value?.map(([name]) => name)).toEqual(['.', '..'])
    expect(guest.close(dir).errno).toBe(0)
  })
})

describe('paths', () => {
  test('never leave the directory they are resolved in', () => {
    const { guest } = start()
    const read = { rights: Rights.FD_READ }
    for (const path of ['..', '../data.csv', 'folder/../../data.csv', '/data.csv', '/']) {
      expect(guest.open(path, read).errno).toBe(Errno.NOTCAPABLE)
    }
    const dir = guest.open('folder', { flags: DIRECTORY, rights: Rights.PATH_OPEN }).value as number
    expect(guest.open('../data.csv', { dir, ...read }).errno).toBe(Errno.NOTCAPABLE)
    expect(guest.open('folder/deep/../../data.csv', read).errno).toBe(0)
    expect(guest.open('none/../data.csv', read).errno).toBe(Errno.NOENT)
    guest.symlink('../..', 'folder/up')
    guest.symlink('/data.csv', 'absolute')
    expect(guest.open('folder/up/data.csv', read).errno).toBe(Errno.NOTCAPABLE)
    expect(guest.open('absolute', read).errno).toBe(Errno.NOTCAPABLE)
    expect(guest.readLink('absolute').value).toBe('/data.csv')
  })

  test('follow symbolic links as POSIX does, and not round in circles', () => {
    const { guest } = start()
    const read = { rights: Rights.FD_READ }
    guest.symlink('deep/file', 'folder/link')
    guest.symlink('folder', 'dir')
    guest.symlink('loop', 'loop')
    guest.symlink('later', 'dangling')
    expect(guest.read(guest.open('dir/link', read).value as number, 9).value).toEqual(utf8('deep'))
    expect(guest.open('dir/link', { ...read, follow: false }).errno).toBe(Errno.LOOP)
    expect(guest.open('loop', read).errno).toBe(Errno.LOOP)
    expect(guest.statPath('dir', { follow: false }).value?.type).toBe(FileType.SYMBOLIC_LINK)
    expect(guest.statPath('dir/', { follow: false }).value?.type).toBe(FileType.DIRECTORY)
    expect(guest.removeDirectory('dir/').errno).toBe(Errno.NOTDIR)
    expect(guest.open('dangling', read).errno).toBe(Errno.NOENT)
    expect(guest.open('dangling', { flags: CREAT | EXCL }).errno).toBe(Errno.EXIST)
    expect(guest.open('dangling', { flags: CREAT }).errno).toBe(0)
    expect(guest.statPath('later').value?.type).toBe(FileType.REGULAR_FILE)
    expect(guest.readLink('data.csv').errno).toBe(Errno.INVAL)
    expect(guest.readLink('dangling', 3).value).toBe('lat')
  })

  test('have limits, and are text without zero bytes', () => {
    const { guest } = start()
    expect(guest.makeDirectory('x'.repeat(256)).errno).toBe(Errno.NAMETOOLONG)
    expect(guest.makeDirectory('x'.repeat(255)).errno).toBe(0)
    expect(guest.makeDirectory('x/'.repeat(2049)).errno).toBe(Errno.NAMETOOLONG)
    expect(guest.makeDirectory('').errno).toBe(Errno.NOENT)
    expect(guest.makeDirectory('a\0b').errno).toBe(Errno.INVAL)
    expect(guest.call('path_create_directory', 3, ...guest.put(1024, new Uint8Array([0xff])))).toBe(Errno.ILSEQ)
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
