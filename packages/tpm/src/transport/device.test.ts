/** The kernel's device, replayed from real exchanges, with everything in between that a driver may do. */

import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { TpmError } from '../error.ts'
import { type DeviceFile, openDeviceTransport } from './device.ts'
import { stateAndQuote } from './exchanges.ts'
import { type Exchange, type Fault, replay, type Replay, type ReplayOptions } from './replay.ts'

const folder = resolve(import.meta.dirname, '../../../../vectors/tpm-exchanges/boot')
const lines = readFileSync(join(folder, 'input.jsonl'), 'utf8').trimEnd().split('\n')
const exchanges = lines.map((line) => JSON.parse(line) as Exchange)
const expected: unknown = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))

afterEach(() => void vi.useRealTimers())

interface Played {
  readonly answer: Promise<unknown>
  readonly replayed: Replay
  readonly slept: number[]
}

function play(options: Omit<ReplayOptions, 'exchanges'> = {}, retriesMax?: number): Played {
  const replayed = replay({ exchanges, ...options })
  const slept: number[] = []
  const sleep = async (durationMs: number): Promise<void> => void slept.push(durationMs)
  const opening = openDeviceTransport('/dev/tpmrm9', { openFile: async () => replayed.file, sleep })
  const answer = opening.then((transport) =>
    stateAndQuote(transport, { sleep, ...(retriesMax !== undefined && { retriesMax }) }),
  )
  answer.catch(() => undefined)
  return { answer, replayed, slept }
}

/** The same faults at every exchange. */
const everywhere = (...faults: readonly Fault[]): ReadonlyMap<number, readonly Fault[]> =>
  new Map(exchanges.map((_, index) => [index, faults]))
const at = (index: number, ...faults: readonly Fault[]): ReadonlyMap<number, readonly Fault[]> =>
  new Map([[index, faults]])
const errno = (call: 'write' | 'read', code: string): Fault => ({ at: call, errno: code })
const code = (number: number): Fault => ({ at: 'write', code: number })

