import { createHash } from 'node:crypto'
import { hex, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { DIRECTORY_RIGHTS, Errno, FdFlags, FileType, OpenFlags, Rights, TimeFlags } from './abi.ts'
import type { WasiHost, WasiOptions } from './index.ts'
import { startGuest, type TestGuest } from './test-guest.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
const { CREAT, EXCL, TRUNC, DIRECTORY } = OpenFlags
const START = 946_684_800_000_000_000n

const FILES = [
  { path: 'data.csv', bytes: utf8('a,b\n1,2\n') },
  { path: 'folder/deep/file', bytes: utf8('deep') },
  { path: 'folder/other', bytes: new Uint8Array(10_000).fill(7) },
]
const OPTIONS: WasiOptions = {
  arguments: ['program'],
  environment: [],
  stdin: new Uint8Array(0),
  mounts: [
    { at: '/', writable: true, output: true, files: FILES },
    { at: '/lib', writable: false, output: false, files: [{ path: 'code', bytes: utf8('code') }] },
    { at: '/tmp', writable: true, output: false, files: [] },
  ],
  clockStartNs: START,
  seed: 0n,
  position: () => 0n,
  sha256,
}
const start = (options: Partial<WasiOptions> = {}) => startGuest({ ...OPTIONS, ...options })

const outputsOf = (wasi: WasiHost) =>
  Object.fromEntries(wasi.outputs().map(({ path, read }) => [path, Buffer.from(read()).toString()]))

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
    position = 16n * 77n
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

describe('read-only files', () => {
  const readOnly = { path: 'in/raw/data.csv', bytes: utf8('a,b'), readOnly: true }
  const own = { path: 'in/own', bytes: utf8('own') }
  const startWith = (options: Partial<WasiOptions> = {}) =>
    start({ mounts: [{ at: '/', writable: true, output: true, files: [own, readOnly] }], ...options })
  const READ = { rights: Rights.FD_READ }

  test('are found and read as all others', () => {
    const { guest, wasi } = startWith()
    const fd = guest.open('in/raw/data.csv', { ...READ, flags: CREAT }).value as number
    expect(guest.read(fd, 9).value).toEqual(utf8('a,b'))
    expect(guest.statPath('in/raw/data.csv').value).toMatchObject({ links: 1n, size: 3n, type: FileType.REGULAR_FILE })
    expect(
      guest.list(guest.open('in', { rights: Rights.FD_READDIR }).value as number).value?.map(([name]) => name),
    ).toEqual(['.', '..', 'own', 'raw'])
    expect(wasi.notes()).toEqual([])
  })

  test('keep content, length, times and name, whatever is tried', () => {
    const { guest, wasi } = startWith({ position: () => 7n })
    guest.symlink('in/raw/data.csv', 'link')
    const before = guest.statPath('in/raw/data.csv')
    const setTimes = (path: string) =>
      guest.call('path_filestat_set_times', 3, 1, ...guest.put(1024, utf8(path)), 0n, 0n, TimeFlags.MTIM)
    for (const path of ['in/raw/data.csv', 'link']) {
      expect(guest.open(path).errno).toBe(Errno.ROFS)
      expect(guest.open(path, { ...READ, flags: TRUNC }).errno).toBe(Errno.ROFS)
      expect(guest.open(path, { rights: Rights.FD_FILESTAT_SET_SIZE }).errno).toBe(Errno.ROFS)
      expect(setTimes(path)).toBe(Errno.ROFS)
    }
    const fd = guest.open('in/raw/data.csv', { rights: Rights.FD_READ | Rights.FD_FILESTAT_SET_TIMES }).value as number
    expect(guest.setTimes(fd, 0n, 0n, TimeFlags.ATIM_NOW).errno).toBe(Errno.ROFS)
    expect(guest.setSize(fd, 0n).errno).toBe(Errno.NOTCAPABLE)
    expect(guest.unlink('in/raw/data.csv').errno).toBe(Errno.ROFS)
    expect(guest.rename('in/raw/data.csv', 'moved').errno).toBe(Errno.ROFS)
    expect(guest.rename('in/own', 'in/raw/data.csv').errno).toBe(Errno.ROFS)
    expect(guest.link('in/raw/data.csv', 'again').errno).toBe(Errno.ROFS)
    expect(guest.statPath('in/raw/data.csv')).toEqual(before)
    expect(wasi.notes()).toEqual([{ code: 'READ_ONLY', detail: '/in/raw/data.csv', count: 13 }])
    expect(guest.link('in/own', 'in/raw/data.csv').errno).toBe(Errno.EXIST)
    expect(guest.makeDirectory('in/raw/data.csv').errno).toBe(Errno.EXIST)
  })

  test('keep the names of the folders that they are in', () => {
    const { guest, wasi } = startWith()
    guest.makeDirectory('in/raw/empty')
    for (const path of ['in', 'in/raw']) expect(guest.rename(path, 'elsewhere').errno).toBe(Errno.ROFS)
    expect(guest.removeDirectory('in/raw').errno).toBe(Errno.NOTEMPTY)
    expect(guest.rename('in/raw/empty', 'in/raw').errno).toBe(Errno.NOTEMPTY)
    expect(guest.rename('in/raw/empty', 'elsewhere').errno).toBe(0)
    expect(wasi.notes().map(({ detail }) => detail)).toEqual(['/in', '/in/raw'])
  })

  test('let other files be made, changed and removed beside them', () => {
    const { guest, wasi } = startWith()
    guest.write(guest.open('in/raw/new', { flags: CREAT | EXCL }).value as number, utf8('new'))
    expect(guest.rename('in/raw/new', 'in/raw/newer').errno).toBe(0)
    expect(guest.rename('in/own', 'in/raw/own').errno).toBe(0)
    expect(guest.open('in/raw/own', { flags: TRUNC }).errno).toBe(0)
    expect(guest.makeDirectory('in/raw/d').errno).toBe(0)
    expect(guest.symlink('data.csv', 'in/raw/link').errno).toBe(0)
    expect(outputsOf(wasi)).toEqual({ '/dev/stderr': '', '/dev/stdout': '', 'in/raw/newer': 'new', 'in/raw/own': '' })
    expect(guest.unlink('in/raw/newer').errno).toBe(0)
    expect(wasi.removed()).toEqual(['in/own'])
    expect(wasi.notes()).toEqual([])
  })

  test('are in the state what other inputs are: the computation tells them apart', () => {
    const { readOnly: _, ...writable } = readOnly
    const { wasi } = startWith({ mounts: [{ at: '/', writable: true, output: true, files: [own, writable] }] })
    expect(startWith().wasi.encodeState()).toEqual(wasi.encodeState())
  })
})

describe('the state', () => {
  test('has nothing of a mount that is not writable, and all of those before and behind it', () => {
    const holding = (path: string, saved?: WasiOptions['saved']) => {
      const library = { at: '/lib', writable: false, output: false, files: [{ path, bytes: utf8(path) }] }
      return start({ mounts: [OPTIONS.mounts[0], library, OPTIONS.mounts[2]], saved })
    }
    const { guest, wasi } = holding('code')
    expect(hex(holding('other').wasi.encodeState())).toBe(hex(wasi.encodeState()))
    const [work, temporary] = [3, 6]
    const states = new Set([hex(wasi.encodeState())])
    for (const dir of [temporary, work, temporary]) {
      expect(guest.makeDirectory(`new ${states.size}`, dir).errno).toBe(0)
      const state = hex(wasi.encodeState())
      states.add(state)
      expect(hex(holding('code', wasi.save()).wasi.encodeState())).toBe(state)
    }
    expect(states.size).toBe(4)
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

test('folders may be nested deeper than any stack, also in a host that goes on from there', () => {
  const { guest, wasi } = start()
  let dir = 3
  for (let depth = 0; depth < 20_000; depth++) {
    guest.makeDirectory('n', dir)
    const next = guest.open('n', { dir, rights: DIRECTORY_RIGHTS }).value as number
    if (dir !== 3) guest.close(dir)
    dir = next
  }
  expect(guest.open('file', { dir, flags: CREAT }).errno).toBe(0)
  const paths = wasi.outputs().map(({ path }) => path)
  expect(paths.at(-1)).toBe(`${'n/'.repeat(20_000)}file`)
  const saved = start({ saved: wasi.save() })
  expect(saved.wasi.outputs().map(({ path }) => path)).toEqual(paths)
})
