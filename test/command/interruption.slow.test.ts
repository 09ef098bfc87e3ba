/** A run that is interrupted, killed, or loses its TPM: what is on disk is whole, and says what it is. */
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readRun } from '../../packages/runner/src/journal/index.ts'
import { killProcess, processesOf } from '../../packages/host/src/software-home.ts'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { guest, json, namesIn, Room, type RunAnswer, type Running } from './room.ts'

/** Many checkpoints a second. */
const FINE = ['--checkpoint', 'every=20000000']

const KILLS = process.env['REPRISE_TESTS'] === 'nightly' ? 120 : 8

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

/** Starts a guest that writes a file, says that it is ready, and computes: 100 are a quarter of a second. */
async function startSpinning(millions: number, options: readonly string[] = [], home = room.home): Promise<Running> {
  const words = ['guest.wasm', 'write', 'out.txt', 'text', 'say', 'ready', 'flush', 'spin', String(millions)]
  const running = room.start(['run', '-o', 'r.reprise', ...FINE, ...options, ...words], { cwd: folder, home })
  await once(running.child.stdout!, 'data')
  return running
}

const verify = (): ReturnType<Room['reprise']> => room.reprise(['verify', '--json', 'r.reprise'], { cwd: folder })
interface Verified {
  readonly evidence: string
  readonly checkpoints: number
  readonly attestations: number
  readonly findings: readonly { readonly code: string }[]
  readonly powerChanges: readonly { readonly orderly: boolean }[]
}

async function journalsOf(home: string) {
  const runs = await readdir(join(home, 'runs'))
  return await Promise.all(
    runs.filter((name) => /^[0-9a-f]{64}$/.test(name)).map((run) => readRun(join(home, 'runs', run, 'journal'))),
  )
}

