/**
 * One TLS connection that carries frames, and everything that ends it: time, size, order. It knows nothing of quotes.
 * Truth: spec/channel.md §2, §5.1, §6.
 */

import { randomBytes } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { equal } from '@reprise/core'
import { RecoveryError } from '../error.ts'
import {
  decodeFrame,
  type Echo,
  encodeFrame,
  type Frame,
  FrameReader,
  type Hello,
  malformed,
  type ProofFrame,
  WHY_BYTES_MAX,
} from './frames.ts'
import { tlsKeyDigest } from './identity.ts'
import { toLine } from './message-codec.ts'
import { type ChannelLimits, FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX, UNREAD_BYTES_MAX } from './limits.ts'
import type { Role } from './statement.ts'

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
export class RefusedByPeer extends RecoveryError {
  readonly why: string

  constructor(why: string) {
    super('CHANNEL', { message: `The peer refuses this host: ${why}`, hint: 'Compare the plans of both hosts.' })
    this.why = why
  }
}

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
  /** Fastest of the round trips that this side begins, in milliseconds. The asking side's first one goes out by this. */
  readonly roundTrip: () => Promise<number>
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

/** What TLS has shown of the other end. */
export interface TlsPeer {
  readonly socket: TLSSocket
  /** SHA-256 of its SubjectPublicKeyInfo. */
  readonly keyDigest: Uint8Array
}

/** Looks at a connection after its TLS handshake. @returns A text when it is none that channels go over: why. */
export function tlsPeer(socket: TLSSocket): TlsPeer | string {
  if (socket.getProtocol() !== 'TLSv1.3') return 'it does not speak TLS 1.3'
  // A resumed session shows no certificate: its key would be known by hearsay.
  if (socket.isSessionReused()) return 'it resumed a session'
  if (socket.alpnProtocol !== ALPN) return `it does not speak ${ALPN}`
  const key = socket.getPeerX509Certificate()?.publicKey
  const keyDigest = key && tlsKeyDigest(key)
  return keyDigest === undefined ? 'it shows no key on P-256' : { socket, keyDigest }
}

