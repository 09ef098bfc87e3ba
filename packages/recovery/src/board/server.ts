/**
 * Serves the board over plain HTTP, on loopback unless it is told otherwise: what it shows is no secret, and nothing can
 * be changed through it. Truth: spec/board.md.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { RecoveryError } from '../error.ts'
import { PAGE_SCRIPT, PAGE_STYLE } from './page-assets.ts'
import { boardPage, lookOf } from './page.ts'
import { type Sightings, sightingsJson } from './sightings.ts'
import { boardView } from './view.ts'

/** Questions to the fleet are shared by everybody who looks, and are this old at most. */
const CACHE_MS = 2000
const HEADER_BYTES_MAX = 8192
const IDLE_MS = 10_000
const CONNECTIONS_MAX = 64

export interface BoardServer {
  /** `host:port`, where it listens. */
  readonly address: string
  readonly close: () => Promise<void>
}

export interface BoardOptions {
  /** `host:port`; port 0 for any. */
  readonly listen: string
  /** Asks the hosts of the roster how they stand. */
  readonly collect: () => Promise<Sightings>
  /** Milliseconds that only grow. */
  readonly clock: () => number
}

/** @throws RecoveryError `BOARD` when it cannot listen there. */
export async function serveBoard({ listen, collect, clock }: BoardOptions): Promise<BoardServer> {
  const [, host = '', port = ''] = /^(?:\[?([^\]]*?)\]?):(\d{1,5})$/.exec(listen) ?? []
  if (host === '' || Number(port) > 65_535)
    throw new RecoveryError('BOARD', { message: `${listen} is no address`, hint: 'such as 127.0.0.1:8480' })
  const sightings = cached(collect, clock)
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
    void answer(request, response, { host, sightings })
  })
  server.headersTimeout = IDLE_MS
  server.requestTimeout = IDLE_MS
  server.keepAliveTimeout = IDLE_MS
  server.maxConnections = CONNECTIONS_MAX
  await listening(server, host, Number(port))
  const { port: bound } = server.address() as AddressInfo
  const address = `${host.includes(':') ? `[${host}]` : host}:${bound}`
  return {
    address,
    async close() {
      server.close()
      server.closeAllConnections()
      if (server.listening) await once(server, 'close')
    },
  }
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new RecoveryError('BOARD', {
      message: `the board cannot be served at ${host}:${port}: ${why}`,
      hint: 'name another address with --board',
      cause,
    })
  }
}

function cached(collect: () => Promise<Sightings>, clock: () => number): () => Promise<Sightings> {
  let takenMs = -Infinity
  let last: Promise<Sightings> | undefined
  return () => {
    if (last === undefined || clock() - takenMs > CACHE_MS) {
      takenMs = clock()
      const asked = collect()
      asked.catch(() => {
        if (last === asked) last = undefined
      })
      last = asked
    }
    return last
  }
}

interface Served {
  readonly host: string
  readonly sightings: () => Promise<Sightings>
}

async function answer(request: IncomingMessage, response: ServerResponse, served: Served): Promise<void> {
  try {
    // A page from elsewhere whose name was made to point here would read the board through its visitor's browser.
    if (!isOurName(request.headers.host ?? '', served.host)) return say(response, 421, 'this board has another address')
    if (request.method !== 'GET' && request.method !== 'HEAD') return say(response, 405, 'it is only to be looked at')
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://board')
    if (pathname === '/sightings.json')
      return send(response, 'application/json', sightingsJson(await served.sightings()))
    if (pathname !== '/') return say(response, 404, 'there is / and /sightings.json')
    return send(
      response,
      'text/html; charset=utf-8',
      boardPage(boardView(await served.sightings()), lookOf(searchParams)),
    )
  } catch (error) {
    return say(response, 500, error instanceof Error ? error.message : String(error))
  }
}

function isOurName(named: string, host: string): boolean {
  const name = named.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  const isAny = host === '0.0.0.0' || host === '::'
  return name === host || name === 'localhost' || (isAny && /^[\d.]+$|:/.test(name))
}

const digestOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
const POLICY = [
  "default-src 'none'",
  `style-src ${digestOf(PAGE_STYLE)}`,
  `script-src ${digestOf(PAGE_SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

function send(response: ServerResponse, type: string, body: string): void {
  response.writeHead(200, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
  })
  response.end(body)
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' })
  response.end(`${text}\n`)
}
