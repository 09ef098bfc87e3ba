/** The same computation in other surroundings, and a record in other hands. */
import { spawnSync } from 'node:child_process'
import { chmod, cp, readdir, readFile, rename, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guest, json, namesIn, node24, Room, type RunAnswer, type StartOptions } from './room.ts'

const NOBODY = 65534
const IS_ROOT = process.getuid?.() === 0

let room: Room
let program: Uint8Array
beforeAll(async () => {
  room = await Room.create()
  program = await guest()
  // For the user nobody.
  await chmod(room.folder, 0o777)
})
afterAll(() => room[Symbol.asyncDispose]())

const FILES = { 'data.csv': 'value\n1\n', 'lib/more.txt': 'more\n' }
const FLOATS = `import math, random, sys
nan = float("inf") - float("inf")
values = [random.gauss(0, 1) for _ in range(20000)]
print(sum(map(math.sin, values)), math.fsum(values), nan, {x for x in "abc"}, sys.maxsize)
`
const WORDS = ['guest.wasm', 'read', 'data.csv', 'random', 'time', 'env', 'LANG', 'write', 'out.txt', 'result']

describe('the same command on the same files', () => {
  let original: RunAnswer

  async function run(folder: string, more: Partial<StartOptions> = {}): Promise<RunAnswer> {
    const answer = await room.reprise(['run', '--json', ...WORDS], { cwd: folder, ...more })
    expect(answer).toMatchObject({ code: 0 })
    return json(answer)
  }
  /** Another run of the same: another id, and nothing else that is another. */
  const expectSame = ({ run, computation, cumulative, outputs }: RunAnswer): void => {
    expect({ computation, cumulative, outputs }).toEqual({
      computation: original.computation,
      cumulative: original.cumulative,
      outputs: original.outputs,
    })
    expect(run).not.toBe(original.run)
  }

  const newFolder = (): Promise<string> => room.newFolder({ ...FILES, 'guest.wasm': program })
  beforeAll(async () => {
    original = await run(await newFolder())
  })

  test.each([
    ['time zone', { env: { TZ: 'Pacific/Chatham' } }],
    ['locale', { env: { LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8', LANGUAGE: 'tr' } }],
    ['umask', { wrap: ['sh', '-c', 'umask 077; exec "$@"', 'sh'] }],
    ['terminal width and variables', { env: { COLUMNS: '20', PYTHONHASHSEED: '5', NODE_OPTIONS: '--no-warnings' } }],
    ['priority and one CPU', { wrap: ['taskset', '-c', '0', 'nice', '-n', '10'] }],
  ])('in another folder with another %s is the same', async (_, more) => {
    expectSame(await run(await newFolder(), more))
  })

  test('with other file times and rights, made in another order, is the same', async () => {
    const folder = await room.newFolder({ 'lib/more.txt': 'more\n', 'guest.wasm': program, 'data.csv': 'value\n1\n' })
    for (const [n, name] of ['data.csv', 'guest.wasm', 'lib/more.txt', 'lib'].entries())
      await utimes(join(folder, name), n * 1e6, n * 2e6)
    await chmod(join(folder, 'data.csv'), 0o600)
    expectSame(await run(folder))
  })

  test('by another person with another home is the same', async () => {
    expectSame(await run(await newFolder(), { home: room.newHome('h2') }))
  })

  test.runIf(IS_ROOT)('by another user is the same', async () => {
    const folder = await newFolder()
    await chmod(folder, 0o777)
    const nobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']
    expectSame(await run(folder, { wrap: nobody, home: room.newHome('nobody') }))
  })

  test('under Node 24 is the same', async () => {
    const home = await room.newHost('h24')
    expectSame(await run(await newFolder(), { node: node24(), home }))
    const python = async (more: Partial<StartOptions>): Promise<RunAnswer> => {
      const cwd = await room.newFolder({ 'floats.py': FLOATS })
      const words = ['run', '--json', '--checkpoint', 'every=20000000', 'python', 'floats.py']
      return json(await room.reprise(words, { cwd, ...more }))
    }
    const [now, then] = [await python({}), await python({ node: node24(), home })]
    expect(now).toMatchObject({ exit: { code: 0 } })
    expect(then).toMatchObject({ computation: now.computation, cumulative: now.cumulative, outputs: now.outputs })
    expect(now.checkpoints).toBeGreaterThan(2)
  })
})

describe('a record in another folder, with an empty home', () => {
  let made: string
  beforeAll(async () => {
    made = await room.newFolder({ ...FILES, 'guest.wasm': program, 'in.txt': 'from stdin\n' })
    for (const attach of ['all', 'outputs']) {
      const words = ['run', '-o', `${attach}.reprise`, '--attach', attach, '--stdin', 'in.txt', ...WORDS, 'stdin']
      expect(await room.reprise(words, { cwd: made })).toMatchObject({ code: 0 })
    }
  })

  async function receive(record: string, home: string): Promise<{ cwd: string; home: string }> {
    const cwd = await room.newFolder({ [record]: new Uint8Array(await readFile(join(made, record))) })
    return { cwd, home: room.newHome(home) }
  }

  test('verifies, without making a home', async () => {
    const { cwd, home } = await receive('outputs.reprise', 'h3')
    expect(await room.reprise(['verify', 'outputs.reprise'], { cwd, home })).toMatchObject({ code: 0 })
    expect(await room.reprise(['show', 'outputs.reprise'], { cwd, home })).toMatchObject({ code: 0 })
    expect(await namesIn(room.folder)).not.toContain('h3')
    expect(await namesIn(cwd)).toEqual(['outputs.reprise'])
  })

  test('repeats when everything is attached', async () => {
    const { cwd, home } = await receive('all.reprise', 'h4')
    const repeated = await room.reprise(['repeat', '--json', 'all.reprise'], { cwd, home })
    expect(repeated).toMatchObject({ code: 0 })
    expect(json(repeated)).toMatchObject({ repetition: 'reproduced', evidence: 'verified' })
    expect(await namesIn(cwd)).toEqual(['all.repeat.reprise', 'all.reprise'])
    expect(await room.reprise(['verify', 'all.repeat.reprise'], { cwd })).toMatchObject({ code: 0 })
  })

  test('asks for what is missing by name and digest, and finds it with --inputs', async () => {
    const { cwd, home } = await receive('outputs.reprise', 'h5')
    const { code, stderr } = await room.reprise(['repeat', 'outputs.reprise'], { cwd, home })
    expect(code).toBe(3)
    expect(stderr).toMatch(/BLOB_MISSING/)
    for (const name of ['guest.wasm', 'data.csv', 'lib/more.txt', 'stdin'])
      expect(stderr).toMatch(new RegExp(`${name}  \\d+ bytes  sha256:[0-9a-f]{64}`))
    expect(stderr).toMatch(/--inputs FOLDER/)
    expect(await namesIn(cwd)).toEqual(['outputs.reprise'])

    expect(await room.reprise(['repeat', '--inputs', 'nowhere', 'outputs.reprise'], { cwd, home })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/INPUT_MISSING.*nowhere/) as string,
    })
    // Under other names than the program knew them by.
    await cp(made, join(cwd, 'found'), { recursive: true })
    await rename(join(cwd, 'found/data.csv'), join(cwd, 'found/lib/renamed.txt'))
    const repeated = await room.reprise(['repeat', '--inputs', 'found', 'outputs.reprise'], { cwd, home })
    expect(repeated).toMatchObject({ code: 0, stdout: expect.stringContaining('reproduced') as string })
  })

  test('with the wrong file of the right name says that it is missing', async () => {
    const { cwd, home } = await receive('outputs.reprise', 'h6')
    await cp(made, join(cwd, 'found'), { recursive: true })
    await writeFile(join(cwd, 'found/data.csv'), 'value\n2\n')
    const { code, stderr } = await room.reprise(['repeat', '--inputs', 'found', 'outputs.reprise'], { cwd, home })
    expect(code).toBe(3)
    expect(stderr).toMatch(/data\.csv  8 bytes/)
    expect(stderr).not.toMatch(/more\.txt/)
  })

  test('exports for tpm2_checkquote, which accepts every attestation', async () => {
    const { cwd } = await receive('all.reprise', 'h7')
    expect(await room.reprise(['export', '--format', 'tpm2', 'all.reprise'], { cwd })).toMatchObject({ code: 0 })
    const folder = join(cwd, 'all.tpm2')
    const quotes = (await readdir(folder)).filter((name) => name.endsWith('.attest')).map((name) => name.slice(0, -7))
    expect(quotes.length).toBeGreaterThanOrEqual(2)
    for (const quote of quotes) {
      const qualification = (await readFile(join(folder, `${quote}.qualification`), 'utf8')).trim()
      const files = ['-u', 'ak.pem', '-m', `${quote}.attest`, '-s', `${quote}.sig`, '-f', `${quote}.pcrs`]
      const check = (nonce: string) => spawnSync('tpm2_checkquote', [...files, '-q', nonce], { cwd: folder })
      expect(check(qualification)).toMatchObject({ status: 0 })
      expect(check('00'.repeat(32)).status).not.toBe(0)
    }
  })

  /** No network, no TPM, no home, nothing that could be written. */
  const ALONE = 'mount -t tmpfs none /root 2>/dev/null; mount -o remount,bind,ro / 2>/dev/null; exec "$@"'
  test.runIf(IS_ROOT)('verifies by a user who may write nowhere, on a machine without network', async () => {
    const { cwd } = await receive('all.reprise', 'h8')
    await chmod(cwd, 0o555)
    const nobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs']
    const wrap = ['unshare', '--net', '--mount', 'sh', '-c', ALONE, 'sh', ...nobody]
    const env = { HOME: '/nonexistent', REPRISE_HOME: '/nonexistent/h', TMPDIR: '/nonexistent' }
    expect(await room.reprise(['verify', 'all.reprise'], { cwd, env, wrap })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('verified') as string,
      stderr: '',
    })
  })
})