describe('Ctrl-C', () => {
  test('ends the run with 130 and a record of what was signed, that is incomplete', async () => {
    const home = await room.newHost('int')
    const { child, ended } = await startSpinning(100_000, [], home)
    await sleep(300)
    child.kill('SIGINT')
    const { code, stderr } = await ended
    expect({ code, stderr }).toMatchObject({
      code: 130,
      stderr: expect.stringMatching(/^interrupted +r\.reprise/) as string,
    })
    expect(await namesIn(folder)).toEqual(['guest.wasm', 'r.reprise'])
    const answer = await verify()
    expect(answer.code).toBe(3)
    const { evidence, findings, checkpoints } = json<Verified>(answer)
    expect(evidence).toBe('unverifiable')
    expect(findings.map((finding) => finding.code).toSorted()).toEqual(['INCOMPLETE', 'SELF_ENROLLED'])
    expect(checkpoints).toBeGreaterThan(1)
    const [journal] = await journalsOf(home)
    expect(journal).toMatchObject({ tornBytes: 0 })
    expect(journal.run).toMatchObject({ ended: 'interrupted', checkpointCount: checkpoints })
  })

  test('in a run for --json gives one document', async () => {
    const { child, ended } = room.start(['run', '--json', 'guest.wasm', 'complain', 'ready', 'spin', '100000'], {
      cwd: folder,
    })
    await once(child.stderr!, 'data')
    child.kill('SIGINT')
    expect(json<RunAnswer>(await ended)).toMatchObject({ schema: 'reprise/run-result/v1', exit: null })
    expect(await ended).toMatchObject({ code: 130 })
  })

  test('that comes twice at once, as from timeout(1), is one', async () => {
    const { child, ended } = await startSpinning(100_000)
    await sleep(300)
    child.kill('SIGINT')
    // The kernel gives both of a kind that wait as one.
    await sleep(20)
    child.kill('SIGINT')
    expect(await ended).toMatchObject({ code: 130, stderr: expect.stringMatching(/^interrupted/) as string })
    expect(await namesIn(folder)).toEqual(['guest.wasm', 'r.reprise'])
  })

  test('twice ends the run at once, with nothing half-written', async () => {
    const { child, ended } = await startSpinning(100_000)
    // The first waits for a TPM that does not answer.
    const [pid] = await processesOf(room.home, 'swtpm')
    process.kill(pid, 'SIGSTOP')
    try {
      await sleep(100)
      child.kill('SIGINT')
      await sleep(1000)
      expect(child.exitCode).toBeNull()
      child.kill('SIGINT')
      expect(await ended).toMatchObject({ code: 130 })
      expect(await namesIn(folder)).toEqual(['guest.wasm'])
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  })

  test('while the TPM is made and the program prepared ends the run before its first instruction', async () => {
    const words = ['run', '-o', 'r.reprise', 'guest.wasm', 'say', 'ran', 'spin', '400']
    const { child, ended } = room.start(words, { cwd: folder, home: room.newHome('early') })
    await sleep(400)
    child.kill('SIGINT')
    expect(await ended).toMatchObject({ code: 130, stdout: '' })
  })

  test('in a repetition ends it with 130', async () => {
    await (
      await startSpinning(1000)
    ).ended
    // While it reads, gathers, prepares and repeats.
    for (const delayMs of [200, 275, 350, 425, 500, 700]) {
      const { child, ended } = room.start(['repeat', 'r.reprise'], { cwd: folder })
      await sleep(delayMs)
      child.kill('SIGINT')
      expect(await ended).toMatchObject({ code: 130, stderr: '' })
    }
  })
})

test('Ctrl-C in a comparison ends it with 130, without half an answer', async () => {
  for (const word of ['a', 'b']) {
    const words = ['run', '-o', `${word}.reprise`, 'guest.wasm', 'spin', '300', 'say', word]
    expect(await room.reprise(words, { cwd: folder })).toMatchObject({ code: 0 })
  }
  const { child, ended } = room.start(['diff', 'a.reprise', 'b.reprise'], { cwd: folder })
  await sleep(400)
  child.kill('SIGINT')
  expect(await ended).toMatchObject({ code: 130, stdout: '' })
})

describe('kill -9 of the run', () => {
  test('at any moment leaves a journal that reads, nothing half-written, and a home that works', async () => {
    const home = await room.newHost('kill')
    expect(await (await startSpinning(1, [], home)).ended).toMatchObject({ code: 0 })
    for (let round = 0; round < KILLS; round++) {
      folder = await room.newFolder({ 'guest.wasm': program })
      const { child, ended } = await startSpinning(60, [], home)
      // Some of them hit the end, where outputs and record are written.
      await sleep((240 / KILLS) * round)
      child.kill('SIGKILL')
      await ended
      const names = (await namesIn(folder)).filter((name) => !name.startsWith('.reprise-'))
      expect([['guest.wasm'], ['guest.wasm', 'r.reprise'], ['guest.wasm', 'out.txt', 'r.reprise']]).toContainEqual(
        names,
      )
      if (names.includes('r.reprise')) expect(await verify()).toMatchObject({ code: 0 })
    }
    const journals = await journalsOf(home)
    expect(journals.length).toBeGreaterThanOrEqual(KILLS)
    for (const { run } of journals) expect(run?.attempts).toHaveLength(1)
    folder = await room.newFolder({ 'guest.wasm': program })
    expect(await (await startSpinning(1, [], home)).ended).toMatchObject({ code: 0 })
    expect(await verify()).toMatchObject({ code: 0 })
  })
})

describe('a run whose TPM goes', () => {
  test('is signed to its end when only the signer is killed, again and again', async () => {
    const { ended, child } = await startSpinning(3000)
    for (let round = 0; round < 3; round++) {
      await sleep(400)
      await killProcess(room.home, 'signer')
    }
    expect(child.exitCode).toBeNull()
    const { code, stderr } = await ended
    expect(code).toBe(0)
    expect(stderr).toMatch(/Starting the signer again/)
    expect(stderr).not.toMatch(/unsigned/)
    const answer = await verify()
    expect(answer).toMatchObject({ code: 0 })
    expect(json<Verified>(answer).attestations).toBeGreaterThan(1)
  })

  test('with the TPM itself goes on and is wholly signed, and the record says that the TPM was not shut down', async () => {
    const { ended } = await startSpinning(600)
    await sleep(300)
    await killProcess(room.home, 'signer')
    await killProcess(room.home, 'swtpm')
    const { code, stderr } = await ended
    expect(code).toBe(0)
    expect(stderr).toMatch(/The signer is back/)
    expect(stderr).not.toMatch(/unsigned/)
    const answer = await verify()
    expect(answer.code).toBe(0)
    const { evidence, findings, attestations, powerChanges } = json<Verified>(answer)
    expect(evidence).toBe('verified')
    expect(findings.map((finding) => finding.code)).toEqual(['SELF_ENROLLED'])
    expect(powerChanges).toMatchObject([{ orderly: false }])
    expect(attestations).toBeGreaterThan(1)
  })

  test('that does not answer for a while waits as --max-lag-ms says, and is wholly signed', async () => {
    const options = ['--json', '--max-lag-ms', '500']
    const words = ['guest.wasm', 'complain', 'ready', 'spin', '1500']
    const { child, ended } = room.start(['run', '-o', 'r.reprise', ...FINE, ...options, ...words], { cwd: folder })
    await once(child.stderr!, 'data')
    const [pid] = await processesOf(room.home, 'swtpm')
    process.kill(pid, 'SIGSTOP')
    await sleep(3000)
    process.kill(pid, 'SIGCONT')
    const result = json<RunAnswer & { overhead: { signWaitMs: number } }>(await ended)
    expect(result.signedCheckpoints).toBe(result.checkpoints)
    expect(result.overhead.signWaitMs).toBeGreaterThan(500)
    expect(await verify()).toMatchObject({ code: 0 })
  })
})

test('two runs at once on one home are both wholly signed, and are the same', async () => {
  const run = async (n: number): Promise<RunAnswer> => {
    const words = ['run', '--json', '-o', `r${n}.reprise`, ...FINE, 'guest.wasm', 'spin', '200']
    return json(await room.reprise(words, { cwd: folder }))
  }
  const [a, b, c] = await Promise.all([run(1), run(2), run(3)])
  expect(new Set([a.run, b.run, c.run]).size).toBe(3)
  expect(new Set([a.cumulative, b.cumulative, c.cumulative]).size).toBe(1)
  for (const { checkpoints, signedCheckpoints } of [a, b, c]) expect(signedCheckpoints).toBe(checkpoints)
  expect(await room.reprise(['verify', 'r1.reprise', 'r2.reprise', 'r3.reprise'], { cwd: folder })).toMatchObject({
    code: 0,
  })
})
