/** The side that answers. Nothing that a peer does ends it. Truth: spec/channel.md. */

import { constants } from 'node:crypto'
import { type AddressInfo, createServer as createNetServer, type Server } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import { attest } from './attest.ts'
import { proverOf } from './batcher.ts'
import type { Answerer, Attested, HostTpm } from './channel.ts'
import { Doorkeeper, type Guest } from './doorkeeper.ts'
import { processIdentity, type TlsIdentity } from './identity.ts'
import { CHANNEL_LIMITS, type ChannelLimits } from './limits.ts'
import { ALPN, type Link, makeLink, type Say, tlsPeer } from './link.ts'
import { FAILED_TEXT_BYTES_MAX, toLine } from './message-codec.ts'
import type { Answer } from './messages.ts'
import type { PlanView } from './plan-view.ts'
import { Unattested } from './verify-proof.ts'

export interface ServeRequest {
  readonly tpm: HostTpm
  /** The newest plan; channels of an older one take no more messages. */
  readonly view: () => PlanView
  /** Port 0: any that is free. */
  readonly address: { readonly host: string; readonly port: number }
  readonly answer: Answerer
  readonly limits?: Partial<ChannelLimits>
  readonly identity?: TlsIdentity
  /** What went wrong with a peer, for people. Strangers can make many lines: cut them down before they are kept. */
  readonly log?: (line: string) => void
}

export interface ChannelServer extends AsyncDisposable {
  /** `host:port` */
  readonly address: string
  /** Ends all channels. */
  readonly close: () => Promise<void>
}

const LOG_BYTES_MAX = 500

/** @throws {@link RecoveryError} `CHANNEL` when the address cannot be had. */
export async function serveChannels(request: ServeRequest): Promise<ChannelServer> {
  const limits = { ...CHANNEL_LIMITS, ...request.limits }
  const identity = request.identity ?? processIdentity()
  const doorkeeper = new Doorkeeper(limits)
  const links = new Set<Link>()
  const seats = new Map<HostId, Link[]>()
  const log = (line: string): void => request.log?.(toLine(line, LOG_BYTES_MAX))
  const takePlan = places(limits.largeFrames)
  const tls = makeTls(identity, limits)
  const welcome = (socket: TLSSocket, guest: Guest | undefined): void => {
    const peer = tlsPeer(socket)
    if (guest === undefined || typeof peer === 'string')
      throw new Error(typeof peer === 'string' ? peer : 'it has left')
    const link = makeLink(peer, { role: 'witness', limits, sinceMs: guest.sinceMs, takePlan })
    links.add(link)
    void link.ended.then(() => links.delete(link))
    void converse(link, guest, { ...request, limits, identity, log, seats })
  }
  tls.on('secureConnection', (socket) => {
    socket.on('error', () => undefined)
    const guest = doorkeeper.guestOf(socket)
    try {
      welcome(socket, guest)
    } catch (error) {
      // Also what OpenSSL throws for a key of an unknown kind, or when the peer is gone already.
      log(`${guest?.origin ?? 'a peer'}: ${(error as Error).message}`)
      socket.destroy()
    }
  })
  tls.on('tlsClientError', (error, socket) => {
    log(`${socket.remoteAddress ?? 'a peer'}: ${error.message}`)
    socket.destroy()
  })
  const server = createNetServer({ noDelay: true }, (socket) => {
    if (doorkeeper.admit(socket)) tls.emit('connection', socket)
  })
  server.maxConnections = limits.connections
  await listen(server, request.address)
  const close = async (): Promise<void> => {
    const closing = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const link of links) link.end()
    doorkeeper.clear()
    await closing
  }
  return { address: shownAddress(server.address() as AddressInfo), close, [Symbol.asyncDispose]: close }
}

