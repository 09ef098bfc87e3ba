/**
 * Runs that demand something of their host, on a software TPM that was told the measurements of the boot of a real machine: a laptop
 * with Secure Boot on, whose firmware started one kernel, and a desktop with Secure Boot off.
 */
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseEventLog } from '@reprise/core'
import { connect, PcrExtend, swtpm } from '@reprise/tpm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { killProcess } from '../../packages/host/src/software-home.ts'
import { peek, peekHeld, runsIn } from './journals.ts'
import { guest, json, Room, type Answer, type RunAnswer } from './room.ts'

const vector = (name: string, file: string): string =>
  resolve(import.meta.dirname, '../../vectors/event-log', name, file)
const SECURE = vector('quoted-x1carbon9-gentoo-good', 'input.bin')
const INSECURE = vector('quoted-dell-7520-windows-5logs-log0', 'input.bin')
const QUOTED = JSON.parse(readFileSync(vector('quoted-x1carbon9-gentoo-good', 'expected.json'), 'utf8')) as {
  readonly quoted: { readonly sha256: Readonly<Record<string, string>> }
}
const EV_NO_ACTION = 3
const SHA256 = 0x000b

interface HostAnswer {
  readonly boot: {
    readonly kind: string
    readonly registers: readonly { readonly pcr: number; readonly state: { readonly kind: string } }[]
    readonly facts: {
      readonly secureBoot: { readonly value?: string }
      readonly applications: { readonly value: readonly { readonly digest: string }[] }
    }
  }
  readonly own: {
    readonly replays: boolean
    readonly from: string
    readonly measurements: readonly { readonly kind: string; readonly sha256?: string }[]
  }
  readonly logs: readonly { readonly kind: string; readonly source: string }[]
  readonly pcrs: { readonly sha256: Readonly<Record<string, string>> }
  readonly rules: readonly { readonly answer: string; readonly at: string; readonly found: string }[]
}

interface VerifyAnswer {
  readonly evidence: string
  readonly measurer: string
  readonly findings: readonly { readonly code: string; readonly severity: string }[]
  readonly attempts: readonly (HostAnswer & { readonly changed: readonly { readonly pcr: number }[] })[]
}

let room: Room
let secure: string
let insecure: string
beforeAll(async () => {
  room = await Room.create()
  secure = await bootedHome('secure', SECURE)
  insecure = await bootedHome('insecure', INSECURE)
})
afterAll(() => room[Symbol.asyncDispose]())

/** A home whose TPM holds what a firmware measured: the registers of a software TPM live as long as its process does. */
async function bootedHome(name: string, log: string): Promise<string> {
  const home = await room.newHost(name)
  expect((await room.reprise(['host', 'init'], { cwd: room.folder, home })).code).toBe(0)
  const { events } = parseEventLog(new Uint8Array(await readFile(log)))
  await extend(
    home,
    events.flatMap(({ pcr, type, digests }): [number, Uint8Array][] => {
      const found = type === EV_NO_ACTION ? undefined : digests.find(({ alg }) => alg === SHA256)
      return found === undefined ? [] : [[pcr, found.digest]]
    }),
  )
  return home
}

/** Ends the signer, which owns the TPM, and extends registers behind its back. */
async function extend(home: string, digests: readonly (readonly [pcr: number, sha256: Uint8Array])[]): Promise<void> {
  await killProcess(home, 'signer')
  const running = await swtpm.start(join(home, 'tpm', 'swtpm'))
  expect(running.started).toBe(false)
  const tpm = connect(await running.open())
  for (const [pcrHandle, sha256] of digests) await tpm.execute(PcrExtend({ pcrHandle, digests: { sha256 } }))
  await tpm.close()
}

const sayHello = { 'a.py': "print('hello')\n" }
const log = (path: string): { readonly REPRISE_EVENT_LOG: string } => ({ REPRISE_EVENT_LOG: path })

async function attest(
  home: string,
  env: Readonly<Record<string, string>>,
  words: readonly string[] = [],
): Promise<Answer> {
  return await room.reprise(['host', 'attest', '--json', ...words], { cwd: room.folder, home, env })
}

async function verify(record: string, words: readonly string[] = []): Promise<VerifyAnswer> {
  return json(await room.reprise(['verify', '--json', ...words, record], { cwd: room.folder }))
}

