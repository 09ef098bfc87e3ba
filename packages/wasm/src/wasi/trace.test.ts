import { hash } from 'node:crypto'
import { utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { createWasi, type HostCall } from './index.ts'

const BUFFER = 1024

function host(onCall?: (call: HostCall) => void) {
  const memory = new Uint8Array(1 << 16)
  const wasi = createWasi({
    arguments: ['guest'],
    environment: [],
    stdin: utf8('stdin'),
    mounts: [{ at: '/', writable: true, output: true, files: [{ path: 'data/in.txt', bytes: utf8('0123456789') }] }],
    clockStartNs: 0n,
    seed: 0n,
    position: () => 0n,
    sha256: (data) => hash('sha256', data, 'buffer'),
    onCall,
  })
  wasi.bind(memory)
  const call = (name: string, ...parameters: (number | bigint)[]): number | undefined =>
    wasi.function('wasi_snapshot_preview1', name)?.(...parameters)
  const text = (at: number, value: string): number => {
    memory.set(utf8(value), at)
    return value.length
  }
  return { memory, call, text }
}

/** Opens the file, reads four bytes and then what is left, draws, asks for what is not there. */
function work({ memory, call, text }: ReturnType<typeof host>): (number | undefined)[] {
  const view = new DataView(memory.buffer)
  const answers = [call('path_open', 3, 0, 256, text(256, 'data/in.txt'), 0, 2n, 0n, 0, 16)]
  const fd = view.getUint32(16, true)
  view.setUint32(32, BUFFER, true)
  view.setUint32(36, 4, true)
  answers.push(call('fd_read', fd, 32, 1, 48), call('fd_read', fd, 32, 1, 48), call('fd_pread', fd, 32, 1, 7n, 48))
  answers.push(call('fd_read', 0, 32, 1, 48), call('random_get', BUFFER, 8), call('fd_seek', -1, 0n, 0, 48))
  answers.push(call('sched_yield'))
  return answers
}

describe('a host that tells of its calls', () => {
  test('tells name, parameters, answer, where it wrote and what it was about', () => {
    const told: unknown[] = []
    work(host((call) => told.push({ ...call, subject: call.subject() })))
    const read = (offset: number) => ({ name: 'fd_read', errno: 0, subject: { path: 'data/in.txt', offset } })
    expect(told).toMatchObject([
      { name: 'path_open', errno: 0, written: [{ at: 16, lengthBytes: 4 }], subject: { path: 'data/in.txt' } },
      { ...read(0), written: [{ at: BUFFER, lengthBytes: 4 }, { at: 48, lengthBytes: 4 }] }, // prettier-ignore
      read(4),
      { name: 'fd_pread', subject: { path: 'data/in.txt', offset: 7 }, parameters: [5, 32, 1, 7n, 48] },
      { name: 'fd_read', subject: { path: '/dev/stdin', offset: 0 } },
      { name: 'random_get', written: [{ at: BUFFER, lengthBytes: 8 }], subject: undefined },
      { name: 'fd_seek', errno: 8, parameters: [0xffff_ffff, 0n, 0, 48], written: [], subject: undefined },
      { name: 'sched_yield', errno: 0, parameters: [], written: [] },
    ])
  })

  test('tells of the call that ends the guest too', () => {
    const told: HostCall[] = []
    const { call } = host((each) => told.push(each))
    expect(() => call('proc_exit', 3)).toThrow('the guest left with 3')
    expect(told).toMatchObject([{ name: 'proc_exit', parameters: [3] }])
  })

  test('does what one does that tells nothing', () => {
    const [quiet, telling] = [host(), host(() => {})]
    expect(work(telling)).toEqual(work(quiet))
    expect(telling.memory).toEqual(quiet.memory)
  })
})
