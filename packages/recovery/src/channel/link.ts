/**
 * One TLS connection that carries frames, and everything that ends it: time, size, order. It knows nothing of quotes.
 * Truth: spec/channel.md §2, §5.1, §6.
 */

import { randomBytes } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { equal } from '@reprise/core'
import { RecoveryError } from '../error.ts'
import { encodeFrame, decodeFrame, type Frame, FrameReader, type Hello, malformed, type ProofFrame } from './frames.ts'
import { toLine } from './message-codec.ts'
import {
  type ChannelLimits,
  FRAME_BYTES_MAX,
  HANDSHAKE_FRAME_BYTES_MAX,
  PINGS_MAX,
  UNREAD_BYTES_MAX,
} from './limits.ts'
import { type Role, sha256 } from './statement.ts'

export const ALPN = 'reprise-peer/1'
const EXPORTER_LABEL = 'EXPORTER-reprise/peer/v1'
const EXPORTER_BYTES = 32

export type Say = Extract<Frame, { kind: 'say' }>
export type AnswerFrame = Extract<Frame, { kind: 'answer' }>

/** What comes once each before the peer is attested. */
interface Awaited {
  hello: Hello
  proof: ProofFrame
}

/** The other side says why it goes. */
export class RefusedByPeer extends Error {}

export interface Link {
  readonly role: Role
  readonly peerKeyDigest: Uint8Array
  readonly exporter: Uint8Array
  readonly isOpen: boolean
  /** Milliseconds that it may live on, once it is attested. */
  readonly remainingMs: number
  /** @throws {@link RecoveryError} `CHANNEL` for a frame that cannot be sent; one to a peer that is gone is dropped. */
  readonly send: (frame: Frame) => void
  /** The peer's hello or proof. Rejects when the link ends before. */
  readonly next: <K extends keyof Awaited>(kind: K) => Promise<Awaited[K]>
  /** Fastest of that many round trips, in milliseconds. */
  readonly fastestPing: (count: number) => Promise<number>
  /** From now on the frames of the other role's words are taken, for the channel's life. */
  readonly attested: (onWord: (frame: Say | AnswerFrame) => void) => void
  /** Something of the peer waits for us, or something of ours for the peer: it is not idle. */
  readonly hold: (isHeld: boolean) => void
  /** Says why, when it still can, and ends. */
  readonly refuse: (why: string) => void
  readonly end: (reason?: Error) => void
  /** Resolves with the reason when it is over; undefined for an end in order. */
  readonly ended: Promise<Error | undefined>
}

export interface LinkOptions {
  readonly role: Role
  readonly limits: ChannelLimits
  /** When the connection was begun, by `performance.now()`. */
  readonly sinceMs: number
  /** Whether one more plan may be received now; the function that it gives back is called when it is over. */
  readonly takePlan?: () => (() => void) | undefined
}

