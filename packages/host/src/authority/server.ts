/**
 * The authority over HTTP. Nothing secret passes: what a challenge hides is of use only to the TPM that it is for, and
 * hosts know an authority by its root. Format: spec/enrolment.md §5.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fromHex, hex, type RepriseError } from '@reprise/core'
import { decodeMessage, encodeEnrolment, type EnrolProblem, MESSAGE_BYTES_MAX } from '../enrolment/messages.ts'
import { HostError } from '../error.ts'
import type { Authority } from './authority.ts'
import { RateLimit } from './rate.ts'
import { refusal, refusalCode, REFUSALS } from './refusal.ts'

export interface ServeOptions {
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  readonly log: (line: string) => void
  /** Challenges that one address may ask for at once, and in the long run. */
  readonly burst?: number
  readonly perMinute?: number
}

export interface AuthorityServer extends AsyncDisposable {
  readonly url: string
}

const CONNECTIONS_MAX = 256
const HEADERS_MS = 5_000
const REQUEST_MS = 15_000
const IDLE_MS = 5_000
const BURST = 30
const PER_MINUTE = 10
/** How often Node looks for connections that take too long. */
const CHECK_MS = 1000
/** Everything else costs less than a challenge, and a host that waits asks often. */
const READS_PER_CHALLENGE = 20

/** @throws {@link HostError} `LISTEN`. */
export async function serveAuthority(authority: Authority, options: ServeOptions): Promise<AuthorityServer> {
  const { burst = BURST, perMinute = PER_MINUTE, log } = options
  const now = (): number => performance.now()
  const limits: Limits = {
    challenges: new RateLimit({ burst, perSecond: perMinute / 60, now }),
    others: new RateLimit({
      burst: READS_PER_CHALLENGE * burst,
      perSecond: (READS_PER_CHALLENGE * perMinute) / 60,
      now,
    }),
  }
  const server = createServer(
    {
      connectionsCheckingInterval: CHECK_MS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: IDLE_MS,
      maxHeaderSize: 8192,
    },
    (request, response) => void respond(authority, limits, log, request, response),
  )
  server.maxConnections = CONNECTIONS_MAX
  await listen(server, options)
  const { address, port, family } = server.address() as AddressInfo
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      // What is being written is finished: its transaction holds the log.
      await authority.refresh().catch(() => undefined)
    },
  }
}

async function listen(server: Server, { host, port }: ServeOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, resolve)
  try {
    await promise
  } catch (cause) {
    throw new HostError('LISTEN', {
      message: `Nobody can be served at ${host} port ${port}: ${(cause as Error).message}`,
      hint: 'Give another address: --listen HOST:PORT',
      cause,
    })
  }
}

interface Limits {
  readonly challenges: RateLimit
  readonly others: RateLimit
}

interface Answered {
  readonly status: number
  readonly body: string | Uint8Array
}

async function respond(
  authority: Authority,
  limits: Limits,
  log: ServeOptions['log'],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const origin = request.socket.remoteAddress ?? 'unknown'
  const answered = await route(authority, limits, origin, request).catch((error: unknown) => problem(error, log))
  if (response.destroyed) return
  const type = 'application/json'
  // A body that was not read to its end leaves the connection of no use.
  const ends = request.complete ? {} : { connection: 'close' }
  response.writeHead(answered.status, { 'content-type': type, 'cache-control': 'no-store', ...ends })
  response.end(answered.body, () => {
    if (!request.complete) request.destroy()
  })
  if (request.method !== 'GET' || answered.status >= 400)
    log(`${origin} ${request.method} ${request.url} ${answered.status}`)
}

async function route(
  authority: Authority,
  limits: Limits,
  origin: string,
  request: IncomingMessage,
): Promise<Answered> {
  const { method, url = '' } = request
  const isChallenge = method === 'POST' && url === '/v1/requests'
  if (!(isChallenge ? limits.challenges : limits.others).take(origin))
    throw refusal('RATE', 'This address asks too often.', 'Try again in a minute.')
  const [, id, action] = /^\/v1\/requests(?:\/([0-9a-f]{64})(\/answer)?)?$/.exec(url) ?? []
  if (url === '/v1/authority') {
    only(method, 'GET')
    const { name, root } = authority.settings
    return ok(encodeEnrolment({ schema: 'reprise/authority/v1', name, root }))
  }
  if (url === '/v1/revocations') {
    only(method, 'GET')
    return ok(await authority.revocations())
  }
  if (url === '/v1/requests') {
    only(method, 'POST')
    const asked = decodeMessage(await readBody(request), 'reprise/enrol-request/v1')
    return ok(encodeEnrolment(await authority.challenge(asked, { origin })))
  }
  if (id !== undefined && action === undefined) {
    only(method, 'GET')
    return ok(encodeEnrolment(await authority.decision(fromHex(id))))
  }
  if (id !== undefined) {
    only(method, 'POST')
    const answer = decodeMessage(await readBody(request), 'reprise/enrol-answer/v1')
    if (hex(answer.request) !== id) throw refusal('MALFORMED', 'The answer is to another request than its address.')
    return ok(encodeEnrolment(await authority.answer(answer)))
  }
  throw refusal('UNKNOWN', 'There is no such page.', 'The pages are /v1/authority, /v1/revocations and /v1/requests.')
}

function ok(body: string | Uint8Array): Answered {
  return { status: 200, body }
}

function only(method: string | undefined, wanted: 'GET' | 'POST'): void {
  if (method !== wanted) throw refusal('METHOD', `This page takes ${wanted}, not ${method}.`)
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let lengthBytes = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    lengthBytes += chunk.length
    if (lengthBytes > MESSAGE_BYTES_MAX) throw refusal('TOO_LARGE', `A message has at most ${MESSAGE_BYTES_MAX} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** What is not a refusal stays with the authority's operator. */
function problem(error: unknown, log: ServeOptions['log']): Answered {
  const malformed = error instanceof HostError && error.code === 'PROTOCOL'
  const code = malformed ? 'MALFORMED' : refusalCode(error)
  if (code === undefined) {
    log(`failed: ${error instanceof Error ? error.message : String(error)}`)
    return said(500, { code: 'FAILED', message: 'The authority failed; its operator sees why.', hint: null })
  }
  const { message, hint } = error as RepriseError<string>
  return said(REFUSALS[code], { code, message, hint: hint ?? null })
}

function said(status: number, { code, message, hint }: Omit<EnrolProblem, 'schema'>): Answered {
  return { status, body: encodeEnrolment({ schema: 'reprise/enrol-problem/v1', code, message, hint }) }
}
