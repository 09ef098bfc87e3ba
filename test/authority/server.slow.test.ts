import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { hex } from '@reprise/core'
import { type Authority, type AuthorityServer, serveAuthority, type ServeOptions } from '@reprise/host/authority'
import { decodeMessage, encodeEnrolment, fetchRevocations } from '@reprise/host/enrolment'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { imitationHost } from './imitation-host.ts'
import { AuthorityRoom } from './rooms.ts'

let room: AuthorityRoom
let authority: Authority
let server: AuthorityServer
const log: string[] = []
beforeEach(async () => {
  room = await AuthorityRoom.create()
  await serve()
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await room[Symbol.asyncDispose]()
})

async function serve(more: Partial<ServeOptions> = {}): Promise<void> {
  await server?.[Symbol.asyncDispose]()
  log.length = 0
  authority = await room.open({ approve: 'software' })
  const options = { host: '127.0.0.1', port: 0, burst: 100_000, log: (line: string) => void log.push(line) }
  server = await serveAuthority(authority, { ...options, ...more })
}

/** Status and code of a page. */
async function ask(path: string, init: RequestInit = {}): Promise<{ readonly status: number; readonly code: string }> {
  const response = await fetch(`${server.url}${path}`, init)
  const content = new Uint8Array(await response.arrayBuffer())
  if (response.status === 200) return { status: 200, code: '' }
  return { status: response.status, code: decodeMessage(content, 'reprise/enrol-problem/v1').code }
}

const post = (path: string, body: string | Uint8Array<ArrayBuffer>): ReturnType<typeof ask> =>
  ask(path, { method: 'POST', body })

