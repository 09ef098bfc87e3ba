/** The scanner's protocol: what the scanner makes of bad requests, and its client of bad answers. */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ScannerClient } from '../../packages/runner/src/dirty-pages/scanner-client.ts'
import { SCANNER } from './children.ts'

const MAGIC = 0x31474450
const [EINVAL, ENOTTY] = [22, 25]
const HELLO = [1, 0, 0, 0]

/** A scanner that holds no userfaultfd and no page map. */
async function startScanner(): Promise<ChildProcess> {
  const child = spawn(SCANNER, [String(process.pid)], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  return child
}

/** Sends words, closes the requests, and reads the answers to their end. */
async function exchange(words: readonly number[]): Promise<{ readonly answers: number[]; readonly code: unknown }> {
  const child = await startScanner()
  const ended = once(child, 'exit')
  const [requests, answers] = [openSync(`/proc/${child.pid}/fd/6`, 'w'), openSync(`/proc/${child.pid}/fd/7`, 'r')]
  writeSync(requests, Uint32Array.from([...HELLO, ...words]))
  closeSync(requests)
  const received = Buffer.alloc(1000)
  let length = 0
  for (let count; (count = readSync(answers, received, length, received.length - length, null)) > 0;) length += count
  closeSync(answers)
  const [code] = (await ended) as [unknown]
  return { answers: [...new Uint32Array(received.buffer, received.byteOffset, length / 4)], code }
}

describe('the scanner', () => {
  test.each([
    ['an unknown kind', [9, 1, 0x1000, 0]],
    ['no pages', [3, 0, 0x1000, 0]],
    ['more pages than a memory has', [3, (1 << 20) + 1, 0x1000, 0]],
    ['an address within a page', [2, 1, 0x1001, 0]],
    ['an address that no process has', [2, 1, 0, 0xffff_f000]],
    ['a greeting with pages', [1, 1, 0, 0]],
  ])('refuses %s', async (_, request) => {
    expect(await exchange(request)).toEqual({ answers: [MAGIC, 0, 0, MAGIC, EINVAL, 0], code: 0 })
  })

  test('tells what the kernel refuses, and ends at half a request', async () => {
    const answers = [MAGIC, 0, 0, ...[1, 2, 3].flatMap(() => [MAGIC, ENOTTY, 0])]
    expect(await exchange([2, 1, 0x1000, 0, 3, 1, 0x1000, 0, 4, 1, 0x1000, 0, 4, 1])).toEqual({ answers, code: 0 })
  })

  test('does not serve a process that is not its parent', async () => {
    const child = spawn(SCANNER, ['1'], { stdio: 'ignore' })
    expect(await once(child, 'exit')).toEqual([2, null])
  })
})

describe('its client does not believe', () => {
  /** Asks for the pages written among four, of a process that has these answers ready after its greeting. */
  async function take(...answers: readonly number[][]): Promise<unknown> {
    const bytes = Buffer.from(Uint32Array.from([[MAGIC, 0, 0], ...answers].flat()).buffer)
    const octal = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
    // Pipes of the shell itself: coprocesses that only wait.
    const script = `coproc A { read -r; }; exec 6>&\${A[1]}; exec 7< <(printf '${octal}'); echo ready; read -r`
    const child = spawn('bash', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] })
    try {
      await once(child.stdout, 'data')
      if (child.pid === undefined) throw new Error('no shell')
      return new ScannerClient(child.pid).take(0x1000, 4)
    } finally {
      child.kill('SIGKILL')
    }
  }

  test('more than it must: this can be', async () => {
    expect(await take([MAGIC, 0, 2, 0, 1, 2, 2])).toEqual([
      { first: 0, count: 1 },
      { first: 2, count: 2 },
    ])
  })

  test.each([
    ['another version', [MAGIC + 1, 0, 0], 'another version'],
    ['an error of the kernel', [MAGIC, 1, 0], 'error 1'],
    ['more runs than pages', [MAGIC, 0, 5], 'more runs'],
    ['pages past the end', [MAGIC, 0, 1, 3, 2], 'disorder'],
    ['runs that touch', [MAGIC, 0, 2, 0, 1, 1, 1], 'disorder'],
    ['runs that go back', [MAGIC, 0, 2, 2, 1, 0, 1], 'disorder'],
    ['an empty run', [MAGIC, 0, 1, 1, 0], 'disorder'],
    ['half an answer', [MAGIC, 0, 1, 1], 'has ended'],
  ])('%s', async (_, answer, message) => {
    await expect(take(answer)).rejects.toThrow(message)
  })
})