/** What a host with the log of the laptop can meet, and the engine of these tests. */
async function rulesOf(home: string): Promise<{ readonly kernel: string; readonly rules: Record<string, unknown> }> {
  const shown = json<HostAnswer>(await attest(home, log(SECURE)))
  const [kernel] = shown.boot.facts.applications.value
  const engines = shown.own.measurements.flatMap(({ sha256 }) => sha256 ?? [])
  const eventLog = [
    { kind: 'secureBoot', state: 'on' },
    { kind: 'kernel', digests: [`sha256:${kernel.digest}`] },
    { kind: 'bootLoader', digests: [] },
  ]
  return { kernel: kernel.digest, rules: { eventLog, engines, pcrs: { sha256: { '7': QUOTED.quoted.sha256['7'] } } } }
}

describe('reprise host attest', () => {
  test('shows what a real boot log says, held against the registers', async () => {
    const shown = json<HostAnswer>(await attest(secure, log(SECURE)))
    expect(shown.boot.facts.secureBoot.value).toBe('on')
    expect(shown.pcrs.sha256).toMatchObject({ '4': QUOTED.quoted.sha256['4'], '7': QUOTED.quoted.sha256['7'] })
    expect(shown.logs).toMatchObject([
      { kind: 'boot', source: 'user' },
      { kind: 'own', source: 'host' },
    ])
    expect(shown.own).toMatchObject({ replays: true, from: 'start' })
    expect(shown.own.measurements.map(({ kind }) => kind)).toEqual(['host', 'engine', 'node', 'rewriter'])
  })

  test('says in words what is unknown, and why', async () => {
    const { stdout } = await room.reprise(['host', 'attest'], { cwd: room.folder, home: secure })
    expect(stdout).toMatch(/boot log +unknown: a software TPM has none/)
    expect(stdout).toMatch(/engine +[0-9a-f]{64} \(bundle of Reprise .*\), as the host says/)
  })

  test('says which rules hold, and ends with 1 when one does not', async () => {
    const { rules } = await rulesOf(secure)
    const file = join(room.folder, 'rules.json')
    await writeFile(file, JSON.stringify(rules))
    const good = await attest(secure, log(SECURE), ['--rules', file])
    expect(good.code).toBe(0)
    expect(json<HostAnswer>(good).rules.map(({ answer }) => answer)).toEqual(['met', 'met', 'met', 'met', 'met'])
    const bad = await attest(insecure, log(INSECURE), ['--rules', file])
    expect(bad.code).toBe(1)
    expect(json<HostAnswer>(bad).rules).toMatchObject([
      { at: 'pcrs.sha256.7', answer: 'unmet' },
      { at: 'eventLog[0]', answer: 'unmet', found: 'Secure Boot is off' },
      { at: 'eventLog[1]', answer: 'unmet' },
      { at: 'eventLog[2]', answer: 'unmet' },
      { at: 'engines', answer: 'met' },
    ])
  })
})

