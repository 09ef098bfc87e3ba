/** Whatever the guest does, there is a record that says so. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guest, json, ROOT, Room, type RunAnswer } from './room.ts'

const vector = (path: string): Uint8Array => new Uint8Array(readFileSync(join(ROOT, 'vectors', path)))

const DEEP = 'def f(n):\n  return f(n + 1) + 1\ntry:\n  f(0)\nexcept RecursionError:\n  print("too deep")\n'
const GREEDY =
  'kept = []\ntry:\n  while True:\n    kept.append(bytearray(1 << 20))\nexcept MemoryError:\n  print("full")\n'

describe('a run whose program', () => {
  let room: Room
  let folder: string
  beforeAll(async () => {
    room = await Room.create()
    const modules = {
      'legacy.wasm': vector('wasm-programs/unwinding/legacy.wasm'),
      'exnref.wasm': vector('wasm-programs/unwinding/exnref.wasm'),
      'uncaught.wasm': vector('wasm/uncaught-exception/input.wasm'),
    }
    folder = await room.newFolder({ 'guest.wasm': await guest(), 'deep.py': DEEP, 'greedy.py': GREEDY, ...modules })
  })
  afterAll(() => room[Symbol.asyncDispose]())

  /** Runs, verifies and repeats; answers with what `run --json` said. */
  async function complete(words: readonly string[], code: number): Promise<RunAnswer> {
    const ran = await room.reprise(['run', '--json', ...words], { cwd: folder })
    expect(ran).toMatchObject({ code })
    const answer = json<RunAnswer>(ran)
    expect(answer.signedCheckpoints).toBe(answer.checkpoints)
    expect(await room.reprise(['verify', answer.record], { cwd: folder })).toMatchObject({ code: 0 })
    const repeated = await room.reprise(['repeat', '--json', answer.record], { cwd: folder })
    expect(repeated).toMatchObject({ code: 0 })
    expect(json(repeated)).toMatchObject({ repetition: 'reproduced', cumulative: answer.cumulative })
    return answer
  }

  test.each([0, 3, 255])('exits with %i ends with that code', async (code) => {
    expect(await complete(['guest.wasm', 'say', 'hi', 'exit', String(code)], code)).toMatchObject({ exit: { code } })
  })

  test.each([
    ['unreachable', 'unreachable'],
    ['abort', 'unreachable'],
    ['out-of-bounds', 'memory-out-of-bounds'],
    ['divide', 'divide-by-zero'],
    ['recurse', 'stack-exhausted'],
  ])('traps by %s ends with 134, and run and show say why', async (verb, trap) => {
    const answer = await complete(['guest.wasm', 'say', 'before', 'flush', verb], 134)
    expect(answer).toMatchObject({ exit: { trap } })
    expect(answer.outputs).toContainEqual(expect.objectContaining({ path: '/dev/stdout', length: 7 }))
    const shown = await room.reprise(['show', answer.record], { cwd: folder })
    expect(shown.stdout).toContain(`trapped: ${trap}`)
    const plain = await room.reprise(['run', 'guest.wasm', verb], { cwd: folder })
    expect(plain).toMatchObject({ code: 134, stderr: expect.stringContaining(`trapped: ${trap}`) as string })
  })

  test('throws what nothing catches ends with 134, too', async () => {
    expect(await complete(['uncaught.wasm'], 134)).toMatchObject({ exit: { trap: 'uncaught-exception' } })
  })

  test.each(['legacy', 'exnref'])('handles exceptions of the %s kind runs as ever', async (kind) => {
    await complete([`${kind}.wasm`], 0)
    const plain = await room.reprise(['run', `${kind}.wasm`], { cwd: folder })
    expect(plain).toMatchObject({ code: 0, stdout: 'c1f4b80e\n' })
  })

  test('wants more memory than --memory allows is told so and goes on', async () => {
    const answer = await complete(['--memory', '8MiB', 'guest.wasm', 'exhaust', 'exit', '7'], 7)
    const shown = await room.reprise(['run', '--memory', '8MiB', 'guest.wasm', 'exhaust'], { cwd: folder })
    expect(Number(/^(\d+) MiB$/m.exec(shown.stdout)?.[1])).toBeLessThan(8)
    expect(answer).toMatchObject({ exit: { code: 7 } })
  })

  test('is Python and recurses or allocates without end gets the exceptions of Python', async () => {
    const deep = await room.reprise(['run', 'python', 'deep.py'], { cwd: folder })
    expect(deep).toMatchObject({ code: 0, stdout: 'too deep\n' })
    const greedy = await room.reprise(['run', '--memory', '64MiB', 'python', 'greedy.py'], { cwd: folder })
    expect(greedy).toMatchObject({ code: 0, stdout: 'full\n' })
    await complete(['--memory', '64MiB', 'python', 'greedy.py'], 0)
  })
})
