import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Attestation } from '@reprise/core'
import { afterEach, describe, expect, test } from 'vitest'
import { HostError } from '../error.ts'
import { sha256 } from '../hashing.ts'
import { connectSigner, type Signer } from './client.ts'
import { eventually, FakeHost } from './fake-host.ts'
import { PROTOCOL_VERSION, REQUEST_BYTES_MAX, type RunHead } from './protocol.ts'
import { SignerServer, type SignerServerOptions } from './server.ts'

const digest = (): Uint8Array => new Uint8Array(randomBytes(32))
const head = (seq: number): RunHead => ({ seq, cumulative: digest(), snapshots: digest(), end: false })
const newRun = (runId = digest()) => ({
  runId,
  attempt: 1,
  firstSeq: 0,
  environmentDigest: digest(),
  previous: null,
})

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function serve(options: Partial<SignerServerOptions> = {}) {
  const home = await mkdtemp(join(tmpdir(), 'reprise-signer-'))
  const socketPath = join(home, 'signer.sock')
  const host = new FakeHost()
  const log: string[] = []
  const server = new SignerServer({
    socketPath,
    sha256,
    openHost: async () => host,
    batchesPerSecond: null,
    idleMs: 60_000,
    log: (line) => log.push(line),
    ...options,
  })
  closing.push(async () => {
    server.leave('the test ended')
    await server.left
    await rm(home, { recursive: true, force: true })
  })
  await eventually(() => existsSync(socketPath))
  return { home, socketPath, host, log, server }
}

async function client(home: string, onTrouble?: (message: string) => void): Promise<Signer> {
  const signer = await connectSigner({ home, ...(onTrouble === undefined ? {} : { onTrouble }) })
  closing.push(() => signer.close())
  return signer
}