describe('a run that demands Secure Boot, a kernel, an engine and a register', () => {
  let rules: string
  beforeAll(async () => {
    rules = join(room.folder, 'demanded.yaml')
    await writeFile(rules, JSON.stringify((await rulesOf(secure)).rules))
  })

  test('begins where they are met, and verifies with all of them', async () => {
    const folder = await room.newFolder(sayHello)
    const words = ['run', '--host-rules', rules, '-o', 'r.reprise', 'python', 'a.py']
    const answer = await room.reprise(words, { cwd: folder, home: secure, env: log(SECURE) })
    expect(answer).toMatchObject({ code: 0, stdout: 'hello\n' })
    const verified = await verify(join(folder, 'r.reprise'))
    expect(verified).toMatchObject({ evidence: 'verified', measurer: 'unmeasured' })
    // The laptop's firmware started its TPM from locality 3, and nobody can start a software TPM from there: PCR 0 shows it.
    expect(verified.findings.map(({ code }) => code).toSorted()).toEqual(['LOG_REPLAY', 'SELF_ENROLLED'])
    expect(verified.attempts[0].boot.registers.filter(({ pcr }) => pcr < 8).map(({ state }) => state.kind)).toEqual([
      'other-start',
      ...Array.from({ length: 7 }, () => 'equal'),
    ])
    expect(verified.attempts[0].rules.map(({ answer: each }) => each)).toEqual(['met', 'met', 'met', 'met', 'met'])
    // The reader's own rules: the same hold, and the tier of a software TPM does not.
    expect(await verify(join(folder, 'r.reprise'), ['--host-rules', rules])).toMatchObject({ evidence: 'verified' })
    const strict = join(folder, 'strict.yaml')
    await writeFile(strict, 'tier: hardware\n')
    const withheld = await verify(join(folder, 'r.reprise'), ['--host-rules', strict])
    expect(withheld.evidence).toBe('unverifiable')
    expect(withheld.findings.map(({ code }) => code)).toContain('HOST_POLICY')

    const shown = await room.reprise(['show', 'r.reprise'], { cwd: folder })
    expect(shown.stdout).toMatch(/boot log +does not replay to PCR 0 \(other-start\); a file that the user named/)
    expect(shown.stdout).toMatch(/Secure Boot +on/)
    const cel = await room.reprise(['export', '--format', 'cel', '-o', 'log.json', 'r.reprise'], { cwd: folder })
    expect(cel.code).toBe(0)
    const records = JSON.parse(await readFile(join(folder, 'log.json'), 'utf8')) as { readonly content_type: string }[]
    expect(new Set(records.map((record) => record.content_type))).toEqual(new Set(['pcclient_std', 'reprise']))
  })

  test('is repeated where they are not met, which the answer says', async () => {
    const folder = await room.newFolder(sayHello)
    const words = ['run', '--host-rules', rules, '-o', 'r.reprise', 'python', 'a.py']
    expect((await room.reprise(words, { cwd: folder, home: secure, env: log(SECURE) })).code).toBe(0)
    const repeated = await room.reprise(['repeat', '-o', 'again.reprise', 'r.reprise'], { cwd: folder, home: insecure })
    expect(repeated.stdout).toContain('reproduced')
    expect(repeated.stderr).toContain('which a repetition need not be')
    const verified = await verify(join(folder, 'again.reprise'))
    expect(verified.evidence).toBe('verified')
    expect(verified.findings.map(({ code }) => code)).toContain('HOST_RULE_UNKNOWN')
  })

  test.each([
    ['the log of another boot', () => insecure, INSECURE, 'Secure Boot is off'],
    ['a log that its registers do not hold', () => insecure, SECURE, 'does not replay'],
    ['no log at all', () => secure, undefined, 'a software TPM has none'],
  ])('is refused on a host with %s, before anything of it runs', async (_what, home, path, found) => {
    const folder = await room.newFolder(sayHello)
    const words = ['run', '--host-rules', rules, '-o', 'r.reprise', 'python', 'a.py']
    const env = path === undefined ? {} : log(path)
    const before = await runsIn(home())
    const answer = await room.reprise(words, { cwd: folder, home: home(), env })
    expect(answer).toMatchObject({ code: 2, stdout: '' })
    expect(answer.stderr).toContain('HOST_RULES')
    expect(answer.stderr).toContain('eventLog[0] (secureBoot)')
    expect(answer.stderr).toContain(found)
    expect(await runsIn(home())).toEqual(before)
  })

  test('is refused on a host whose log was changed, naming the event', async () => {
    const folder = await room.newFolder(sayHello)
    const changed = new Uint8Array(await readFile(SECURE))
    const { events } = parseEventLog(changed)
    const target = events.find(({ pcr, type }) => pcr === 7 && type !== EV_NO_ACTION)
    // In the SHA-256 digest of the first event of PCR 7: 4 bytes each of register, type and count, then algorithm and digest.
    const at = Buffer.from(changed).indexOf(
      Buffer.from(target?.digests.find(({ alg }) => alg === SHA256)?.digest ?? []),
    )
    changed[at] ^= 1
    const path = join(folder, 'changed.bin')
    await writeFile(path, changed)
    const words = ['run', '--host-rules', rules, '-o', 'r.reprise', 'python', 'a.py']
    const answer = await room.reprise(words, { cwd: folder, home: secure, env: log(path) })
    expect(answer.code).toBe(2)
    expect(answer.stderr).toMatch(/does not replay to the quoted PCR 7 .*event \d/)
  })

  test('may stand in a computation.yaml', async () => {
    const folder = await room.newFolder(sayHello)
    await writeFile(
      join(folder, 'c.yaml'),
      `program: python\narguments: [a.py]\nhost:\n  eventLog:\n    - { kind: secureBoot, state: 'on' }\n`,
    )
    const words = ['run', '-o', 'r.reprise', 'c.yaml']
    expect((await room.reprise(words, { cwd: folder, home: insecure, env: log(INSECURE) })).code).toBe(2)
    expect((await room.reprise(words, { cwd: folder, home: secure, env: log(SECURE) })).code).toBe(0)
  })
})

