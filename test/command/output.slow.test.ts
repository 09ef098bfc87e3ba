/** What a command writes while it runs: every byte, at the reader's pace, and a progress line for people only. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { guest, json, namesIn, Room, type RunAnswer } from './room.ts'

let room: Room
let program: Uint8Array
let folder: string
beforeAll(async () => {
  room = await Room.create()
  program = await guest()
})
afterAll(() => room[Symbol.asyncDispose]())
beforeEach(async () => {
  folder = await room.newFolder({ 'guest.wasm': program })
})

/** The most memory that a process has had, in MiB: proc_pid_status(5). */
async function peakMebibytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024
}

describe('output', () => {
  test('of 50 MiB comes byte for byte through a slow pipe, and is not kept in memory many times', async () => {
    const { child, ended } = room.start(['run', 'guest.wasm', 'print', '50'], { cwd: folder, readsStdout: true })
    const digest = createHash('sha256')
    let lengthBytes = 0
    let peak = 0
    for await (const chunk of child.stdout! as AsyncIterable<Buffer>) {
      digest.update(chunk)
      lengthBytes += chunk.length
      peak = Math.max(peak, await peakMebibytes(child.pid!))
      await sleep(1)
    }
    expect(await ended).toMatchObject({ code: 0 })
    expect(lengthBytes).toBe(50 << 20)
    // Node and the machine are 120 MiB; the output is held once while it runs, and moved at the end.
    expect(peak).toBeGreaterThan(100)
    expect(peak).toBeLessThan(350)
    const shown = await room.reprise(['show', '--json', 'guest.reprise'], { cwd: folder })
    const { document } = json<{ document: { outcome: { outputs: RunAnswer['outputs'] } } }>(shown)
    const stdout = document.outcome.outputs.find(({ path }) => path === '/dev/stdout')
    expect(stdout?.sha256).toBe(digest.digest('hex'))
  })

  test('whose reader leaves early is all in the record, and the program ends as it would have', async () => {
    const wrap = ['sh', '-c', '{ "$@"; echo "code $?" >&2; } | head -c 10', 'sh']
    const words = ['run', 'guest.wasm', 'print', '5', 'write', 'out.txt', 'x', 'exit', '7']
    const { stderr } = await room.reprise(words, { cwd: folder, wrap })
    expect(stderr).toMatch(/^exited 7 [^]*^code 7$/m)
    expect(await namesIn(folder)).toEqual(['guest.reprise', 'guest.wasm', 'out.txt'])
    expect(await room.reprise(['verify', 'guest.reprise'], { cwd: folder })).toMatchObject({ code: 0 })
  })

  test('of both streams into a pipe that closes does no harm', async () => {
    const wrap = ['sh', '-c', '{ "$@"; } 2>&1 | head -n 1', 'sh']
    const words = ['run', 'guest.wasm', 'complain', 'first', 'print', '2', 'complain', 'last']
    expect(await room.reprise(words, { cwd: folder, wrap })).toMatchObject({ code: 0, stdout: 'first\n' })
    expect(await namesIn(folder)).toEqual(['guest.reprise', 'guest.wasm'])
    for (const command of ['verify', 'show'])
      expect((await room.reprise([command, 'guest.reprise'], { cwd: folder, wrap })).stdout).toMatch(/^verified.*\n$/)
  })

  test('keeps the streams apart, and in the order in which they were written', async () => {
    const words = ['say', 'a', 'flush', 'complain', 'b', 'say', 'c', 'flush', 'complain', 'd']
    const { stdout, stderr } = await room.reprise(['run', 'guest.wasm', ...words], { cwd: folder })
    expect(stdout).toBe('a\nc\n')
    expect(stderr).toMatch(/^b\nd\nexited 0 /)
    const wrap = ['sh', '-c', '"$@" 2>&1', 'sh']
    const mixed = await room.reprise(['run', 'guest.wasm', ...words], { cwd: folder, wrap })
    expect(mixed.stdout).toMatch(/^a\nb\nc\nd\n/)
  })
})

describe('progress', () => {
  const CLEAR = '\r\u001b[K'
  const run = ['run', '--checkpoint', 'every=100000000', 'guest.wasm']
  const words = [...run, 'say', 'before', 'flush', 'spin', '500', 'say', 'after']

  /** @param command - What the shell does with the words. */
  async function onTerminal(command: string, said: readonly string[]): Promise<{ shown: string[]; left: string[] }> {
    const wrap = ['sh', '-c', command, 'sh']
    const env = { TERM: 'xterm', COLUMNS: '200', NO_COLOR: '1' }
    const { stdout } = await room.reprise(said, { cwd: folder, wrap, env })
    const lines = stdout.replaceAll('\r\n', '\n').split('\n')
    const shown = lines.flatMap((line) => line.split(CLEAR).slice(1)).filter((text) => text !== '')
    // What stays on the screen is what follows the last clearing of each line.
    return { shown, left: lines.map((line) => line.split(CLEAR).at(-1) ?? '') }
  }
  const isRunning = (text: string): boolean => text.startsWith('running  position ')

  test('on a terminal is one line that renews itself and vanishes before anything else is written', async () => {
    const { shown, left } = await onTerminal('script -qec "$*" /dev/null', words)
    expect(shown.filter(isRunning).length).toBeGreaterThan(0)
    expect(left.slice(0, 2)).toEqual(['before', 'after'])
    expect(left[2]).toMatch(/^exited 0 /)
    expect(left.join('\n')).not.toMatch(/position/)
  })

  test('on a terminal leaves alone a line that the program has begun', async () => {
    const begun = [...run, 'begin', 'counting...', 'flush', 'spin', '500', 'say', 'done', 'flush', 'spin', '500']
    const { shown, left } = await onTerminal('script -qec "$*" /dev/null', [...begun, 'begin', 'open', 'flush'])
    expect(left.slice(0, 2)).toEqual(['counting...done', 'open'])
    expect(left[2]).toMatch(/^exited 0 /)
    expect(shown.filter(isRunning).length).toBeGreaterThan(0)
  })

  test('on a terminal leaves it alone while the program writes into a file, too', async () => {
    const begun = [...run, 'warn', 'counting...', 'say', 'data', 'flush', 'spin', '500', 'complain', 'done']
    const { left } = await onTerminal('script -qec "$* >data.txt" /dev/null', begun)
    expect(left[0]).toBe('counting...done')
    expect(await readFile(join(folder, 'data.txt'), 'utf8')).toBe('data\n')
  })

  test('into a file or a pipe is not written', async () => {
    const { code, stdout, stderr } = await room.reprise(words, { cwd: folder })
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'before\nafter\n' })
    expect(stderr).not.toMatch(/[\r\u001b]|position/)
  })
})