/** What must hold of TLS itself before anything is said. @returns Why it does not. */
export function tlsFault(socket: TLSSocket): string | undefined {
  if (socket.getProtocol() !== 'TLSv1.3') return 'it does not speak TLS 1.3'
  // A resumed session shows no certificate: its key would be known by hearsay.
  if (socket.isSessionReused()) return 'it resumed a session'
  if (socket.alpnProtocol !== ALPN) return `it does not speak ${ALPN}`
  const key = socket.getPeerX509Certificate()?.publicKey
  if (key?.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    return 'it shows no key on P-256'
  return undefined
}

function peerKeyDigest(socket: TLSSocket): Uint8Array {
  const key = socket.getPeerX509Certificate()?.publicKey
  if (key === undefined) throw malformed('it shows no key')
  return sha256(key.export({ type: 'spki', format: 'der' }))
}

/** @param socket - After its TLS handshake, and without {@link tlsFault}. */
export function makeLink(socket: TLSSocket, options: LinkOptions): Link {
  return new SocketLink(socket, options)
}

/** A class because it owns the socket and its timers. */
class SocketLink implements Link {
  readonly role: Role
  readonly peerKeyDigest: Uint8Array
  readonly exporter: Uint8Array
  readonly ended: Promise<Error | undefined>
  readonly #socket: TLSSocket
  readonly #limits: ChannelLimits
  readonly #takePlan: LinkOptions['takePlan']
  readonly #reader: FrameReader
  readonly #waiting = new Map<keyof Awaited, PromiseWithResolvers<never>>()
  readonly #arrived = new Map<keyof Awaited, Frame>()
  readonly #seen = new Set<keyof Awaited>()
  readonly #finish: (reason: Error | undefined) => void
  #reason: Error | undefined
  #isOver = false
  #pings = 0
  #ping: { readonly nonce: Uint8Array; readonly done: PromiseWithResolvers<void> } | undefined
  #onWord: ((frame: Say | AnswerFrame) => void) | undefined
  #endsAtMs: number
  #isHeld = false
  #planOver: (() => void) | undefined
  readonly #timers = { hello: timer(), life: timer(), idle: timer(), frame: timer() }

  constructor(socket: TLSSocket, { role, limits, sinceMs, takePlan }: LinkOptions) {
    this.role = role
    this.#socket = socket
    this.#limits = limits
    this.#takePlan = takePlan
    this.peerKeyDigest = peerKeyDigest(socket)
    this.exporter = new Uint8Array(socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0)))
    this.#endsAtMs = sinceMs + limits.attestMs
    const { promise, resolve } = Promise.withResolvers<Error | undefined>()
    this.ended = promise
    this.#finish = resolve
    this.#reader = new FrameReader(
      () => (this.#onWord === undefined ? HANDSHAKE_FRAME_BYTES_MAX : FRAME_BYTES_MAX),
      () => this.#mayTakePlan(),
    )
    const elapsedMs = performance.now() - sinceMs
    this.#timers.hello.set(limits.helloMs - elapsedMs, () => this.end(silent('says no hello')))
    this.#timers.life.set(limits.attestMs - elapsedMs, () => this.end(silent('does not come to an end of its hello')))
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (cause) => this.end(gone(cause)))
    socket.on('close', () => this.end(gone()))
    socket.on('end', () => this.end(gone()))
  }

  get isOpen(): boolean {
    return !this.#isOver
  }

  get remainingMs(): number {
    return this.#isOver ? 0 : Math.max(0, this.#endsAtMs - performance.now())
  }

  send(frame: Frame): void {
    const whole = encodeFrame(frame)
    if (this.#isOver) return
    // What the asking side has under way is bounded by its messages, of which one may be a plan.
    if (this.role === 'witness' && this.#socket.writableLength > UNREAD_BYTES_MAX) this.end(silent('does not read'))
    else this.#socket.write(whole)
  }

  next<K extends keyof Awaited>(kind: K): Promise<Awaited[K]> {
    const arrived = this.#arrived.get(kind)
    if (arrived !== undefined) return Promise.resolve(arrived as Awaited[K])
    if (this.#isOver) return Promise.reject(this.#reason ?? gone())
    const waiting = Promise.withResolvers<never>()
    this.#waiting.set(kind, waiting)
    return waiting.promise
  }

  async fastestPing(count: number): Promise<number> {
    let fastestMs = Infinity
    for (let i = 0; i < count; i++) {
      if (this.#isOver) throw this.#reason ?? gone()
      const ping = { nonce: new Uint8Array(randomBytes(8)), done: Promise.withResolvers<void>() }
      this.#ping = ping
      const sentMs = performance.now()
      this.send({ kind: 'ping', nonce: ping.nonce })
      await ping.done.promise
      fastestMs = Math.min(fastestMs, performance.now() - sentMs)
    }
    return fastestMs
  }

  attested(onWord: (frame: Say | AnswerFrame) => void): void {
    if (this.#isOver) return
    this.#onWord = onWord
    this.#endsAtMs = performance.now() + this.#limits.lifeMs
    this.#timers.hello.clear()
    this.#timers.life.set(this.#limits.lifeMs, () => this.end(silent('has had its time')))
    this.#touchIdle()
  }

  hold(isHeld: boolean): void {
    this.#isHeld = isHeld
    if (this.#onWord !== undefined) this.#touchIdle()
  }

  refuse(why: string): void {
    if (this.#isOver) return
    this.send({ kind: 'refuse', why: toLine(why, 300) })
    this.end(malformed(why))
  }

  end(reason?: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#reason = reason
    for (const one of Object.values(this.#timers)) one.clear()
    this.#planOver?.()
    const error = reason ?? gone()
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#ping?.done.reject(error)
    this.#socket.end()
    // What was written may still go out; a peer that does not read it holds nothing of ours for long.
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref()
    this.#finish(reason)
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return
    try {
      this.#reader.push(chunk)
      for (let content = this.#reader.next(); content !== undefined && !this.#isOver; content = this.#reader.next()) {
        this.#planOver?.()
        this.#planOver = undefined
        this.#timers.frame.clear()
        this.#obey(decodeFrame(content))
      }
      if (this.#isOver) return
      if (this.#reader.isWithin)
        this.#timers.frame.start(this.#limits.frameMs, () => this.end(silent('does not finish its frame')))
      if (this.#onWord !== undefined) this.#touchIdle()
    } catch (error) {
      this.end(error as Error)
    }
  }

  #obey(frame: Frame): void {
    switch (frame.kind) {
      case 'ping':
        if (++this.#pings > PINGS_MAX) throw malformed('too many pings')
        return this.send({ kind: 'pong', nonce: frame.nonce })
      case 'pong':
        if (this.#ping === undefined || !equal(this.#ping.nonce, frame.nonce)) throw malformed('a pong to no ping')
        this.#ping.done.resolve()
        this.#ping = undefined
        return
      case 'refuse':
        return this.end(new RefusedByPeer(frame.why))
      case 'hello':
      case 'proof':
        return this.#arrive(frame)
      default:
        if (this.#onWord === undefined) throw malformed(`${frame.kind} before it is attested`)
        if ((frame.kind === 'say') !== (this.role === 'witness')) throw malformed(`${frame.kind} from that side`)
        this.#onWord(frame)
    }
  }

  #arrive(frame: Hello | ProofFrame): void {
    const { kind } = frame
    if (this.#seen.has(kind) || (kind === 'proof' && !this.#seen.has('hello'))) throw malformed(`${kind} out of turn`)
    this.#seen.add(kind)
    if (kind === 'hello') this.#timers.hello.clear()
    this.#arrived.set(kind, frame)
    this.#waiting.get(kind)?.resolve(frame as never)
    this.#waiting.delete(kind)
  }

  #mayTakePlan(): boolean {
    if (this.role !== 'witness' || this.#onWord === undefined) return false
    this.#planOver ??= this.#takePlan?.()
    return this.#planOver !== undefined
  }

  #touchIdle(): void {
    if (this.#isHeld) this.#timers.idle.clear()
    else this.#timers.idle.set(this.#limits.idleMs, () => this.end())
  }
}

const LINGER_MS = 1000

interface Timer {
  readonly set: (afterMs: number, run: () => void) => void
  /** Unless it runs already. */
  readonly start: (afterMs: number, run: () => void) => void
  readonly clear: () => void
}

function timer(): Timer {
  let running: NodeJS.Timeout | undefined
  const clear = (): void => {
    clearTimeout(running)
    running = undefined
  }
  const start = (afterMs: number, run: () => void): void => {
    running ??= setTimeout(run, Math.max(0, afterMs))
  }
  return {
    start,
    clear,
    set(afterMs, run) {
      clear()
      start(afterMs, run)
    },
  }
}

function silent(what: string): RecoveryError {
  return new RecoveryError('CHANNEL', {
    message: `The peer ${what}.`,
    hint: 'It may be busy, or the network between may be cut.',
  })
}

function gone(cause?: unknown): RecoveryError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new RecoveryError('CHANNEL', {
    message: `The peer is gone${why}.`,
    hint: 'Open a new channel; it may come back.',
    ...(cause !== undefined && { cause }),
  })
}
