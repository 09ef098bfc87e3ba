/** Runs whose TPM goes down: between two attempts, in the middle of one, and one that comes back older than it was. */
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { killProcess, processesOf } from '../../packages/host/src/software-home.ts'
import { peekHeld, runsIn } from './journals.ts'
import { guest, json, Room, type Answer, type Running } from './room.ts'

/** Snapshots and checkpoints several times a second. */
const FINE = ['--snapshot-ms', '150', '--checkpoint', 'every=40000000']
const SPIN = ['say', 'ready', 'spin', '1300', 'append', 'o.txt', 'two']

let room: Room
beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

interface Started {
  readonly home: string
  readonly folder: string
  readonly run: string
  readonly running: Running
}

let homes = 0

/** Starts a run in a home of its own and waits until a snapshot is signed. */
async function start(): Promise<Started> {
  const home = await room.newHost(`p${(homes += 1)}`)
  const folder = await room.newFolder({ 'guest.wasm': await guest() })
  const running = room.start(['run', '-o', 'r.reprise', ...FINE, 'guest.wasm', ...SPIN], { cwd: folder, home })
  for (;;) {
    if (running.child.exitCode !== null) throw new Error((await running.ended).stderr)
    const [run] = await runsIn(home)
    const read = run === undefined ? undefined : await peekHeld(running.child, home, run)
    if (read?.snapshots.some(({ seq }) => seq <= read.signedSeq)) return { home, folder, run: read.run, running }
    await sleep(20)
  }
}

async function cutOff({ running }: Started): Promise<void> {
  running.child.kill('SIGKILL')
  await running.ended
}

/** As the end of a session does it: the signer shuts its TPM down. */
async function shutDown(home: string): Promise<void> {
  for (const pid of await processesOf(home, 'signer')) process.kill(pid, 'SIGTERM')
  while ((await processesOf(home, 'signer')).length + (await processesOf(home, 'swtpm')).length > 0) await sleep(20)
}

async function powerCut(home: string): Promise<void> {
  await killProcess(home, 'swtpm')
  await killProcess(home, 'signer')
}

const resume = ({ home, folder, run }: Started): Promise<Answer> =>
  room.reprise(['resume', '-o', 'r.reprise', run], { cwd: folder, home })

interface Verified {
  readonly evidence: string
  readonly findings: readonly { readonly code: string }[]
  readonly powerChanges: readonly { readonly orderly: boolean; readonly resets: number; readonly told: string }[]
  readonly counts: readonly { readonly host: number; readonly others: string }[]
}

async function verify({ home, folder }: Started): Promise<{ readonly said: string; readonly answer: Verified }> {
  const { stdout: said } = await room.reprise(['verify', 'r.reprise'], { cwd: folder, home })
  return { said, answer: json(await room.reprise(['verify', '--json', 'r.reprise'], { cwd: folder, home })) }
}

const codes = ({ findings }: Verified): string[] => findings.map(({ code }) => code)

describe('a run that goes on on the same host', () => {
  test('after its TPM was killed says that it went down without a shutdown', async () => {
    const started = await start()
    await cutOff(started)
    await powerCut(started.home)
    expect(await resume(started)).toMatchObject({ code: 0 })
    const { said, answer } = await verify(started)
    expect([answer.evidence, codes(answer)]).toEqual(['verified', ['SELF_ENROLLED']])
    expect(answer.powerChanges).toMatchObject([{ orderly: false, resets: 1 }])
    expect(answer.counts).toMatchObject([{ host: 0, others: '0' }])
    expect(said).toContain('host 0 went down without a shutdown between attempt 1 and 2')
    const shown = await room.reprise(['show', 'r.reprise'], { cwd: started.folder, home: started.home })
    expect(shown.stdout).toContain('went down without a shutdown')
  })

  test('after its TPM was shut down says so, and that other runs were begun in between', async () => {
    const started = await start()
    await cutOff(started)
    await shutDown(started.home)
    const other = await room.newFolder({ 'guest.wasm': await guest() })
    const words = ['run', '-o', 'o.reprise', 'guest.wasm', 'say', 'x']
    expect(await room.reprise(words, { cwd: other, home: started.home })).toMatchObject({ code: 0 })
    expect(await resume(started)).toMatchObject({ code: 0 })
    const { said, answer } = await verify(started)
    expect([answer.evidence, codes(answer)]).toEqual(['verified', ['SELF_ENROLLED']])
    expect(answer.powerChanges).toMatchObject([{ orderly: true, resets: 1 }])
    expect(said).toContain('host 0 was shut down between attempt 1 and 2')
    expect(said).toContain('host 0 counted one attempt or power cycle meanwhile that is not of this record')
  })

  test('and one whose TPM is killed in the middle of an attempt goes on being signed', async () => {
    const started = await start()
    await killProcess(started.home, 'swtpm')
    expect(await started.running.ended).toMatchObject({ code: 0 })
    const { said, answer } = await verify(started)
    expect([answer.evidence, codes(answer)]).toEqual(['verified', ['SELF_ENROLLED']])
    expect(said).toMatch(/host 0 went down without a shutdown between checkpoints \d+ and \d+ of attempt 1/)
    expect(said).toContain('its TPM alone')
  })
})

test('a run does not go on with a TPM that is older than what its host saw', async () => {
  const started = await start()
  const { home } = started
  await cutOff(started)
  await shutDown(home)
  const [swtpm, copy] = [join(home, 'tpm', 'swtpm'), join(home, 'copy')]
  await cp(swtpm, copy, { recursive: true })
  const cwd = await room.newFolder({ 'guest.wasm': await guest() })
  const words = ['run', '-o', 'o.reprise', 'guest.wasm', 'say', 'x']
  expect(await room.reprise(words, { cwd, home })).toMatchObject({ code: 0 })
  await shutDown(home)
  await rm(swtpm, { recursive: true })
  await cp(copy, swtpm, { recursive: true })
  const refused = await resume(started)
  expect(refused.code).toBe(125)
  expect(refused.stderr).toContain('TPM_ROLLED_BACK')
  expect(refused.stderr).toMatch(/it is at counter \d+, .* and was at counter \d+/)
})
