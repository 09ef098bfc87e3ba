/** The side that asks: opens a channel and says messages. Truth: spec/channel.md. */

import { connect as connectTls, type TLSSocket } from 'node:tls'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import { attest } from './attest.ts'
import { proverOf } from './batcher.ts'
import type { Attested, Channel, HostTpm, Opened } from './channel.ts'
import { BrokenRules } from './frames.ts'
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
  // Set again by the link; an error before that has its listener below.
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
  const limits = { ...CHANNEL_LIMITS, ...request.limits }
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
  if (error instanceof RefusedByPeer) return { kind: 'unattested', why: `it refuses this host: ${error.message}` }
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

function makeChannel(link: Link, peer: Attested, limits: ChannelLimits): Channel {
  const waiting = new Map<number, Waiting>()
  /** For a place among those in flight. */
  const queue: (() => void)[] = []
  let places = limits.inFlight
  let lastId = 0

  function release(id: number): Waiting | undefined {
    const found = waiting.get(id)
    waiting.delete(id)
    link.hold(waiting.size > 0)
    places += 1
    queue.shift()?.()
    return found
  }

  link.attested((frame) => {
    const { id, answer } = frame as AnswerFrame
    const found = release(id)
    if (found === undefined)
      link.end(new RecoveryError('CHANNEL', { message: `${peer.host} answers what nobody asked.` }))
    else found.done(answer)
  })
  void link.ended.then((reason) => {
    const error = reason ?? new RecoveryError('CHANNEL', { message: `The channel to ${peer.host} is closed.` })
    for (const { failed } of waiting.values()) failed(error)
    waiting.clear()
    for (const go of queue.splice(0)) go()
  })

  async function place(): Promise<void> {
    while (link.isOpen && places === 0) await new Promise<void>((resolve) => queue.push(resolve))
    places -= 1
  }

  async function exchange(message: Message): Promise<Answer> {
    await place()
    if (!link.isOpen) throw closed(peer.host)
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
    say: (message, timeoutMs) => within(exchange(message), timeoutMs, peer.host),
    close: () => link.end(),
  }
}

async function within(answer: Promise<Answer>, timeoutMs: number, host: HostId): Promise<Answer> {
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
    // One that is late still takes its place until it comes, or the channel ends.
    answer.catch(() => undefined)
  }
}

function closed(host: HostId): RecoveryError {
  return new RecoveryError('CHANNEL', { message: `The channel to ${host} is closed.`, hint: 'Open a new one.' })
}
