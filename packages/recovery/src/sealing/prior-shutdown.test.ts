/** How a host went down, told from files that were made for it. */

import { encodeTpmsAttest, fromHex, hex, TPM_ST, utf8 } from '@reprise/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type HeartbeatClock, readPriorShutdown, type SystemFiles } from './prior-shutdown.ts'
import { systemFiles } from './system-files.ts'

/** A boot statement as far as it is read here. @param orderly - Bit 31 of TPM_PT_STARTUP_CLEAR. */
function bootOf(now: HeartbeatClock, orderly: boolean): Parameters<typeof readPriorShutdown>[0]['boot'] {
  const attest = encodeTpmsAttest({
    qualifiedSigner: fromHex('000b'),
    extraData: new Uint8Array(32),
    clockInfo: { ...now, safe: true },
    firmwareVersion: 1n,
    type: TPM_ST.ATTEST_SESSION_AUDIT,
    attested: { exclusiveSession: false, sessionDigest: new Uint8Array(32) },
  })
  const response = `00000000060000000100000201${orderly ? '80000000' : '00000000'}`
  return { startup: { attest: hex(attest), response, signature: '' } }
}

const nothing: SystemFiles = {
  read: async () => undefined,
  list: async () => undefined,
  journalBefore: async () => undefined,
}

/** As the real ones read: a negative position counts from the end. */
function filesOf(contents: Readonly<Record<string, Uint8Array>>): SystemFiles['read'] {
  return async (path, lengthBytes, position = 0) => {
    const all = contents[path]
    const from = position < 0 ? Math.max(0, (all?.length ?? 0) + position) : position
    return all?.subarray(from, from + lengthBytes)
  }
}

const cut: HeartbeatClock = { clock: 90_000n, resetCount: 12, restartCount: 0 }
const sources = { files: nothing, boot: bootOf(cut, false), heartbeat: undefined, marker: false }
const BOOTED_S = 1_795_000_000

function record(type: number, user: string, seconds: number): Uint8Array {
  const bytes = new Uint8Array(384)
  const view = new DataView(bytes.buffer)
  view.setInt16(0, type, true)
  bytes.set(utf8('~'), 8)
  bytes.set(utf8(user), 44)
  view.setUint32(340, seconds, true)
  return bytes
}
const rebooted = (seconds: number): Uint8Array => record(2, 'reboot', seconds)
const shutDown = (seconds: number): Uint8Array => record(1, 'shutdown', seconds)
const login = record(7, 'alice', BOOTED_S + 5)

function superblock(state: number, incompat: number): Uint8Array {
  const device = new Uint8Array(4096)
  const view = new DataView(device.buffer, 1024)
  view.setUint16(0x38, 0xef53, true)
  view.setUint16(0x3a, state, true)
  view.setUint32(0x60, incompat, true)
  return device
}

describe('what the TPM says', () => {
  const of = async (now: HeartbeatClock, heartbeat: HeartbeatClock | undefined, orderly = false) => {
    const told = await readPriorShutdown({ ...sources, boot: bootOf(now, orderly), heartbeat })
    const names = ['orderly', 'resetIncrease', 'restartIncrease', 'poweredMs'] as const
    expect(names.every((name) => told[name].signed && told[name].source === 'tpm')).toBe(true)
    return names.map((name) => told[name].value)
  }
  const heartbeat = { clock: 50_000n, resetCount: 10, restartCount: 2 }

  test('counts from the last heartbeat on', async () => {
    expect(await of(cut, heartbeat)).toEqual([false, 2, 0, 40_000])
    expect(await of(cut, heartbeat, true)).toEqual([true, 2, 0, 40_000])
  })
  test('tells nothing of a Shutdown when the last start was no reset', async () => {
    expect(await of({ ...cut, resetCount: 10, restartCount: 3 }, heartbeat, true)).toEqual([undefined, 0, 1, 40_000])
  })
  test('tells nothing without a heartbeat, or when counts or clock went back', async () => {
    expect(await of(cut, undefined)).toEqual([false, undefined, undefined, undefined])
    expect(await of({ ...cut, resetCount: 9 }, heartbeat)).toEqual([false, undefined, undefined, undefined])
    expect(await of({ ...cut, clock: 1n }, heartbeat)).toEqual([false, 2, 0, undefined])
  })
})