describe('a device', () => {
  test('gives what was recorded', async () => {
    const { answer, replayed } = play()
    expect(await answer).toEqual(expected)
    // The session and the key are flushed at the end.
    expect(replayed.done()).toBe(exchanges.length)
  })

  test.each([1, 7, 10, 11])('is read until the answer is whole, in pieces of %i bytes', async (pieceBytes) => {
    expect(await play({ pieceBytes }).answer).toEqual(expected)
  })

  test.each<[string, readonly Fault[]]>([
    ['an interrupted write', [errno('write', 'EINTR'), errno('write', 'EINTR')]],
    ['an interrupted read', [errno('read', 'EINTR'), errno('read', 'EINTR')]],
    ['a driver that is busy', [errno('write', 'EBUSY'), errno('write', 'EBUSY'), errno('write', 'EBUSY')]],
    ['an answer that is not there yet', [errno('read', 'EAGAIN'), errno('read', 'EAGAIN')]],
    ['TPM_RC_RETRY', [code(0x922), code(0x922)]],
    ['TPM_RC_YIELDED', [code(0x908)]],
    ['TPM_RC_TESTING', [code(0x90a), code(0x90a), code(0x90a)]],
    ['TPM_RC_NV_RATE', [code(0x920), code(0x920)]],
    ['TPM_RC_CANCELED', [code(0x909)]],
    ['slots that others hold', [code(0x902), code(0x903), code(0x904), code(0x905), code(0x906)]],
    ['TPM_RC_CONTEXT_GAP', [code(0x901)]],
    ['all of it', [errno('write', 'EINTR'), code(0x922), errno('read', 'EINTR'), errno('write', 'EBUSY'), code(0x920)]],
  ])('comes to the same over %s at every command', async (_, faults) => {
    const { answer } = play({ faults: everywhere(...faults), pieceBytes: 13 })
    expect(await answer).toEqual(expected)
  })

  test('is waited for by growing pauses that have an end', async () => {
    const { answer, slept } = play({ faults: at(3, ...Array.from({ length: 30 }, () => code(0x922))) })
    await expect(answer).rejects.toThrow(/TPM_RC_RETRY \[0x922\], after 24 retries/)
    expect(slept.slice(0, 4)).toEqual([5, 10, 20, 40])
    const allMs = slept.reduce((sum, each) => sum + each, 0)
    expect([allMs > 20_000, allMs < 60_000, Math.max(...slept)]).toEqual([true, true, 2000])
  })

  test('that is always busy is given up, with a word about who may hold it', async () => {
    const { answer, slept } = play({ faults: at(2, ...Array.from({ length: 60 }, () => errno('write', 'EBUSY'))) })
    await expect(answer).rejects.toMatchObject({ code: 'TRANSPORT', hint: expect.stringContaining('fuser') as string })
    const allMs = slept.reduce((sum, each) => sum + each, 0)
    expect([allMs > 20_000, allMs < 60_000]).toEqual([true, true])
  })

  test.each<[string, Fault]>([
    ['unplugged before a command', errno('write', 'ENODEV')],
    ['unplugged before an answer', errno('read', 'ENODEV')],
    ['without its driver', errno('write', 'EPIPE')],
    ['that cannot be read', errno('read', 'EIO')],
  ])('%s is said to be gone, and stays so', async (_, fault) => {
    for (const index of [0, Math.floor(exchanges.length / 2), exchanges.length - 3]) {
      const { answer, replayed } = play({ faults: at(index, fault) })
      await expect(answer).rejects.toMatchObject({
        code: 'TRANSPORT',
        message: expect.stringContaining('The TPM at /dev/tpmrm9 went away') as string,
        hint: expect.stringContaining('dmesg') as string,
      })
      expect(replayed.done()).toBe(index)
    }
  })

  test.each([0, 1, 9, 10, 11])('that ends its answer after %i bytes is said to have done so', async (afterBytes) => {
    const { answer } = play({ faults: at(4, { at: 'read', afterBytes }) })
    await expect(answer).rejects.toMatchObject({
      code: 'TRANSPORT',
      message: expect.stringContaining(`after ${afterBytes}`) as string,
    })
  })

  test('whose chip hangs is told from one that is gone', async () => {
    await expect(play({ faults: at(1, errno('read', 'ETIME')) }).answer).rejects.toMatchObject({
      code: 'TIMEOUT',
      hint: expect.stringContaining('off and on') as string,
    })
  })

  test('refuses with the name of who refused', async () => {
    const { answer } = play({ faults: at(6, code(0x000b008b)) })
    const error = (await answer.catch((thrown: unknown) => thrown)) as TpmError
    expect(error.message).toContain('TPM_RC_HANDLE by the resource manager')
    expect(error.response?.layer).toBe('resource manager')
  })

  test('that does not answer in time is given up, and closing it does not wait', async () => {
    vi.useFakeTimers()
    const never = new Promise<never>(() => undefined)
    const file: DeviceFile = {
      write: async (_bytes, _offset, length) => ({ bytesWritten: length }),
      read: () => never,
      close: () => never,
    }
    const transport = await openDeviceTransport('/dev/tpmrm9', { openFile: async () => file, timeoutMs: 1000 })
    const late = transport.send(Uint8Array.of(1)).catch((error: unknown) => error)
    await vi.advanceTimersByTimeAsync(1000)
    expect(await late).toMatchObject({ code: 'TIMEOUT' })
    await transport.close()
  })

  test.each([
    ['EACCES', 'usermod'],
    ['EBUSY', 'fuser'],
    ['ENOENT', 'no TPM'],
  ])('that cannot be opened (%s) says what to do', async (errorCode, hint) => {
    const openFile = async (): Promise<never> => {
      throw Object.assign(new Error(errorCode), { code: errorCode })
    }
    await expect(openDeviceTransport('/dev/tpmrm9', { openFile })).rejects.toMatchObject({
      code: 'TRANSPORT',
      hint: expect.stringContaining(hint) as string,
    })
  })

  test.each([
    ['longer than its header says', '80010000000c00000000123400'],
    ['beyond the limit', `800100001001${'00'.repeat(4091)}`],
  ])('with an answer %s is refused', async (_, response) => {
    const command = exchanges[0].command
    const { file } = replay({ exchanges: [{ command, response }] })
    const transport = await openDeviceTransport('/dev/tpmrm9', { openFile: async () => file })
    const sending = transport.send(new Uint8Array(Buffer.from(command, 'hex')))
    await expect(sending).rejects.toMatchObject({ code: 'MALFORMED' })
  })
})
