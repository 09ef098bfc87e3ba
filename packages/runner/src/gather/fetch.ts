/** Fetching a file from a server, going on where an earlier try ended. */
import { once } from 'node:events'
import { mkdir, open, rm, stat } from 'node:fs/promises'
import { get as getHttp, type IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import { dirname } from 'node:path'
import { RunnerError, writeFailure } from '../error.ts'

/** Without a byte for so long, a try has failed. */
const IDLE_MS = 30_000
/** Tries in a row that bring nothing before the server is given up. */
const TRIES_MAX = 4
const BACKOFF_MS = 500
const REDIRECTIONS = new Set([301, 302, 303, 307, 308])
const REDIRECTIONS_MAX = 10

export interface FetchRequest {
  readonly url: string
  /** Where the bytes go; what is there is taken for the beginning of the file. */
  readonly path: string
  /** False: from the start, whatever is there. */
  readonly isResumed: boolean
  readonly lengthBytes: number | undefined
  readonly lengthBytesMax: number
  readonly signal: AbortSignal | undefined
  readonly onBytes: ((count: number) => void) | undefined
  /** Between two tries: half a second unless given, and twice as long after each that brought nothing. */
  readonly backoffMs?: number
}

export type Fetched =
  | { readonly kind: 'fetched'; readonly wasResumed: boolean; readonly remove: () => Promise<void> }
  | { readonly kind: 'absent' }
  | { readonly kind: 'failed'; readonly why: string }

/** One try: more bytes may be wanted, another try may help, or none will. */
type Try =
  | { readonly kind: 'whole' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'again' | 'useless'; readonly why: string }

/** @throws RunnerError `WRITE`, `DISK_FULL`; the signal's reason. */
export async function fetchFile(request: FetchRequest): Promise<Fetched> {
  const { path, url, backoffMs = BACKOFF_MS } = request
  const remove = (): Promise<void> => rm(path, { force: true })
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw writeFailure(error, path, 'a download')
  })
  if (!request.isResumed || (await sizeOf(path)) > request.lengthBytesMax) await remove()
  const wasResumed = (await sizeOf(path)) > 0
  for (let fruitless = 0; ;) {
    const before = await sizeOf(path)
    const tried = await tryOnce(request, before)
    request.signal?.throwIfAborted()
    if (tried.kind === 'whole') return { kind: 'fetched', wasResumed, remove }
    if (tried.kind === 'absent') return { kind: 'absent' }
    fruitless = (await sizeOf(path)) > before ? 0 : fruitless + 1
    if (tried.kind === 'useless' || fruitless >= TRIES_MAX) return { kind: 'failed', why: `${url}: ${tried.why}` }
    await new Promise((resolve) => setTimeout(resolve, backoffMs * 2 ** fruitless))
  }
}

async function tryOnce(request: FetchRequest, haveBytes: number): Promise<Try> {
  const { url, lengthBytes, signal } = request
  if (haveBytes === lengthBytes) return { kind: 'whole' }
  const idle = new AbortController()
  const alive = idleTimer(idle)
  try {
    // Compressed by the server, bytes could not be counted.
    const headers = { 'accept-encoding': 'identity', ...(haveBytes > 0 && { range: `bytes=${haveBytes}-` }) }
    const signals = [idle.signal, ...(signal === undefined ? [] : [signal])]
    const response = await ask(url, headers, AbortSignal.any(signals))
    return await receive(request, { response, haveBytes, alive })
  } catch (error) {
    // A disk that is full, not a server that fails.
    if (error instanceof RunnerError) throw error
    const { message, cause } = error as Error
    return { kind: 'again', why: cause instanceof Error ? cause.message : message }
  } finally {
    alive.stop()
  }
}

/**
 * Not `fetch`: it reads answers with WebAssembly, and a machine sets how V8 compiles that in the whole process. What it was
 * about to optimise would end the process.
 */
async function ask(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let asked = new URL(url)
  for (let redirections = 0; ; redirections++) {
    const request = (asked.protocol === 'https:' ? getHttps : getHttp)(asked, { headers, signal })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    // The answer says it, too.
    request.on('error', () => undefined)
    const { location } = response.headers
    const isElsewhere = location !== undefined && REDIRECTIONS.has(statusOf(response))
    if (!isElsewhere || redirections === REDIRECTIONS_MAX) return response
    response.destroy()
    asked = new URL(location, asked)
  }
}

/** An answer to a request has one. */
const statusOf = ({ statusCode = 0 }: IncomingMessage): number => statusCode

interface IdleTimer {
  readonly heard: () => void
  readonly stop: () => void
}

function idleTimer(idle: AbortController): IdleTimer {
  const timer = setTimeout(() => idle.abort(new Error(`nothing came for ${IDLE_MS / 1000} s`)), IDLE_MS)
  return { heard: () => void timer.refresh(), stop: () => clearTimeout(timer) }
}

async function receive(
  request: FetchRequest,
  {
    response,
    haveBytes,
    alive,
  }: { readonly response: IncomingMessage; readonly haveBytes: number; readonly alive: IdleTimer },
): Promise<Try> {
  const status = statusOf(response)
  if (status !== 200 && status !== 206) response.destroy()
  if (status === 404 || status === 410) return { kind: 'absent' }
  // Nothing comes after what is there: only its digest can tell whether that is all.
  if (status === 416 && request.lengthBytes === undefined) return { kind: 'whole' }
  if (status !== 200 && status !== 206) {
    const why = `the server answers ${status}${response.statusMessage ? ` ${response.statusMessage}` : ''}`
    return { kind: status >= 500 || status === 429 || status === 408 ? 'again' : 'useless', why }
  }
  const isRest = status === 206 && response.headers['content-range']?.startsWith(`bytes ${haveBytes}-`) === true
  if (status === 206 && !isRest) {
    response.destroy()
    return { kind: 'useless', why: 'the server answers with another part than was asked for' }
  }
  return await append(request, { response, alive, from: isRest ? haveBytes : 0 })
}

async function append(
  { path, lengthBytes, lengthBytesMax, onBytes }: FetchRequest,
  { response, alive, from }: { readonly response: IncomingMessage; readonly alive: IdleTimer; readonly from: number },
): Promise<Try> {
  const file = await open(path, from === 0 ? 'w' : 'a', 0o600).catch((error: unknown) => {
    throw writeFailure(error, path, 'a download')
  })
  let total = from
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      alive.heard()
      total += chunk.length
      if (total > lengthBytesMax)
        return { kind: 'useless', why: `the server gives more than the ${lengthBytesMax} bytes that it may have` }
      await file.appendFile(chunk).catch((error: unknown) => {
        throw writeFailure(error, path, 'a download')
      })
      onBytes?.(chunk.length)
    }
  } finally {
    await file.close()
  }
  if (lengthBytes === undefined || total === lengthBytes) return { kind: 'whole' }
  return { kind: 'again', why: `the server ended after ${total} of ${lengthBytes} bytes` }
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0
}