export function makeLink(peer: TlsPeer, options: LinkOptions): Link {
  return new SocketLink(peer, options)
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
  readonly #echoes = {
    /** Of the next echo that the other side says. */
    turn: 0,
    nonce: new Uint8Array(),
    /** All that this side needs: drawing them one by one costs four times as much. */
    nonces: new Uint8Array(randomBytes(4 * ECHO_NONCE_BYTES)),
    sentMs: 0,
    fastestMs: Infinity,
    done: Promise.withResolvers<number>(),
  }
  #onWord: ((frame: Say | AnswerFrame) => void) | undefined
  #endsAtMs: number
  #isHeld = false
  #planOver: (() => void) | undefined
  readonly #timers = { hello: timer(), life: timer(), idle: timer(), frame: timer() }

  constructor({ socket, keyDigest }: TlsPeer, { role, limits, sinceMs, takePlan }: LinkOptions) {
    this.role = role
    this.#socket = socket
    this.#limits = limits
    this.#takePlan = takePlan
    this.peerKeyDigest = keyDigest
    this.#echoes.turn = role === 'asking' ? 1 : 0
    // Nobody may be waiting for it when the link ends.
    this.#echoes.done.promise.catch(() => undefined)
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
    this.#timers.hello.set(limits.helloMs - elapsedMs, () => this.end(silent('The peer says no hello.')))
    this.#timers.life.set(limits.attestMs - elapsedMs, () =>
      this.end(silent('The peer does not prove itself in time.')),
    )
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (cause) => this.#leave(cause))
    socket.on('close', () => this.#leave())
    socket.on('end', () => this.#leave())
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
    if (this.role === 'witness' && this.#socket.writableLength > UNREAD_BYTES_MAX)
      this.end(silent('The peer does not read.'))
    else {
      // All that is said in one turn of the event loop goes out together.
      if (this.#socket.writableCorked === 0) {
        this.#socket.cork()
        process.nextTick(() => this.#socket.uncork())
      }
      this.#socket.write(whole)
    }
  }

  next<K extends keyof Awaited>(kind: K): Promise<Awaited[K]> {
    const arrived = this.#arrived.get(kind)
    if (arrived !== undefined) return Promise.resolve(arrived as Awaited[K])
    if (this.#isOver) return Promise.reject(this.#reason ?? gone())
    const waiting = Promise.withResolvers<never>()
    this.#waiting.set(kind, waiting)
    return waiting.promise
  }

  roundTrip(): Promise<number> {
    if (this.role === 'asking') this.#echo(0, undefined)
    return this.#echoes.done.promise
  }

  /** Says the echo of that turn; the next one is the other side's. */
  #echo(turn: number, back: Uint8Array | undefined): void {
    const at = ECHO_NONCE_BYTES * (turn >> 1)
    const nonce = this.#echoes.nonces.subarray(at, at + ECHO_NONCE_BYTES)
    this.#echoes.nonce = nonce
    this.#echoes.sentMs = performance.now()
    this.send({ kind: 'echo', turn, nonce, ...(back !== undefined && { back }) })
  }

  #takeEcho({ turn, nonce, back }: Echo): void {
    const echoes = this.#echoes
    const isOurs = turn % 2 === (this.role === 'asking' ? 1 : 0)
    const isBack = turn === 0 ? back === undefined : back !== undefined && equal(back, echoes.nonce)
    if (!isOurs || turn !== echoes.turn || !isBack || !this.#seen.has('hello')) throw malformed('an echo out of turn')
    if (turn > 0) echoes.fastestMs = Math.min(echoes.fastestMs, performance.now() - echoes.sentMs)
    echoes.turn += 2
    if (turn < LAST_ECHO) this.#echo(turn + 1, nonce)
    // The asking side has its three one turn before the witness.
    if (turn >= LAST_ECHO - 1) echoes.done.resolve(echoes.fastestMs)
  }

  attested(onWord: (frame: Say | AnswerFrame) => void): void {
    if (this.#isOver) return
    this.#onWord = onWord
    this.#endsAtMs = performance.now() + this.#limits.lifeMs
    this.#timers.hello.clear()
    this.#timers.life.set(this.#limits.lifeMs, () => this.end(silent('The channel has had its time.')))
    this.#touchIdle()
  }

  hold(isHeld: boolean): void {
    this.#isHeld = isHeld
    if (this.#onWord !== undefined) this.#touchIdle()
  }

  refuse(why: string): void {
    if (this.#isOver) return
    this.send({ kind: 'refuse', why: toLine(why, WHY_BYTES_MAX) })
    this.end(malformed(why))
  }

  end(reason?: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#reason = reason
    for (const one of Object.values(this.#timers)) one.clear()
    this.#planOver?.()
    if (this.#onWord === undefined) {
      const error = reason ?? gone()
      for (const waiting of this.#waiting.values()) waiting.reject(error)
      this.#echoes.done.reject(error)
    }
    this.#socket.end()
    // What was written may still go out; a peer that does not read it holds nothing of ours for long.
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref()
    this.#finish(reason)
  }

  /** A connection tells of its end three times, and an error costs as much as a frame. */
  #leave(cause?: Error): void {
    if (!this.#isOver) this.end(gone(cause))
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
        this.#timers.frame.start(this.#limits.frameMs, () => this.end(silent('The peer does not finish its frame.')))
      if (this.#onWord !== undefined) this.#touchIdle()
    } catch (error) {
      this.end(error as Error)
    }
  }

  #obey(frame: Frame): void {
    switch (frame.kind) {
      case 'echo':
        return this.#takeEcho(frame)
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
/** Three round trips of each side. */
const LAST_ECHO = 6
const ECHO_NONCE_BYTES = 8

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

function silent(message: string): RecoveryError {
  return new RecoveryError('CHANNEL', { message, hint: 'Open a new channel; the peer may be busy, or cut off.' })
}

function gone(cause?: unknown): RecoveryError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new RecoveryError('CHANNEL', {
    message: `The peer is gone${why}.`,
    hint: 'Open a new channel; it may come back.',
    ...(cause !== undefined && { cause }),
  })
}
