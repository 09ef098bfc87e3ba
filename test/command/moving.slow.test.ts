/** Runs that go on on another host, from their record alone. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBlobStore } from '../../packages/runner/src/blobs/index.ts'
import type { JournalRun } from '../../packages/runner/src/journal/index.ts'
import { journalOf, peek, peekHeld, runsIn } from './journals.ts'
import { guest, json, namesIn, Room, type Answer, type RunAnswer, type Running } from './room.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'
/** Snapshots and checkpoints several times a second. */
const FINE = ['--snapshot-ms', '100', '--checkpoint', 'every=100000000']
const WORDS = [
  'guest.wasm',
  'say',
  'ready',
  'append',
  'o.txt',
  'one',
  'random',
  'spin',
  '1500',
  'append',
  'o.txt',
  'two',
  'random',
]

let room: Room
let program: Uint8Array
beforeAll(async () => {
  room = await Room.create()
  program = await guest()
})
afterAll(() => room[Symbol.asyncDispose]())

const signedSnapshots = (run: JournalRun | undefined): number =>
  run?.snapshots.filter(({ seq }) => seq <= run.signedSeq).length ?? 0

/** Kills a command when so many attempts count, and the last of them has signed `count` snapshots. */
async function killAfter(
  home: string,
  run: string,
  { child, ended }: Running,
  { attempts, count }: { readonly attempts: number; readonly count: number },
): Promise<Answer> {
  const isThere = (found: JournalRun | undefined): boolean =>
    found !== undefined &&
    found.attempts.length >= attempts &&
    found.snapshots.filter(({ seq }) => seq >= found.attempts[attempts - 1].firstSeq && seq <= found.signedSeq)
      .length >= count
  while (!isThere(await peekHeld(child, home, run)) && child.exitCode === null) await sleep(10)
  child.kill('SIGKILL')
  return await ended
}

/** A run that was killed on a host of its own, and its record. */
async function killed(
  name: string,
  attach = 'resume',
  count = 2,
): Promise<{ home: string; run: string; record: string }> {
  const home = await room.newHost(name)
  const cwd = await room.newFolder({ 'guest.wasm': program })
  const running = room.start(['run', '-o', 'r.reprise', ...FINE, ...WORDS], { cwd, home })
  let run: string | undefined
  while (run === undefined && running.child.exitCode === null) {
    run = (await runsIn(home))[0]
    await sleep(10)
  }
  if (run === undefined) throw new Error((await running.ended).stderr)
  await killAfter(home, run, running, { attempts: 1, count })
  return { home, run, record: await exported(home, run, attach) }
}

/** One that several tests go on with elsewhere: nothing happens to it on its own host. */
let origin: ReturnType<typeof killed> | undefined
const killedAtOrigin = (): ReturnType<typeof killed> => (origin ??= killed('origin'))

async function exported(home: string, run: string, attach: string): Promise<string> {
  const cwd = await room.newFolder()
  const words = ['export', run.slice(0, 8), '--format', 'record', '--attach', attach, '-o', 'moved.reprise']
  expect(await room.reprise(words, { cwd, home })).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('reprise resume moved.reprise') as string,
  })
  return join(cwd, 'moved.reprise')
}

async function resume(
  record: string,
  home: string,
  options: readonly string[] = [],
): Promise<Answer & { readonly record: string }> {
  const cwd = await room.newFolder()
  const words = ['resume', '--json', '-o', 'r.reprise', ...options, record]
  return { ...(await room.reprise(words, { cwd, home })), record: join(cwd, 'r.reprise') }
}

/** What the program gives when nothing happens to it. */
let whole: Promise<RunAnswer> | undefined
function expectedAnswer(): Promise<RunAnswer> {
  return (whole ??= (async () => {
    const cwd = await room.newFolder({ 'guest.wasm': program })
    return json<RunAnswer>(await room.reprise(['run', '--json', '--no-snapshots', ...FINE.slice(2), ...WORDS], { cwd }))
  })())
}