/** Takes no connections by itself: it is handed those that were let in. */
function makeTls({ key, cert }: TlsIdentity, { helloMs }: ChannelLimits): TlsServer {
  return createTlsServer({
    ...{ key, cert, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' },
    // Nothing to resume a session with: it would be refused.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...{ requestCert: true, rejectUnauthorized: false, ALPNProtocols: [ALPN], handshakeTimeout: helloMs },
  })
}

/** @returns Takes one of so many places, and gives back what leaves it; undefined while all are taken. */
function places(count: number): () => (() => void) | undefined {
  let taken = 0
  return () => {
    if (taken >= count) return undefined
    taken += 1
    return () => void (taken -= 1)
  }
}

async function listen(server: Server, { host, port }: ServeRequest['address']): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port, backlog: 511 }, resolve)
  try {
    await promise
    server.off('error', reject)
    // A descriptor that cannot be had for one peer is no reason to serve nobody.
    server.on('error', () => undefined)
  } catch (cause) {
    throw new RecoveryError('CHANNEL', {
      message: `Nobody can be served at ${host} port ${port}: ${(cause as Error).message}`,
      hint: 'Another program may have the port; the plan says which one is this host’s.',
      cause,
    })
  }
}

function shownAddress({ address, port, family }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}

type Serving = ServeRequest & {
  /** Attested channels by host, the oldest first. */
  readonly seats: Map<HostId, Link[]>
  readonly limits: ChannelLimits
  readonly identity: TlsIdentity
  readonly log: (line: string) => void
}

async function converse(link: Link, guest: Guest, serving: Serving): Promise<void> {
  const { tpm, identity, log } = serving
  try {
    const view = serving.view()
    const peer = await attest(link, { tpm, prover: proverOf(tpm), view, keyDigest: identity.keyDigest })
    guest.known()
    takeSeat(serving, peer.host, link)
    answerAll(link, { ...serving, peer, digest: view.digest })
    const reason = await link.ended
    if (reason !== undefined) log(`${peer.host}: ${reason.message}`)
  } catch (error) {
    log(`${guest.origin}: ${(error as Error).message}`)
    if (error instanceof Unattested) link.refuse(error.message)
    else link.end(error as Error)
  }
}

/** One host, gone mad or wicked, shall not have all connections. */
function takeSeat({ seats, limits }: Serving, host: HostId, link: Link): void {
  const taken = (seats.get(host) ?? []).filter(({ isOpen }) => isOpen)
  while (taken.length >= limits.perHost) taken.shift()?.end()
  seats.set(host, [...taken, link])
  void link.ended.then(() => {
    const left = seats.get(host)?.filter((one) => one !== link) ?? []
    if (left.length > 0) seats.set(host, left)
    else seats.delete(host)
  })
}

function answerAll(
  link: Link,
  { peer, digest, answer, view, limits, log }: Serving & { readonly peer: Attested; readonly digest: Uint8Array },
): void {
  let inFlight = 0
  let lastId = 0

  async function reply({ id, message }: Say): Promise<void> {
    let answered: Answer
    try {
      answered = await answer(peer, message)
    } catch (error) {
      log(`${peer.host}: ${message.kind}: ${(error as Error).message}`)
      // What went wrong in here is nobody else's business.
      answered = failed('this host could not answer; its own log says why')
    }
    inFlight -= 1
    link.hold(inFlight > 0)
    try {
      link.send({ kind: 'answer', id, answer: answered })
    } catch (error) {
      log(`${peer.host}: ${message.kind}: ${(error as Error).message}`)
      link.send({ kind: 'answer', id, answer: failed('the answer cannot be sent') })
    }
  }

  link.attested((frame) => {
    const say = frame as Say
    if (say.id !== lastId + 1 || inFlight >= limits.inFlight) {
      link.refuse(say.id === lastId + 1 ? `more than ${limits.inFlight} messages at once` : 'a message out of turn')
      return
    }
    // Whom the newest plan does not have any more is not talked to; others open a new channel and are judged by it.
    if (Buffer.compare(view().digest, digest) !== 0) {
      link.end()
      return
    }
    lastId = say.id
    inFlight += 1
    link.hold(true)
    void reply(say)
  })
}

function failed(text: string): Answer {
  return { kind: 'failed', code: 'NOT_NOW', text: toLine(text, FAILED_TEXT_BYTES_MAX) }
}
