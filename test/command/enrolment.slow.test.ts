/** Enrolling hosts by whole commands: an authority in a process of its own, in a folder of its own, with a TPM of the host's own. */
import { randomInt } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hex } from '@reprise/core'
import { decodeMessage, encodeEnrolment, fetchRevocations } from '@reprise/host/enrolment'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { imitationHost } from '../authority/imitation-host.ts'
import { type Answer, guest, json, Room, type Running } from './room.ts'

const NIGHTLY = process.env['REPRISE_TESTS'] === 'nightly'

let room: Room
beforeAll(async () => {
  room = await Room.create()
})
afterAll(() => room[Symbol.asyncDispose]())

/** An authority in a folder of its own. */
async function newAuthority(words: readonly string[] = []) {
  const folder = await room.newFolder()
  const at = ['--home', join(folder, 'authority')]
  const authority = async (...said: readonly string[]): Promise<Answer> =>
    await room.reprise(['authority', ...said, ...at], { cwd: folder })
  expect((await authority('init', '--name', 'Lab', ...words)).code).toBe(0)
  const { authority: fingerprint } = json<{ authority: string }>(await authority('show', '--json'))
  return {
    folder,
    home: join(folder, 'authority'),
    authority,
    fingerprint,
    serve: (...said: string[]) => serve(folder, [...at, ...said]),
  }
}

interface Serving {
  readonly running: Running
  readonly url: string
}

async function serve(folder: string, words: readonly string[]): Promise<Serving> {
  const said = ['authority', 'serve', '--listen', '127.0.0.1:0', ...words]
  const running = room.start(said, { cwd: folder, readsStdout: true })
  let heard = ''
  for await (const chunk of running.child.stdout ?? []) {
    heard += String(chunk)
    const [, url] = /listening at (\S+)/.exec(heard) ?? []
    if (url !== undefined) return { running, url }
  }
  throw new Error(`the authority ended: ${(await running.ended).stderr}`)
}

async function stop({ running }: Serving): Promise<Answer> {
  running.child.kill('SIGTERM')
  return await running.ended
}

interface EnrollAnswer {
  readonly schema: string
  readonly state: string
  readonly request?: string
  readonly name: string
  readonly tier?: string
  readonly authority?: string
}

describe('reprise host enroll', () => {
  test('waits for the operator, gets its certificate, and says so from then on', async () => {
    const lab = await newAuthority()
    const serving = await lab.serve()
    const { folder } = lab
    const words = [
      'host',
      'enroll',
      '--authority',
      serving.url,
      '--authority-root',
      lab.fingerprint,
      '--name',
      'node-1',
    ]
    const waiting = await room.reprise([...words, '--json'], { cwd: folder })
    expect(waiting.code).toBe(3)
    const { state, request = '' } = json<EnrollAnswer>(waiting)
    expect(state).toBe('waiting')
    const list = json<{ requests: { request: string; tier: string; name: string }[] }>(
      await lab.authority('list', '--json'),
    )
    expect(list.requests).toMatchObject([{ request, tier: 'software', name: 'node-1' }])
    expect(await lab.authority('approve', request.slice(0, 12))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('issued   node-1') as string,
    })
    const enrolled = await room.reprise(words, { cwd: folder })
    expect(enrolled).toMatchObject({ code: 0, stderr: '' })
    expect(enrolled.stdout).toContain(`enrolled   node-1   software TPM\n  by Lab ${lab.fingerprint}`)
    const shown = await room.reprise(['host', 'show'], { cwd: folder })
    expect(shown.stdout).toContain(`enrolment        node-1, software TPM, by Lab ${lab.fingerprint}`)
    // The signer that holds the TPM has it from the moment on when it was kept.
    expect(json<EnrollAnswer>(await room.reprise([...words, '--json'], { cwd: folder })).state).toBe('enrolled')

    expect((await lab.authority('revoke', 'node-1', '--reason', 'keyCompromise')).code).toBe(0)
    const refused = await room.reprise([...words, '--renew'], { cwd: folder })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain(
      'ENROLMENT_REFUSED   The authority says: A certificate of this attestation key was revoked.',
    )
    const whole = await lab.authority('audit')
    expect(whole).toMatchObject({ code: 0, stdout: expect.stringContaining('whole   ') as string })
    expect((await stop(serving)).code).toBe(0)
  })

  test('goes by files, for a host that is not on the network', async () => {
    const lab = await newAuthority()
    const { folder } = lab
    const home = await room.newHost('offline')
    const host = async (...words: readonly string[]): Promise<Answer> =>
      await room.reprise(['host', 'enroll', ...words], { cwd: folder, home })
    const known = ['--authority-root', join(lab.home, 'root.pem')]
    expect((await host('--request', 'request.json', '--name', 'vault')).code).toBe(0)
    expect((await lab.authority('challenge', 'request.json', '-o', 'challenge.json')).code).toBe(0)
    expect((await host('--authority', 'challenge.json', ...known)).code).toBe(2)
    expect((await host('--authority', 'challenge.json', '-o', 'answer.json', ...known)).code).toBe(0)
    const waiting = await lab.authority('certify', 'answer.json', '-o', 'certificate.json', '--json')
    expect(waiting.code).toBe(3)
    const { request } = json<{ request: string }>(waiting)
    expect((await lab.authority('approve', request.slice(0, 8), '-o', 'approved.json')).code).toBe(0)
    expect((await lab.authority('certify', 'answer.json', '-o', 'certificate.json')).code).toBe(0)
    expect(await readFile(join(folder, 'certificate.json'), 'utf8')).toBe(
      await readFile(join(folder, 'approved.json'), 'utf8'),
    )
    expect(await host('--authority', 'certificate.json', ...known)).toMatchObject({ code: 0, stderr: '' })
    expect((await room.reprise(['host', 'show'], { cwd: folder, home })).stdout).toContain(
      'enrolment        vault, software TPM, by Lab',
    )

    // Another authority, a file that is none, a certificate for another host.
    const other = `sha256:${'ab'.repeat(32)}`
    expect(await host('--authority', 'certificate.json', '--authority-root', other)).toMatchObject({ code: 1 })
    await writeFile(join(folder, 'noise.json'), '{"schema":"reprise/enrol-decision/v1"}')
    expect((await host('--authority', 'noise.json', ...known)).stderr).toContain('PROTOCOL')
    const elsewhere = await room.reprise(['host', 'enroll', '--authority', 'certificate.json', ...known], {
      cwd: folder,
    })
    expect(elsewhere).toMatchObject({ code: 1 })
    expect(elsewhere.stderr).toContain('CERTIFICATE')
  })

  test('wants to be told how', async () => {
    const { folder } = await newAuthority()
    for (const words of [[], ['--authority', 'http://127.0.0.1:1', '--request', 'x.json'], ['--authority', 'ftp://x']])
      expect(await room.reprise(['host', 'enroll', ...words], { cwd: folder })).toMatchObject({ code: 2 })
    const nobody = await room.reprise(['host', 'enroll', '--authority', 'http://127.0.0.1:1', '--renew'], {
      cwd: folder,
    })
    expect(nobody.code).toBe(3)
    expect(nobody.stderr).toContain('AUTHORITY_UNREACHABLE')
  })
})