describe('a register that changes under a run', () => {
  const SPIN = ['guest.wasm', 'say', 'ready', 'spin', '2500', 'write', 'o.txt', 'done']

  /** Starts a run, and extends PCR 7 once two snapshots are signed; everything stands meanwhile. */
  async function changed(
    home: string,
    onChange: string,
  ): Promise<{ readonly folder: string; readonly run: string; readonly answer: Answer }> {
    const folder = await room.newFolder({ 'guest.wasm': await guest() })
    const { rules } = await rulesOf(home)
    await writeFile(join(folder, 'rules.json'), JSON.stringify({ ...rules, onChange }))
    const before = new Set(await runsIn(home))
    const words = [
      'run',
      '--host-rules',
      'rules.json',
      '--snapshot-ms',
      '150',
      '--checkpoint',
      'every=40000000',
      '--no-write-back',
      '-o',
      'r.reprise',
    ]
    const running = room.start([...words, ...SPIN], { cwd: folder, home, env: log(SECURE) })
    let run: string | undefined
    for (;;) {
      run ??= (await runsIn(home)).find((name) => !before.has(name))
      const journal = run === undefined ? undefined : await peekHeld(running.child, home, run)
      if ((journal?.snapshots.filter(({ seq }) => seq <= journal.heldSeq).length ?? 0) >= 2) break
      if (running.child.exitCode !== null) throw new Error((await running.ended).stderr)
      await sleep(20)
    }
    running.child.kill('SIGSTOP')
    await extend(home, [[7, new Uint8Array(32).fill(7)]])
    running.child.kill('SIGCONT')
    return { folder, run: run ?? '', answer: await running.ended }
  }

  test('stops it, with a record that says so, and it goes on from before on a host that meets the rules', async () => {
    const home = await bootedHome('stops', SECURE)
    const { folder, run, answer } = await changed(home, 'stop')
    expect(answer.code).toBe(125)
    expect(answer.stderr).toMatch(/the host changed: pcrs\.sha256\.7/)
    const stopped = await verify(join(folder, 'r.reprise'))
    expect(stopped.evidence).toBe('unverifiable')
    expect(stopped.findings.map(({ code }) => code)).toEqual(expect.arrayContaining(['HOST_CHANGED', 'INCOMPLETE']))
    expect(stopped.findings.filter(({ severity }) => severity === 'refutes')).toEqual([])
    expect(stopped.attempts[0].changed).toMatchObject([{ pcr: 7 }])
    const journal = await peek(home, run)
    expect(journal?.heldSeq).toBeLessThan(journal?.signedSeq ?? 0)

    // Here it cannot go on; where the rules are met it does, inside the same proof.
    const here = await room.reprise(['resume', run.slice(0, 8)], { cwd: folder, home, env: log(SECURE) })
    expect(here).toMatchObject({ code: 2 })
    expect(here.stderr).toContain('HOST_RULES')
    const moved = ['export', '--format', 'record', '--attach', 'resume', '-o', 'moved.reprise', run]
    expect((await room.reprise(moved, { cwd: folder, home })).code).toBe(0)
    const there = await room.reprise(['resume', '-o', 'whole.reprise', 'moved.reprise'], {
      cwd: folder,
      home: secure,
      env: log(SECURE),
    })
    expect(there).toMatchObject({ code: 0 })
    const whole = await verify(join(folder, 'whole.reprise'))
    expect(whole.evidence).toBe('verified')
    expect(whole.findings.map(({ code }) => code)).toContain('HOST_CHANGED')
  })

  test('is recorded where the computation wants that', async () => {
    const home = await bootedHome('records', SECURE)
    const { folder, answer } = await changed(home, 'record')
    expect(answer.code).toBe(0)
    expect(answer.stderr).toContain('the host has changed, and the record says so')
    const { evidence, findings } = await verify(join(folder, 'r.reprise'))
    expect(evidence).toBe('verified')
    expect(findings.map(({ code }) => code)).toContain('HOST_CHANGED')
  })
})

test('the own log outlasts its signer, and is extended only when something changed', async () => {
  const register = async (): Promise<string> => json<HostAnswer>(await attest(secure, {})).pcrs.sha256['13']
  const before = await register()
  await killProcess(secure, 'signer')
  expect(await register()).toBe(before)
  const folder = await room.newFolder(sayHello)
  const run = json<RunAnswer>(
    await room.reprise(['run', '--json', '-o', 'r.reprise', 'python', 'a.py'], { cwd: folder, home: secure }),
  )
  expect(run.exit).toEqual({ code: 0 })
  expect(await register()).toBe(before)
})