describe('the server of an authority', () => {
  test('enrols a host over HTTP', async () => {
    const host = imitationHost()
    const send = async (path: string, body: string): Promise<Uint8Array> =>
      new Uint8Array(await (await fetch(`${server.url}${path}`, { method: 'POST', body })).arrayBuffer())
    const asked = await send('/v1/requests', encodeEnrolment(host.request('alpha')))
    const challenge = decodeMessage(asked, 'reprise/enrol-challenge/v1')
    const page = `/v1/requests/${hex(challenge.request)}`
    const decided = await send(`${page}/answer`, encodeEnrolment(host.answer(challenge)))
    expect(decodeMessage(decided, 'reprise/enrol-decision/v1')).toMatchObject({ state: 'issued', name: 'alpha' })
    const again = new Uint8Array(await (await fetch(server.url + page)).arrayBuffer())
    expect(Buffer.from(again).equals(decided)).toBe(true)
    const shown = new Uint8Array(await (await fetch(`${server.url}/v1/authority`)).arrayBuffer())
    expect(decodeMessage(shown, 'reprise/authority/v1')).toMatchObject({ name: 'Test authority' })
    expect(await fetchRevocations({ authority: server.url })).toEqual(new Uint8Array(await authority.revocations()))
    expect(log).toEqual([`127.0.0.1 POST /v1/requests 200`, `127.0.0.1 POST ${page}/answer 200`])
  })

  const id = 'ab'.repeat(32)
  test.each([
    ['no page', 'GET', '/', 404, 'UNKNOWN'],
    ['a folder above', 'GET', '/v1/../key.pem', 404, 'UNKNOWN'],
    ['a page with a question', 'GET', '/v1/authority?x=1', 404, 'UNKNOWN'],
    ['an unknown request', 'GET', `/v1/requests/${id}`, 404, 'UNKNOWN'],
    ['an id in capitals', 'GET', `/v1/requests/${id.toUpperCase()}`, 404, 'UNKNOWN'],
    ['reading what is written', 'GET', '/v1/requests', 405, 'METHOD'],
    ['writing what is read', 'POST', '/v1/authority', 405, 'METHOD'],
    ['deleting', 'DELETE', `/v1/requests/${id}`, 405, 'METHOD'],
    ['an empty message', 'POST', '/v1/requests', 400, 'MALFORMED'],
  ])('answers %s', async (_what, method, path, status, code) => {
    expect(await ask(path, { method })).toEqual({ status, code })
  })

  test('takes exactly the messages of the protocol', async () => {
    const request = JSON.parse(encodeEnrolment(imitationHost().request('alpha'))) as Record<string, unknown>
    const wrong: unknown[] = [
      ...[null, [], 1, 'x', {}, [request], { ...request, more: 1 }, { ...request, schema: 'reprise/enrol-answer/v1' }],
      ...['', 'a b', '../x', 'ä', 'a'.repeat(65), '-a', 7, null].map((name) => ({ ...request, name })),
      ...['AB', 'abc', '', 'zz', null, 'ab'.repeat(5000)].map((akPublic) => ({ ...request, akPublic })),
      { ...request, ekIssuers: ['ab', 'ab', 'ab', 'ab'] },
    ]
    for (const value of wrong) {
      const { status, code } = await post('/v1/requests', JSON.stringify(value))
      if (status !== 400 || code !== 'MALFORMED')
        throw new Error(`${status} for ${JSON.stringify(value).slice(0, 100)}`)
    }
    expect(await post('/v1/requests', '['.repeat(50_000))).toEqual({ status: 400, code: 'MALFORMED' })
    expect(await post('/v1/requests', Buffer.from([0x22, 0xff, 0x22]))).toEqual({ status: 400, code: 'MALFORMED' })
    const { __proto__: _none, ...plain } = request
    expect(await post('/v1/requests', JSON.stringify(plain).replace('{', '{"__proto__":{},'))).toEqual({
      status: 400,
      code: 'MALFORMED',
    })
    expect(authority.state.requests.size).toBe(0)
  })

  test('refuses what is too long before it has read it', async () => {
    expect(await post('/v1/requests', Buffer.alloc(200_000, 0x20))).toEqual({ status: 413, code: 'TOO_LARGE' })
  })

  test('refuses an answer to another request than its address', async () => {
    const host = imitationHost()
    const challenge = await authority.challenge(host.request('alpha'), { origin: 'test' })
    const answer = encodeEnrolment(host.answer(challenge))
    expect(await post(`/v1/requests/${id}/answer`, answer)).toEqual({ status: 400, code: 'MALFORMED' })
    expect(await post(`/v1/requests/${hex(challenge.request)}/answer`, answer)).toEqual({ status: 200, code: '' })
  })

  test('never fails, and never issues, whatever is changed in a request or an answer', async () => {
    const host = imitationHost()
    const changed = fc.record({ at: fc.nat(), by: fc.integer({ min: 1, max: 255 }), cut: fc.boolean() })
    const change = (text: string, { at, by, cut }: { at: number; by: number; cut: boolean }): Buffer<ArrayBuffer> => {
      const bytes = Buffer.from(text)
      if (cut) return bytes.subarray(0, at % bytes.length)
      bytes[at % bytes.length] ^= by
      return bytes
    }
    await fc.assert(
      fc.asyncProperty(changed, async (how) => {
        const { status } = await post('/v1/requests', change(encodeEnrolment(host.request('alpha')), how))
        expect(status === 200 || (status >= 400 && status < 500)).toBe(true)
        const challenge = await authority.challenge(host.request('alpha'), { origin: 'test' })
        const answer = change(encodeEnrolment(host.answer(challenge)), how)
        // What carries no meaning may differ: the line feed at the end.
        const page = `/v1/requests/${hex(challenge.request)}/answer`
        const answered = await post(page, answer)
        if (answered.status === 200)
          expect(JSON.parse(answer.toString())).toEqual(JSON.parse(encodeEnrolment(host.answer(challenge))))
        else expect(answered.status).toBeLessThan(500)
      }),
      { numRuns: 25 },
    )
    expect(log.filter((line) => line.startsWith('failed'))).toEqual([])
  })

  test('stays up whatever bytes arrive', async () => {
    const port = Number(new URL(server.url).port)
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => {
        const socket = connect(port, '127.0.0.1', () =>
          socket.end(i % 2 === 0 ? randomBytes(300) : 'POST /v1/requests HTTP/1.1\r\ncontent-length: 9\r\n\r\nx'),
        )
        socket
          .on('error', () => undefined)
          .on('close', resolve)
          .resume()
      })
    }
    expect(await ask('/v1/authority')).toEqual({ status: 200, code: '' })
  })

  test('lets an address ask only so often', async () => {
    await serve({ burst: 3, perMinute: 6 })
    const body = encodeEnrolment(imitationHost().request('alpha'))
    const codes: string[] = []
    for (let i = 0; i < 5; i++) codes.push((await post('/v1/requests', body)).code)
    expect(codes).toEqual(['', '', '', 'RATE', 'RATE'])
    expect(await ask('/v1/authority')).toEqual({ status: 200, code: '' })
  })

  test('says nothing to a host of what failed inside', async () => {
    const { writeFileSync, rmSync } = await import('node:fs')
    rmSync(authority.paths.revocations, { force: true })
    writeFileSync(authority.paths.key, 'no key')
    expect(await ask('/v1/revocations')).toEqual({ status: 500, code: 'FAILED' })
    expect(log.join('\n')).toContain('key.pem')
  })
})