describe('reprise authority', () => {
  test('keeps to its passphrase, its folder and its log', async () => {
    const folder = await room.newFolder({ pass: 'correct horse\n', wrong: 'no\n' })
    const at = ['--home', join(folder, 'a')]
    const run = async (...words: readonly string[]): Promise<Answer> =>
      await room.reprise(['authority', ...words, ...at], { cwd: folder })
    expect((await run('show')).code).toBe(2)
    expect((await run('init', '--passphrase-file', 'pass')).code).toBe(0)
    expect((await run('init')).code).toBe(2)
    expect((await run('revocations', '--passphrase-file', 'wrong')).code).toBe(3)
    const list = await run('revocations', '--passphrase-file', 'pass')
    expect(JSON.parse(list.stdout)).toMatchObject({ schema: 'reprise/signed/v1' })
    const log = await readFile(join(folder, 'a', 'log.jsonl'), 'utf8')
    await writeFile(join(folder, 'a', 'log.jsonl'), log.replace('Reprise authority', 'Another authority'))
    expect(await run('audit')).toMatchObject({ code: 1 })
  })

  test('killed at any moment loses nothing that a host was told, and issues nothing twice', async () => {
    const lab = await newAuthority()
    const issued = new Map<string, string>()
    let next = 0
    const enrolOne = async (url: string): Promise<void> => {
      const name = `host-${(next += 1)}`
      const host = imitationHost({ ak: name, ek: name })
      const post = async (path: string, body: string): Promise<Uint8Array> =>
        new Uint8Array(await (await fetch(`${url}${path}`, { method: 'POST', body })).arrayBuffer())
      const challenge = decodeMessage(
        await post('/v1/requests', encodeEnrolment(host.request(name))),
        'reprise/enrol-challenge/v1',
      )
      const page = `/v1/requests/${hex(challenge.request)}/answer`
      const decision = decodeMessage(
        await post(page, encodeEnrolment(host.answer(challenge))),
        'reprise/enrol-decision/v1',
      )
      if (decision.state === 'issued') issued.set(name, hex(decision.certificates[0]))
    }
    const ROUNDS = NIGHTLY ? 40 : 6
    for (let round = 0; round < ROUNDS; round++) {
      const serving = await lab.serve('--approve', 'software', '--per-minute', '100000')
      const killMs = randomInt(10, 400)
      // Whatever is under way when the kill comes fails; what was answered counts.
      const hosts = Promise.all(
        [0, 1].map(async () => {
          for (let i = 0; i < 12; i++) await enrolOne(serving.url)
        }),
      ).catch(() => undefined)
      await sleep(killMs)
      serving.running.child.kill('SIGKILL')
      await serving.running.ended
      await hosts
      const audit = await lab.authority('audit')
      expect(`killed after ${killMs} ms: ${audit.stdout}${audit.stderr}`).toContain('whole')
    }
    const { certificates } = json<{ certificates: { name: string; serial: string }[] }>(
      await lab.authority('list', '--all', '--json'),
    )
    expect(new Set(certificates.map(({ serial }) => serial)).size).toBe(certificates.length)
    expect(new Set(certificates.map(({ name }) => name)).size).toBe(certificates.length)
    const known = new Set(certificates.map(({ name }) => name))
    expect([...issued.keys()].filter((name) => !known.has(name))).toEqual([])
    const log = await readFile(join(lab.home, 'log.jsonl'), 'utf8')
    expect([...issued].filter(([, certificate]) => !log.includes(certificate))).toEqual([])
  })
})

