import { createHash } from 'node:crypto'
import { hex, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { Errno, FILE_RIGHTS, FileType, OpenFlags, Rights } from './abi.ts'
import type { WasiOptions } from './index.ts'
import { startGuest } from './test-guest.ts'

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest())
const { CREAT, EXCL, TRUNC, DIRECTORY } = OpenFlags
const START = 946_684_800_000_000_000n

function start(
  paths: readonly string[] = ['data.csv'],
  { writable = true, saved }: Partial<{ writable: boolean; saved: WasiOptions['saved'] }> = {},
) {
  return startGuest({
    arguments: ['program'],
    environment: [],
    stdin: utf8('in'),
    mounts: [
      { at: '/', writable, output: true, files: paths.map((path) => ({ path, bytes: utf8('mine') })) },
      { at: '/tmp', writable: true, output: false, files: [] },
    ],
    clockStartNs: START,
    seed: 0n,
    position: () => 1600n,
    sha256,
    ...(saved !== undefined && { saved }),
  })
}

describe('/dev/null', () => {
  test('takes everything, gives nothing, and stays at its beginning', () => {
    const { guest, wasi } = start()
    const fd = guest.open('dev/null', { flags: CREAT | TRUNC }).value as number
    expect(guest.write(fd, utf8('a long line')).value).toBe(11)
    expect(guest.write(fd, utf8('at a place'), 7n).value).toBe(10)
    expect(guest.tell(fd).value).toBe(0n)
    for (const whence of ['set', 'current', 'end'] as const) expect(guest.seek(fd, 5n, whence).value).toBe(0n)
    expect(guest.call('fd_seek', fd, 0n, 9, 64)).toBe(Errno.INVAL)
    expect(guest.read(fd, 10).value).toEqual(utf8(''))
    expect(guest.read(fd, 10, 3n).value).toEqual(utf8(''))
    for (const call of ['fd_sync', 'fd_datasync']) expect(guest.call(call, fd)).toBe(Errno.SUCCESS)
    expect(guest.setSize(fd, 3n).errno).toBe(Errno.INVAL)
    expect(guest.allocate(fd, 0n, 3n).errno).toBe(Errno.INVAL)
    expect(guest.setTimes(fd, 1n, 1n, 5).errno).toBe(Errno.INVAL)
    expect(guest.list(fd).errno).toBe(Errno.NOTCAPABLE)
    expect(wasi.outputs().map(({ path }) => path)).toEqual(['/dev/stderr', '/dev/stdout'])
    expect(wasi.notes()).toEqual([])
  })

  test('is a character device of no size, by descriptor and by name', () => {
    const { guest } = start()
    const fd = guest.open('dev/null').value as number
    const expected = {
      type: FileType.CHARACTER_DEVICE,
      links: 1n,
      size: 0n,
      inode: 0n,
      accessed: START,
      modified: START,
    }
    expect(guest.stat(fd).value).toEqual(expected)
    expect(guest.statPath('dev/null').value).toEqual(expected)
    expect(guest.statPath('dev/null', { dir: 4, follow: false }).value).toEqual(expected)
    guest.call('fd_fdstat_get', fd, 64)
    expect(Number(guest.view.getBigUint64(72, true))).toBe(FILE_RIGHTS)
    // No terminal: wasi-libc sees that by these rights.
    expect(FILE_RIGHTS & (Rights.FD_SEEK | Rights.FD_TELL)).not.toBe(0)
  })

  test('cannot be made or entered, and opens for writing where the mount is read-only', () => {
    const { guest } = start(['data.csv'], { writable: false })
    expect(guest.open('dev/null', { flags: CREAT | EXCL }).errno).toBe(Errno.EXIST)
    expect(guest.open('dev/null', { flags: DIRECTORY }).errno).toBe(Errno.NOTDIR)
    expect(guest.write(guest.open('dev/null').value as number, utf8('x')).value).toBe(1)
  })

  test('has one path, below the first mount, and is in no listing', () => {
    const { guest } = start()
    const others = ['dev', 'dev/', 'dev/null/', './dev/null', 'dev//null', 'dev/zero']
    expect(others.map((path) => guest.statPath(path).errno)).toEqual(others.map(() => Errno.NOENT))
    expect(guest.open('dev/null', { dir: 5 }).errno).toBe(Errno.NOENT)
    expect(guest.unlink('dev/null').errno).toBe(Errno.NOENT)
    expect(guest.list(3).value?.map(([name]) => name)).toEqual(['.', '..', 'data.csv'])
  })

  test.each([
    { paths: ['dev/null'], errno: Errno.SUCCESS },
    { paths: ['dev'], errno: Errno.NOTDIR },
  ])('is not there where the first mount has $paths', ({ paths, errno }) => {
    const { guest } = start(paths)
    const { errno: found, value: fd } = guest.open('dev/null')
    expect(found).toBe(errno)
    if (fd !== undefined) expect(guest.read(fd, 10).value).toEqual(utf8('mine'))
  })

  test('stands beside the files of a folder dev', () => {
    const { guest } = start(['dev/tools.txt'])
    expect(guest.stat(guest.open('dev/null', { flags: CREAT }).value as number).value?.inode).toBe(0n)
    expect(guest.rename('dev/tools.txt', 'dev/null').errno).toBe(0)
    expect(guest.statPath('dev/null').value?.size).toBe(4n)
  })

  test('leaves no trace in the state of a guest that does not open it, or has closed it', () => {
    const { guest, wasi } = start()
    const before = hex(wasi.encodeState())
    expect(guest.statPath('dev/null').errno).toBe(0)
    const fd = guest.open('dev/null').value as number
    const open = hex(wasi.encodeState())
    expect(open).not.toBe(before)
    guest.write(fd, utf8('x'))
    guest.read(fd, 1)
    guest.seek(fd, 1n, 'set')
    expect(hex(wasi.encodeState())).toBe(open)
    guest.close(fd)
    expect(hex(wasi.encodeState())).toBe(before)
  })

  test('takes the place of a stream, and of both after a restore', () => {
    const { guest, wasi } = start()
    const fd = guest.open('dev/null').value as number
    expect(guest.renumber(fd, 1).errno).toBe(0)
    expect(guest.write(1, utf8('unseen')).value).toBe(6)
    const second = start(['data.csv'], { saved: wasi.save() })
    expect(hex(second.wasi.encodeState())).toBe(hex(wasi.encodeState()))
    expect(second.guest.write(1, utf8('unseen')).value).toBe(6)
    expect(second.guest.stat(1).value).toMatchObject({ inode: 0n, type: FileType.CHARACTER_DEVICE })
    expect(second.wasi.outputs().map(({ path, lengthBytes }) => [path, lengthBytes])).toEqual([
      ['/dev/stderr', 0],
      ['/dev/stdout', 0],
    ])
  })
})