describe('what the system says', () => {
  test('nothing at all, where nothing is there', async () => {
    const told = await readPriorShutdown({ ...sources, device: '/dev/vda1' })
    const named = ['bootId', 'journalShutdown', 'wtmpShutdown', 'kernelCrash', 'fileSystemClean'] as const
    for (const name of named) expect(told[name]).toMatchObject({ value: undefined, signed: false })
    expect(told.cleanMarker).toEqual({ value: false, source: 'marker', signed: false })
  })

  test.each([
    [
      'a shutdown before this boot',
      [rebooted(BOOTED_S - 9e5), shutDown(BOOTED_S - 60), rebooted(BOOTED_S), login],
      true,
    ],
    ['a boot before this one, and no shutdown', [rebooted(BOOTED_S - 9e5), login, rebooted(BOOTED_S + 3)], false],
    ['a shutdown, and this boot not recorded yet', [rebooted(BOOTED_S - 9e5), shutDown(BOOTED_S - 60)], true],
    ['only this boot', [rebooted(BOOTED_S)], undefined],
    ['a torn record', [shutDown(BOOTED_S), new Uint8Array(100)], undefined],
    ['no record', [], undefined],
  ])('wtmp: %s', async (_, records, expected) => {
    const read = filesOf({
      '/var/log/wtmp': new Uint8Array(Buffer.concat(records)),
      '/proc/stat': utf8(`cpu 1 2\nbtime ${BOOTED_S}\nprocesses 3\n`),
    })
    expect((await readPriorShutdown({ ...sources, files: { ...nothing, read } })).wtmpShutdown.value).toBe(expected)
  })

  test.each([
    ['Stopped target Basic System.\nReached target System Shutdown.\nReached target Late Shutdown Services.', true],
    ['Reached target shutdown.target - System Shutdown.', true],
    ['Reached target poweroff.target - System Power Off.', true],
    ['Reached target Power-Off.', true],
    ['Started Session 4 of User alice.\nReached target multi-user.target - Multi-User System.', false],
    ['', undefined],
  ])('journal: %j', async (tail, expected) => {
    const files = { ...nothing, journalBefore: async () => tail }
    expect((await readPriorShutdown({ ...sources, files })).journalShutdown.value).toBe(expected)
  })

  test.each([
    [['dmesg-efi-165467565801001'], true],
    [['console-ramoops-0'], false],
    [[], false],
  ])('pstore with %j', async (names, expected) => {
    const list = async (path: string): Promise<readonly string[] | undefined> =>
      path === '/sys/fs/pstore' ? names : undefined
    expect((await readPriorShutdown({ ...sources, files: { ...nothing, list } })).kernelCrash.value).toBe(expected)
  })

  test.each([
    ['clean', superblock(1, 0x2c2), true],
    ['with a journal to replay', superblock(1, 0x2c6), false],
    ['not unmounted', superblock(0, 0x2c2), false],
    ['with errors', superblock(3, 0x2c2), false],
    ['of another kind', new Uint8Array(4096), undefined],
    ['cut', new Uint8Array(1500), undefined],
  ])('a file system that is %s', async (_, device, expected) => {
    const read = filesOf({ '/dev/vda1': device })
    const told = await readPriorShutdown({ ...sources, files: { ...nothing, read }, device: '/dev/vda1' })
    expect(told.fileSystemClean.value).toBe(expected)
  })

  test('any bytes are read to an end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 4096 }), fc.string(), async (bytes, tail) => {
        const files: SystemFiles = {
          read: async (path, lengthBytes, position = 0) => filesOf({ [path]: bytes })(path, lengthBytes, position),
          list: async () => [tail],
          journalBefore: async () => tail,
        }
        await readPriorShutdown({ ...sources, files, device: '/dev/vda1' })
      }),
    )
  })

  test('on a real system: the boot that runs, and no error for what is not there', async () => {
    const told = await readPriorShutdown({ ...sources, files: systemFiles, device: '/nowhere' })
    expect(told.bootId.value).toMatch(/^[0-9a-f-]{36}$/)
    expect(told.fileSystemClean.value).toBeUndefined()
  })
})
