/** The side that asks: opens a channel and says messages. Truth: spec/channel.md. */

import { connect as connectTls, type TLSSocket } from 'node:tls'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import { attest } from './attest.ts'
import { proverOf } from './batcher.ts'
import type { Attested, Channel, HostTpm, Opened } from './channel.ts'
import { BrokenRules, malformed } from './frames.ts'
import { processIdentity, type TlsIdentity } from './identity.ts'
import { CHANNEL_LIMITS, type ChannelLimits } from './limits.ts'
import { ALPN, type AnswerFrame, type Link, makeLink, RefusedByPeer, tlsPeer } from './link.ts'
import type { Answer, Message } from './messages.ts'
import type { PlanView } from './plan-view.ts'
import { Unattested } from './verify-proof.ts'

export interface OpenRequest {
  readonly tpm: HostTpm
  readonly view: PlanView
  readonly to: HostId
  /** For everything until the peer is attested. */
  readonly timeoutMs: number
  readonly limits?: Partial<ChannelLimits>
  /** That of the process unless given. */
  readonly identity?: TlsIdentity
  /** Local address to connect from; the system's choice unless given. */
  readonly from?: string
}

/** Never throws for what a peer does. @throws {@link RecoveryError} `CHANNEL` when the plan has no such host. */
export async function openChannel(request: OpenRequest): Promise<Opened> {
  const { view, to, timeoutMs } = request
  const host = view.hosts.get(to)
  if (host === undefined)
    throw new RecoveryError('CHANNEL', {
      message: `The plan (version ${view.version}) has no host ${to}.`,
      hint: 'Look for its name with: reprise recovery plan',
    })
  const sinceMs = performance.now()
  const identity = request.identity ?? processIdentity()
  const socket = connectTls({
    ...addressOf(host.address),
    ...(request.from !== undefined && { localAddress: request.from }),
    ...{ secureContext: identity.context, rejectUnauthorized: false, servername: '', ALPNProtocols: [ALPN] },
  })
  socket.setNoDelay(true)
  const late = new RecoveryError('CHANNEL', { message: `${to} did not attest itself within ${timeoutMs} ms.` })
  const timer = setTimeout(() => socket.destroy(late), timeoutMs)
  try {
    return await attestedBy(socket, { ...request, identity, sinceMs })
  } catch (error) {
    return failure(error as Error)
  } finally {
    clearTimeout(timer)
  }
}

async function attestedBy(
  socket: TLSSocket,
  request: OpenRequest & { readonly identity: TlsIdentity; readonly sinceMs: number },
): Promise<Opened> {
  const { tpm, view, to, identity, sinceMs } = request
  const limits = limitsOf(request)
  await secured(socket)
  const tls = tlsPeer(socket)
  if (typeof tls === 'string') {
    socket.destroy()
    return { kind: 'unattested', why: tls }
  }
  const link = makeLink(tls, { role: 'asking', limits, sinceMs })
  try {
    const { keyDigest } = identity
    const peer = await attest(link, { tpm, prover: proverOf(tpm), view, keyDigest, to })
    return { kind: 'attested', channel: makeChannel(link, peer, limits) }
  } catch (error) {
    if (error instanceof Unattested) link.refuse(error.message)
    else link.end(error as Error)
    throw error
  }
}

/** Of the asking side: until it is attested its patience counts, and it leaves an idle channel before the witness does. */
function limitsOf({ limits, timeoutMs }: OpenRequest): ChannelLimits {
  const all = { ...CHANNEL_LIMITS, ...limits }
  return { ...all, helloMs: 2 * timeoutMs, attestMs: 2 * timeoutMs, idleMs: (2 * all.idleMs) / 3 }
}

function secured(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => {
      socket.off('error', reject)
      resolve()
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('it closed the connection')))
  })
}

function failure(error: Error): Opened {
  if (error instanceof Unattested) return { kind: 'unattested', why: error.message }
  if (error instanceof RefusedByPeer) return { kind: 'unattested', why: `it refuses this host: ${error.why}` }
  // What speaks, but neither TLS nor frames, is something else at that address.
  const { code = '' } = error as { readonly code?: string }
  if (/^(ERR_SSL|ERR_TLS)/.test(code)) return { kind: 'unattested', why: `it does not speak TLS 1.3: ${error.message}` }
  if (error instanceof BrokenRules) return { kind: 'unattested', why: error.message }
  return { kind: 'unreachable', why: error.message }
}

function addressOf(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':')
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) }
}

interface Waiting {
  readonly done: (answer: Answer) => void
  readonly failed: (error: unknown) => void
}

/** Places of those in flight: who finds none waits for one. */
function places(count: number) {
  const queue: (() => void)[] = []
  let free = count
  return {
    async take(isOpen: () => boolean): Promise<void> {
      while (free === 0 && isOpen()) await new Promise<void>((resolve) => queue.push(resolve))
      free -= 1
    },
    leave(): void {
      free += 1
      queue.shift()?.()
    },
    /** There is nothing to wait for any more. */
    end(): void {
      for (const go of queue.splice(0)) go()
    },
  }
}

function makeChannel(link: Link, peer: Attested, limits: ChannelLimits): Channel {
  const waiting = new Map<number, Waiting>()
  const inFlight = places(limits.inFlight)
  let lastId = 0

  function release(id: number): Waiting | undefined {
    const found = waiting.get(id)
    waiting.delete(id)
    link.hold(waiting.size > 0)
    inFlight.leave()
    return found
  }

  link.attested((frame) => {
    const { id, answer } = frame as AnswerFrame
    const found = release(id)
    if (found === undefined) link.end(malformed(`${peer.host} answers what nobody asked`))
    else found.done(answer)
  })
  void link.ended.then((reason) => {
    const error = reason ?? closed(peer.host)
    for (const { failed } of waiting.values()) failed(error)
    waiting.clear()
    inFlight.end()
  })

  async function exchange(message: Message, givenUp: AbortSignal): Promise<Answer> {
    await inFlight.take(() => link.isOpen)
    if (!link.isOpen || givenUp.aborted) {
      inFlight.leave()
      throw closed(peer.host)
    }
    const id = ++lastId
    return new Promise((done, failed) => {
      waiting.set(id, { done, failed })
      link.hold(true)
      try {
        link.send({ kind: 'say', id, message })
      } catch (error) {
        lastId -= 1
        release(id)
        failed(error)
      }
    })
  }

  return {
    peer,
    get isOpen() {
      return link.isOpen
    },
    get remainingMs() {
      return link.remainingMs
    },
    say: (message, timeoutMs) => within((givenUp) => exchange(message, givenUp), timeoutMs, peer.host),
    close: () => link.end(),
  }
}

async function within(
  exchange: (givenUp: AbortSignal) => Promise<Answer>,
  timeoutMs: number,
  host: HostId,
): Promise<Answer> {
  const givenUp = new AbortController()
  const answer = exchange(givenUp.signal)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new RecoveryError('CHANNEL', {
      message: `${host} did not answer within ${timeoutMs} ms.`,
      hint: 'It may be busy. Ask it again, or another one.',
    })
    timer = setTimeout(() => reject(error), timeoutMs)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
    givenUp.abort()
    // One that is late still takes its place until it comes, or the channel ends.
    answer.catch(() => undefined)
  }
}

function closed(host: HostId): RecoveryError {
  return new RecoveryError('CHANNEL', { message: `The channel to ${host} is closed.`, hint: 'Open a new one.' })
}
