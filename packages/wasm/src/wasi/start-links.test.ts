import { hash } from 'node:crypto'
import { fromUtf8, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { Errno } from './abi.ts'
import { isUntouched, type WasiOptions, type WasiStart } from './index.ts'
import { startGuest, type TestGuest } from './test-guest.ts'

const FOLDER = 3
const TMP = 5

function optionsOf(start: WasiStart | undefined, more: Partial<WasiOptions> = {}): WasiOptions {
  return {
    arguments: ['python', 'a.py', 'é'],
    environment: [
      ['A', '1'],
      ['B', 'x=y'],
    ],
    stdin: new Uint8Array(),
    mounts: [
      { at: '/', writable: true, output: true, files: [] },
      { at: '/tmp', writable: true, output: false, files: [] },
    ],
    clockStartNs: 0n,
    seed: 0n,
    position: () => 0n,
    sha256: (data) => hash('sha256', data, 'buffer'),
    start,
    ...more,
  }
}

const PATH_AT = 1024
const BUFFER_AT = 65_536
const USED_AT = 64

function readLink(guest: TestGuest, fd: number, path: string, lengthBytes = 4096): string | number {
  const bytes = utf8(path)
  new Uint8Array(guest.memory.buffer).set(bytes, PATH_AT)
  const errno = guest.call('path_readlink', fd, PATH_AT, bytes.length, BUFFER_AT, lengthBytes, USED_AT)
  if (errno !== 0) return errno
  return fromUtf8(guest.bytes(BUFFER_AT, guest.view.getUint32(USED_AT, true)))
}

function look(guest: TestGuest, fd: number, path: string): number {
  const bytes = utf8(path)
  new Uint8Array(guest.memory.buffer).set(bytes, PATH_AT)
  return guest.call('path_filestat_get', fd, 0, PATH_AT, bytes.length, USED_AT)
}

describe('in a computation that begins warm', () => {
  test('the guest reads its arguments and variables, and nothing of that is in the state', () => {
    const { wasi, guest } = startGuest(optionsOf({ kind: 'warm' }))
    const before = wasi.encodeState()
    expect(readLink(guest, FOLDER, 'dev/reprise/arguments/0')).toBe('python\0a.py\0é\0')
    expect(readLink(guest, FOLDER + 1, 'dev/reprise/environment/0')).toBe('A=1\0B=x=y\0')
    expect(readLink(guest, FOLDER, 'dev/reprise/arguments/0', 4)).toBe('pyth')
    expect(wasi.encodeState()).toEqual(before)
  })

  test('long ones come in pieces of 1,024 bytes', () => {
    const { guest } = startGuest(optionsOf({ kind: 'warm' }, { arguments: ['x'.repeat(2047)], environment: [] }))
    const pieces = [0, 1, 2].map((i) => readLink(guest, FOLDER, `dev/reprise/arguments/${i}`))
    expect(pieces).toEqual(['x'.repeat(1024), `${'x'.repeat(1023)}\0`, Errno.NOENT])
    expect(readLink(guest, FOLDER, 'dev/reprise/environment/0')).toBe(Errno.NOENT)
  })

  test.each([
    'dev/reprise/arguments',
    'dev/reprise/arguments/00',
    'dev/reprise/arguments/-1',
    './dev/reprise/arguments/0',
  ])('%s is a path like any other', (path) => {
    const { guest } = startGuest(optionsOf({ kind: 'warm' }))
    expect(readLink(guest, FOLDER, path)).toBe(Errno.NOENT)
  })

  test('no other folder, call or computation knows the names', () => {
    const { guest } = startGuest(optionsOf({ kind: 'warm' }))
    expect(readLink(guest, TMP, 'dev/reprise/arguments/0')).toBe(Errno.NOENT)
    expect(look(guest, FOLDER, 'dev/reprise/arguments/0')).toBe(Errno.NOENT)
    for (const start of [undefined, { kind: 'warm-up', onWarm: () => {} }] as const)
      expect(readLink(startGuest(optionsOf(start)).guest, FOLDER, 'dev/reprise/arguments/0')).toBe(Errno.NOENT)
  })
})

describe('in a warm-up', () => {
  test('the guest says that it is warm by a look at a name where nothing is', () => {
    let times = 0
    const { guest } = startGuest(optionsOf({ kind: 'warm-up', onWarm: () => (times += 1) }))
    expect(look(guest, TMP, 'dev/reprise/warm')).toBe(Errno.NOENT)
    expect(times).toBe(0)
    expect(look(guest, FOLDER, 'dev/reprise/warm')).toBe(Errno.NOENT)
    expect(times).toBe(1)
  })

  test('a host is untouched until something but the clock was used', () => {
    const { wasi, guest } = startGuest(optionsOf({ kind: 'warm-up', onWarm: () => {} }))
    const before = wasi.encodeState()
    guest.call('clock_time_get', 0, 0n, USED_AT)
    expect(isUntouched(before, wasi.encodeState())).toBe(true)
    guest.call('random_get', BUFFER_AT, 1)
    expect(isUntouched(before, wasi.encodeState())).toBe(false)
  })
})