/** A connection that speaks bytes, and everything that comes back until it ends. */
async function speak(socketPath: string, send: (socket: Socket) => void): Promise<string> {
  const socket = connect(socketPath)
  let heard = ''
  socket.on('data', (chunk) => (heard += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  const ended = new Promise((resolve) => socket.once('close', resolve))
  socket.once('connect', () => send(socket))
  await ended
  return heard
}

const HELLO = `{"type":"hello","version":${PROTOCOL_VERSION}}\n`

describe('the signer', () => {
  test('greets with its host, and shows it', async () => {
    const { home, host } = await serve()
    const signer = await client(home)
    expect(signer.host).toEqual(host.facts)
    expect((await signer.show()).signer.pid).toBe(process.pid)
  })

  test('has a socket for its owner only', async () => {
    const { home, socketPath } = await serve()
    await client(home)
    expect((await stat(socketPath)).mode & 0o777).toBe(0o600)
  })

  test('signs what runs of several clients submit, and pushes receipts', async () => {
    const { home } = await serve()
    const clients = await Promise.all([client(home), client(home), client(home)])
    const receipts: Attestation[] = []
    const runs = await Promise.all(clients.map((client) => client.openRun(newRun())))
    for (const run of runs) run.listen((receipt) => receipts.push(receipt))
    for (const run of runs) for (let seq = 0; seq <= 20; seq++) run.submit(head(seq))
    const last = await Promise.all(runs.map((run) => run.waitFor(20)))
    expect(last.map(({ seq }) => seq)).toEqual([20, 20, 20])
    expect(runs.map(({ signedSeq }) => signedSeq)).toEqual([20, 20, 20])
    expect(receipts.length).toBeGreaterThanOrEqual(3)
    await expect(runs[0].waitFor(7)).resolves.toEqual(last[0])
  })

  test('signs a head at once for who waits, whenever it comes', async () => {
    const { home } = await serve({ batchesPerSecond: 0.001 })
    const run = await (await client(home)).openRun(newRun())
    run.submit(head(0), { urgent: true })
    await run.waitFor(0)
    run.submit(head(1))
    expect((await run.waitFor(1)).seq).toBe(1)
    const waiting = run.waitFor(2)
    run.submit(head(2))
    expect((await waiting).seq).toBe(2)
  })

  test('lets a waiting be given up by signal and by time', async () => {
    const { home } = await serve()
    const signer = await client(home)
    const run = await signer.openRun(newRun())
    const giveUp = new AbortController()
    const waiting = run.waitFor(1, { signal: giveUp.signal })
    giveUp.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(run.waitFor(1, { timeoutMs: 5 })).rejects.toMatchObject({ code: 'TIMEOUT' })
    await expect(signer.openRun(newRun(), { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
    await expect(connectSigner({ home, signal: AbortSignal.abort(new Error('never')) })).rejects.toThrow('never')
  })

  test('tells those who wait that their run was closed', async () => {
    const { home } = await serve()
    const signer = await client(home)
    const run = await signer.openRun(newRun())
    const waiting = run.waitFor(3)
    await signer.close()
    await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' })
    await expect(signer.show()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('gives a run to who opened it last', async () => {
    const { home } = await serve()
    const [first, second] = [await client(home), await client(home)]
    const run = newRun()
    const old = await first.openRun(run)
    const waiting = old.waitFor(0)
    const taken = await second.openRun(run)
    await expect(waiting).rejects.toMatchObject({ code: 'RUN_TAKEN' })
    taken.submit(head(0))
    expect((await taken.waitFor(0)).seq).toBe(0)
    await expect(second.openRun(run)).rejects.toMatchObject({ code: 'RUN_TAKEN' })
  })

  test('takes up a run whose last receipt is from before a reset, with a statement about it', async () => {
    const { home, host } = await serve()
    const signer = await client(home)
    const run = newRun()
    const first = await signer.openRun(run)
    first.submit(head(0))
    const previous = await first.waitFor(0)
    expect(previous).toMatchObject({ boot: { bootId: null }, counter: { public: '03' } })
    first.close()
    host.resetCount++
    const again = await signer.openRun({ ...run, attempt: 2, firstSeq: 1, previous })
    again.submit(head(1))
    const joined = await again.waitFor(1)
    expect(joined.boot?.startup.attest).toBe('0200')
    expect(host.counted.map(({ purpose, attempt }) => [purpose, attempt])).toEqual([
      ['begin', 1],
      ['begin', 2],
    ])
  })

  test('refuses a run whose last receipt is later than its TPM', async () => {
    const { home, host } = await serve()
    const signer = await client(home)
    const run = newRun()
    const first = await signer.openRun(run)
    first.submit(head(0))
    const previous = await first.waitFor(0)
    first.close()
    host.resetCount--
    await expect(signer.openRun({ ...run, previous })).rejects.toMatchObject({
      code: 'TPM_ROLLED_BACK',
      message: expect.stringContaining('at resetCount/restartCount 0/0, clock 1 ms, and signed at') as string,
    })
    await signer.openRun(newRun())
  })

  test('goes on with the chain of an open run when the TPM is restarted under it', async () => {
    const { home, host } = await serve()
    const run = await (await client(home)).openRun(newRun())
    run.submit(head(0))
    await run.waitFor(0)
    host.restartCount++
    run.submit(head(1))
    expect((await run.waitFor(1)).boot?.startup.attest).toBe('0101')
    run.submit(head(2))
    expect((await run.waitFor(2)).boot).toBeUndefined()
  })

  test('certifies the counter at the end of an attempt', async () => {
    const { home, host } = await serve()
    const run = await (await client(home)).openRun(newRun())
    run.submit(head(0))
    await run.waitFor(0)
    run.submit({ ...head(1), end: true })
    expect((await run.waitFor(1)).counter).toBeDefined()
    expect(host.counted.map(({ purpose }) => purpose)).toEqual(['begin', 'end'])
  })

  test('takes up a run that another host began, whatever its TPM counted', async () => {
    const { home, host } = await serve()
    const other = new FakeHost()
    other.akName.set([1], 33)
    other.resetCount = 77
    const { attest } = await other.quote(digest())
    const pcrs = { sha256: { '0': '00'.repeat(32) } }
    const batch = { count: 1, index: 0, path: [], seq: '0' }
    const previous = { attempt: 1, attest: Buffer.from(attest).toString('hex'), batch, pcrs, seq: 4, signature: '09' }
    const run = await (await client(home)).openRun({ ...newRun(), attempt: 2, firstSeq: 5, previous })
    run.submit(head(5))
    expect((await run.waitFor(5)).attempt).toBe(2)
    expect(host.quoted).toHaveLength(1)
  })

  test('tells everybody why its TPM cannot be opened, then leaves', async () => {
    const why = new HostError('TPM_CHANGED', { message: 'another TPM', hint: 'reprise host init --new' })
    const { home, server } = await serve({
      openHost: async () => {
        throw why
      },
    })
    const said = { code: 'TPM_CHANGED', message: 'another TPM', hint: 'reprise host init --new' }
    await Promise.all([1, 2, 3].map(() => expect(connectSigner({ home })).rejects.toMatchObject(said)))
    await server.left
  })

  test('leaves when nobody is connected for a while, and closes its TPM', async () => {
    const { home, socketPath, host, server, log } = await serve({ idleMs: 30 })
    const signer = await connectSigner({ home })
    await new Promise((resolve) => setTimeout(resolve, 60))
    await signer.show()
    await signer.close()
    await server.left
    expect([host.closed, existsSync(socketPath), log.at(-1)]).toEqual([true, false, 'leaving: idle'])
  })

  test('ends when it is asked to, unless runs are open', async () => {
    const { home, server } = await serve()
    const signer = await client(home)
    const run = await signer.openRun(newRun())
    await expect(signer.stop()).rejects.toMatchObject({ code: 'BUSY' })
    run.close()
    await signer.stop()
    await server.left
  })

  test('stays whole whatever bytes it is sent', async () => {
    const { home, socketPath } = await serve()
    for (let i = 0; i < 40; i++) {
      const noise = randomBytes(1 + ((i * 331) % 9000))
      const heard = await speak(socketPath, (socket) =>
        socket.end(i % 2 === 0 ? noise : Buffer.concat([Buffer.from(HELLO), noise])),
      )
      expect(heard === '' || heard.includes('"type":')).toBe(true)
    }
    await (await client(home)).show()
  })

  test.each([
    ['a line without end', 'x'.repeat(REQUEST_BYTES_MAX + 1), 'longer than'],
    ['a request before hello', '{"type":"show","request":1}\n', 'before hello'],
    ['another version', `{"type":"hello","version":${PROTOCOL_VERSION + 1}}\n`, `speaks version ${PROTOCOL_VERSION}`],
    ['what is not JSON', 'GET / HTTP/1.1\n', 'not JSON'],
    ['bytes to sign', `${HELLO}{"type":"quote","qualifyingData":"00"}\n`, 'request.type must be'],
  ])('answers %s with an error and ends the connection', async (_what, sent, expected) => {
    const { socketPath } = await serve()
    const heard = await speak(socketPath, (socket) => socket.write(sent))
    expect(heard).toContain('"code":"PROTOCOL"')
    expect(heard).toContain(expected)
  })

  test('takes no more connections and runs than it can hold', async () => {
    const { home, socketPath } = await serve()
    const signer = await client(home)
    const opening = Array.from({ length: 257 }, () => signer.openRun(newRun()))
    const results = await Promise.allSettled(opening)
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1)
    const sockets = Array.from({ length: 64 }, () => connect(socketPath).on('error', () => undefined))
    const ended = sockets.map(
      (socket) => new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString()))),
    )
    expect(await Promise.race(ended)).toContain('"code":"LIMIT"')
    for (const socket of sockets) socket.destroy()
  })
})