async function expectWhole(answer: Answer): Promise<void> {
  const { cumulative, outputs, exit, checkpoints } = await expectedAnswer()
  expect(answer.code === 0 ? '' : answer.stdout + answer.stderr).toBe('')
  expect(json(answer)).toMatchObject({ cumulative, outputs, exit, checkpoints, signedCheckpoints: checkpoints })
}

interface Verified {
  readonly evidence: string
  readonly findings: readonly { readonly code: string; readonly path: string }[]
  readonly attestationKeys: readonly string[]
}
async function verify(record: string): Promise<Verified> {
  const cwd = await room.newFolder()
  return json<Verified>(await room.reprise(['verify', '--json', record], { cwd, home: room.newHome('nobody') }))
}

describe('a run that was killed goes on from its record alone', () => {
  test('on another host and, killed there too, on a third: one chain, three keys, two honest gaps', async () => {
    const { run, record } = await killed('a', 'all')
    const [b, c] = [await room.newHost('b'), await room.newHost('c')]
    const again = room.start(['resume', '-o', 'r.reprise', ...FINE.slice(0, 2), record], {
      cwd: await room.newFolder(),
      home: b,
    })
    await killAfter(b, run, again, { attempts: 2, count: 1 })
    expect((await peek(b, run))?.attempts.map(({ host }) => host)).toEqual([0, 1])
    const finished = await resume(await exported(b, run, 'all'), c, ['--attach', 'all'])
    await expectWhole(finished)

    const { evidence, findings, attestationKeys } = await verify(finished.record)
    expect(evidence).toBe('verified')
    expect(findings.map(({ code }) => code).toSorted()).toEqual([
      ...['ATTEMPT_GAP', 'ATTEMPT_GAP', 'SELF_ENROLLED', 'SELF_ENROLLED', 'SELF_ENROLLED'],
    ])
    expect(new Set(attestationKeys).size).toBe(3)

    const cwd = await room.newFolder()
    expect(await room.reprise(['export', finished.record, '--format', 'tpm2', '-o', 'q'], { cwd })).toMatchObject({
      code: 0,
    })
    expect(await namesIn(join(cwd, 'q'))).toEqual(['host-0', 'host-1', 'host-2'])
    for (const host of await namesIn(join(cwd, 'q'))) {
      const readme = await readFile(join(cwd, 'q', host, 'README.txt'), 'utf8')
      const script = /^ {4}for [\s\S]*?^ {4}done/m.exec(readme)?.[0] ?? 'false'
      const said = execFileSync('sh', ['-c', script], {
        cwd: join(cwd, 'q', host),
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      expect([said.includes('sig:'), said.includes('does not hold')]).toEqual([true, false])
    }

    const home = await room.newHost('reader')
    const repeated = await room.reprise(['repeat', '--json', finished.record], { cwd, home })
    expect(json<{ repetition: string }>(repeated)).toMatchObject({ repetition: 'reproduced' })
    const inParts = await room.reprise(['repeat', '--json', '--segments', 'all', finished.record], { cwd, home })
    expect(json<{ repetition: string }>(inParts)).toMatchObject({ repetition: 'reproduced', confidence: 1 })
  })

  test('on the host that has its journal still, which is not written over', async () => {
    const { home, run, record } = await killed('same')
    const before = await readFile(journalOf(home, run))
    const finished = await resume(record, home)
    await expectWhole(finished)
    expect((await readFile(journalOf(home, run))).subarray(0, before.length).equals(before)).toBe(true)
    expect((await verify(finished.record)).attestationKeys).toHaveLength(1)
  })

  test('and back on the first host, when the second has signed further', async () => {
    const { home, run, record } = await killed('first')
    const b = await room.newHost('second')
    const again = room.start(['resume', '-o', 'r.reprise', ...FINE.slice(0, 2), record], {
      cwd: await room.newFolder(),
      home: b,
    })
    await killAfter(b, run, again, { attempts: 2, count: 1 })
    const finished = await resume(await exported(b, run, 'resume'), home)
    await expectWhole(finished)
    const { evidence, attestationKeys } = await verify(finished.record)
    expect([evidence, attestationKeys.length]).toEqual(['verified', 2])
    expect((await peek(home, run))?.attempts.map(({ host }) => host)).toEqual([0, 1, 0])
  })
})

describe('blobs that the record does not carry', () => {
  /** As an exporter of blobs writes them. */
  async function blobFolder(home: string, run: string): Promise<string> {
    const folder = await room.newFolder()
    await mkdir(join(folder, 'sha256'))
    const store = await openBlobStore(home)
    const found = await peek(home, run)
    const snapshot = found?.snapshots.findLast(({ seq }) => seq <= found.signedSeq)
    if (found === undefined || snapshot === undefined) throw new Error('there is a signed snapshot')
    const manifest = JSON.parse(Buffer.from(await store.read(snapshot.manifest)).toString()) as Record<
      string,
      { sha256: string }[]
    >
    const parts = [manifest['frames'], manifest['host'], manifest['packs'], manifest['contents']]
      .flat()
      .map((blob) => blob.sha256)
    const files = found.computation.mounts.flatMap(({ source }) => (source.kind === 'files' ? source.files : []))
    const named = [found.computation.program, found.computation.stdin, ...files].map(({ sha256 }) => sha256)
    for (const digest of new Set([snapshot.manifest, ...parts, ...named]))
      await writeFile(join(folder, 'sha256', digest), await store.read(digest))
    return folder
  }

  /** Gives the files of a folder; the first answer for each breaks off in the middle. */
  async function serve(folder: string): Promise<{ server: Server; url: string; ranges: string[] }> {
    const asked = new Set<string | undefined>()
    const ranges: string[] = []
    const server = createServer((request, response) => {
      void readFile(join(folder, request.url ?? '')).then(
        (bytes) => {
          const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
          if (from > 0) ranges.push(request.headers.range ?? '')
          const rest = bytes.subarray(from)
          response.writeHead(from > 0 ? 206 : 200, {
            'content-length': rest.length,
            ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
          })
          const isFirst = !asked.has(request.url)
          asked.add(request.url)
          if (!isFirst || rest.length < 2) return response.end(rest)
          response.write(rest.subarray(0, rest.length >> 1), () => setTimeout(() => response.destroy(), 300))
          return undefined
        },
        () => response.writeHead(404).end(),
      )
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ranges }
  }

  test('come from a folder or a server, by digest; what is nowhere is named with its length', async () => {
    const { home, run } = await killedAtOrigin()
    const record = await exported(home, run, 'none')
    const folder = await blobFolder(home, run)
    const b = await room.newHost('folder')
    const missing = await resume(record, b)
    expect(missing).toMatchObject({
      code: 125,
      stdout: expect.stringMatching(/BLOB_MISSING.*[0-9]+ bytes +sha256:[0-9a-f]{64}.*--blobs/s) as string,
    })
    expect(await peek(b, run)).toBeUndefined()

    const digest = createHash('sha256').update(program).digest('hex')
    const other = await room.newFolder({ [`sha256/${digest}`]: 'something else', [digest]: 'the same length?' })
    const wrong = await resume(record, b, ['--blobs', other])
    expect(wrong).toMatchObject({ code: 125, stdout: expect.stringMatching(/has 14 bytes, not/) as string })
    expect(await resume(record, b, ['--blobs', join(other, 'nothing')])).toMatchObject({ code: 2 })
    await expectWhole(await resume(record, b, ['--blobs', other, '--blobs', folder]))

    const { server, url, ranges } = await serve(folder)
    try {
      const c = await room.newHost('server')
      const finished = await resume(record, c, ['--blobs', url, '--snapshot-ms', '100'])
      await expectWhole(finished)
      expect(ranges.length).toBeGreaterThan(0)
      expect(await namesIn(join(c, 'cache', 'downloads'))).toEqual([])
      const cwd = await room.newFolder()
      const words = ['repeat', '--json', '--blobs', url, finished.record]
      expect(await room.reprise(words, { cwd, home: await room.newHost('repeats') })).toMatchObject({ code: 0 })
    } finally {
      server.close()
    }
  })
})

describe('a record is not gone on with', () => {
  test('when its evidence does not hold, or its host is not trusted, or it has ended', async () => {
    const { run, record } = await killedAtOrigin()
    const home = await room.newHost('refusing')
    const bytes = await readFile(record)
    const forged = join(await room.newFolder(), 'forged.reprise')
    bytes[bytes.indexOf('attestations.jsonl') + 4000] ^= 1
    await writeFile(forged, bytes)
    expect(await resume(forged, home)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('"refuted"') as string,
    })
    const untrusted = await resume(record, home, ['--trust', '000b'.padEnd(68, '0')])
    expect(untrusted).toMatchObject({ code: 3, stdout: expect.stringContaining('SELF_ENROLLED') as string })
    expect(await resume('nothing.reprise', home)).toMatchObject({ code: 2 })
    expect(await peek(home, run)).toBeUndefined()
    const { attestationKeys } = await verify(record)
    const finished = await resume(record, home, ['--trust', attestationKeys[0]])
    await expectWhole(finished)
    expect(await resume(finished.record, room.newHome('late'))).toMatchObject({
      code: 2,
      stdout: expect.stringContaining('has ended') as string,
    })
  })

  test('when this host went on with it differently: both are kept, and diff says that they are a fork', async () => {
    const { run, record } = await killedAtOrigin()
    const [b, c] = [await room.newHost('fork-b'), await room.newHost('fork-c')]
    const onB = room.start(['resume', '-o', 'r.reprise', ...FINE.slice(0, 2), record], {
      cwd: await room.newFolder(),
      home: b,
    })
    await killAfter(b, run, onB, { attempts: 2, count: 1 })
    const finished = await resume(record, c)
    await expectWhole(finished)
    const before = await readFile(journalOf(c, run))
    const forked = await resume(await exported(b, run, 'resume'), c)
    expect(forked).toMatchObject({ code: 2, stdout: expect.stringMatching(/FORKED.*gone on with twice/) as string })
    expect((await readFile(journalOf(c, run))).equals(before)).toBe(true)
    const other = await resume(await exported(b, run, 'resume'), b)
    await expectWhole(other)
    const compared = await room.reprise(['diff', finished.record, other.record], { cwd: await room.newFolder() })
    expect(compared).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/fork: both are of the run .* gone on with twice/) as string,
    })
  })
})

test.runIf(NIGHTLY)('a journal is laid whole or not at all, whenever the process is killed', async () => {
  const { run, record } = await killed('source')
  let laid = 0
  for (let i = 0; i < 60; i++) {
    const home = await room.newHost(`lay-${i}`)
    const running = room.start(['resume', '-o', 'r.reprise', record], { cwd: await room.newFolder(), home })
    // From the first file that appears on; later and later.
    while (
      (await stat(join(home, 'runs', run)).catch(() => undefined)) === undefined &&
      running.child.exitCode === null
    )
      await sleep(1)
    await sleep(i * 4)
    running.child.kill('SIGKILL')
    await running.ended
    const there = await peek(home, run)
    if (there !== undefined) {
      laid += 1
      expect(signedSnapshots(there)).toBeGreaterThan(0)
    }
    if (i % 4 === 3) await expectWhole(there === undefined ? await resume(record, home) : await resume(run, home))
    await rm(home, { recursive: true, force: true, maxRetries: 5 }).catch(() => undefined)
  }
  expect(laid).toBeGreaterThan(0)
})
