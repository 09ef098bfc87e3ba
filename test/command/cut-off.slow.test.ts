/** What an outage cut off goes on by one command; what a person ended does not. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { killProcess } from '../../packages/host/src/software-home.ts'
import { journalOf, peek, peekHeld, runsIn } from './journals.ts'
import { guest, namesIn, Room, type Running } from './room.ts'

const FINE = ['--snapshot-ms', '150', '--checkpoint', 'every=40000000']

let room: Room
beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

async function signedRun(running: Running, home: string, known: readonly string[]): Promise<string> {
  for (;;) {
    if (running.child.exitCode !== null) throw new Error((await running.ended).stderr)
    const run = (await runsIn(home)).find((id) => !known.includes(id))
    const read = run === undefined ? undefined : await peekHeld(running.child, home, run)
    if (read?.snapshots.some(({ seq }) => seq <= read.signedSeq)) return read.run
    await sleep(20)
  }
}

test('runs that were cut off go on; those that ended, or were ended, are left alone', async () => {
  const home = await room.newHost('outage')
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  const start = (word: string): Running =>
    room.start(['run', '-o', `${word}.reprise`, ...FINE, 'guest.wasm', 'say', word, 'spin', '1500'], {
      cwd: folder,
      home,
    })
  const runs: string[] = []
  for (const [word, signal] of [
    ['one', 'SIGKILL'],
    ['two', 'SIGINT'],
    ['three', 'SIGKILL'],
  ] as const) {
    const running = start(word)
    runs.push(await signedRun(running, home, runs))
    running.child.kill(signal)
    await running.ended
  }
  await killProcess(home, 'swtpm')
  await killProcess(home, 'signer')

  const answer = await room.reprise(['resume', '--cut-off'], { cwd: folder, home })
  expect(answer).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('2 runs of this host were cut off') as string,
  })
  expect((await Promise.all(runs.map((run) => peek(home, run)))).map((run) => run?.ended)).toEqual([
    'finished',
    'interrupted',
    'finished',
  ])
  const records = (await namesIn(folder)).filter((name) => /^[0-9a-f]{8}\.reprise$/.test(name))
  expect(records.toSorted()).toEqual([runs[0], runs[2]].map((run) => `${run.slice(0, 8)}.reprise`).toSorted())
  for (const record of records) expect((await room.reprise(['verify', record], { cwd: folder, home })).code).toBe(0)

  const again = await room.reprise(['resume', '--cut-off'], { cwd: folder, home })
  expect(again).toMatchObject({ code: 0, stdout: '' })
})

test('one goes on after all when its journal was another one before it was locked', async () => {
  const home = await room.newHost('guess')
  const cwd = await room.newFolder({ 'guest.wasm': await guest() })
  const words = ['run', '-o', 'r.reprise', ...FINE, 'guest.wasm', 'say', 'one', 'random', 'spin', '1500', 'random']
  const running = room.start(words, { cwd, home })
  const run = await signedRun(running, home, [])
  running.child.kill('SIGKILL')
  await running.ended
  // What was begun meanwhile, on what the journal said before, is taken down.
  const script = 'exec 9<>"$1"; flock --exclusive 9; echo held; sleep 0.7; touch "$1"'
  const holder = spawn('bash', ['-c', script, 'holder', journalOf(home, run)], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  expect(await room.reprise(['resume', '-o', 'r.reprise', run], { cwd, home })).toMatchObject({ code: 0 })
  expect(await room.reprise(['repeat', 'r.reprise'], { cwd, home })).toMatchObject({ code: 0 })
})

test('it is for all runs, or one is named', async () => {
  const home = await room.newHost('words')
  const cwd = await room.newFolder({})
  expect(await room.reprise(['resume'], { cwd, home })).toMatchObject({ code: 2 })
  expect(await room.reprise(['resume', '--cut-off', 'last'], { cwd, home })).toMatchObject({ code: 2 })
})