describe('a run on an enrolled host', () => {
  interface Verified {
    readonly evidence: string
    readonly enrolment: string
    readonly tier: string
    readonly findings: readonly { readonly code: string }[]
  }

  test('verifies by nothing but the root of the authority, and is refuted once the host is revoked', async () => {
    const lab = await newAuthority()
    const { folder } = lab
    const home = await room.newHost('runner')
    const serving = await lab.serve('--approve', 'software')
    const host = async (...words: readonly string[]): Promise<Answer> =>
      await room.reprise(words, { cwd: folder, home })
    await writeFile(join(folder, 'guest.wasm'), await guest())
    const run = async (record: string): Promise<Answer> => await host('run', '-o', record, 'guest.wasm', 'say', 'hello')
    // Before anybody vouches for the host, and with a signer that is up already.
    expect((await run('before.reprise')).code).toBe(0)
    expect(
      (
        await host(
          'host',
          'enroll',
          '--authority',
          serving.url,
          '--authority-root',
          lab.fingerprint,
          '--name',
          'node-9',
        )
      ).code,
    ).toBe(0)
    const ran = await run('after.reprise')
    expect(ran.code).toBe(0)
    expect(ran.stderr).toContain('software TPM, enrolled')

    // The reader has the record and the root, no TPM, and a home of its own.
    const reader = await room.newFolder({
      'after.reprise': await readFile(join(folder, 'after.reprise')),
      'before.reprise': await readFile(join(folder, 'before.reprise')),
      'root.pem': await readFile(join(lab.home, 'root.pem')),
      'trust.json': '{"schema":"reprise/trust/v1","authorities":[{"file":"root.pem"}]}',
      'checking.json':
        '{"schema":"reprise/trust/v1","authorities":[{"file":"root.pem"}],"revocations":[{"file":"list.json"}]}',
    })
    const verify = async (...words: readonly string[]): Promise<Answer> =>
      await room.reprise(['verify', ...words, '--json'], {
        cwd: reader,
        home: room.newHome('reader'),
        env: { REPRISE_TPM: 'device' },
      })
    const after = await verify('after.reprise', '--trust', 'trust.json', '--require-enrolment')
    expect(json<Verified>(after)).toMatchObject({ evidence: 'verified', enrolment: 'authority', tier: 'software' })
    expect(after.code).toBe(0)
    // The record of before is by the same key, and nothing in it says who vouches for it.
    const before = await verify('before.reprise', '--trust', 'trust.json')
    expect(before.code).toBe(3)
    expect(json<Verified>(before)).toMatchObject({ enrolment: 'self' })

    const lists = async (): Promise<void> => {
      const list = await fetchRevocations({ authority: serving.url })
      await writeFile(join(reader, 'list.json'), list)
    }
    await lists()
    expect((await verify('after.reprise', '--trust', 'checking.json')).code).toBe(0)
    expect((await lab.authority('revoke', 'node-9')).code).toBe(0)
    await lists()
    const revoked = await verify('after.reprise', '--trust', 'checking.json')
    expect(revoked.code).toBe(1)
    expect(json<Verified>(revoked).evidence).toBe('refuted')
    expect(
      json<Verified>(revoked)
        .findings.map(({ code }) => code)
        .join(),
    ).toContain('REVOKED')

    // Another authority says nothing about this host.
    const other = await newAuthority()
    await writeFile(join(reader, 'root.pem'), await readFile(join(other.home, 'root.pem')))
    expect((await verify('after.reprise', '--trust', 'trust.json')).code).toBe(3)
    await stop(serving)
  })
})
