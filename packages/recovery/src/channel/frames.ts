/** What stands on the wire: a length, then canonical JSON. Truth: spec/channel.md §5.1. */

import { canonical, hex, parseCanonicalBytes, utf8 } from '@reprise/core'
import { bytes, type Decode, integer, list, object, oneOf, optional, refused } from '@reprise/host/decode'
import { RecoveryError } from '../error.ts'
import type { HostId } from '../types.ts'
import { BATCH_MAX, FRAME_BYTES_MAX, SIGNED_PLAN_BYTES_MAX } from './limits.ts'
import { answer, hostId, line, message, toLine } from './message-codec.ts'
import type { Answer, Message } from './messages.ts'
import type { BatchPlace } from './statement.ts'

/** Who I am, and what I want quoted. */
export interface Hello {
  readonly kind: 'hello'
  readonly host: HostId
  readonly nonce: Uint8Array
  readonly akPublic: Uint8Array
  readonly planVersion: number
  /** Registers that the other side shall quote, ascending. */
  readonly registers: readonly number[]
}

export interface ProofFrame extends BatchPlace {
  readonly kind: 'proof'
  readonly attest: Uint8Array
  readonly signature: Uint8Array
  /** Values of the registers that were asked for, in that order. */
  readonly registers: readonly Uint8Array[]
}

/** Answered at once by the echo of the next turn: so both sides measure how far the other is. */
export interface Echo {
  readonly kind: 'echo'
  /** From 0, which is the asking side's. */
  readonly turn: number
  readonly nonce: Uint8Array
  /** The nonce of the turn before; absent in the first. */
  readonly back?: Uint8Array
}

export type Frame =
  | Hello
  | ProofFrame
  /** The last word of a side that does not take the other's hello or proof. */
  | { readonly kind: 'refuse'; readonly why: string }
  | Echo
  | { readonly kind: 'say'; readonly id: number; readonly message: Message }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }

export const WHY_BYTES_MAX = 300
const ID_MAX = 2 ** 32 - 1
const PCR_MAX = 23
const TURN_MAX = 6
const PATH_MAX = Math.log2(BATCH_MAX)

const someRegisters = list(integer(0, PCR_MAX), PCR_MAX + 1)
const ascending: Decode<readonly number[]> = (value, path) => {
  const pcrs = someRegisters(value, path)
  if (pcrs.length > 0 && pcrs.every((pcr, i) => i === 0 || pcrs[i - 1] < pcr)) return pcrs
  throw refused(path, 'registers, ascending')
}

const echoNonce = bytes(8)
const shapes: { readonly [K in Frame['kind']]: Decode<Extract<Frame, { kind: K }>> } = {
  hello: object<Hello>({
    kind: oneOf('hello'),
    host: hostId,
    nonce: bytes(32),
    akPublic: bytes(1, 1024),
    planVersion: integer(0, 2 ** 31),
    registers: ascending,
  }),
  proof: object<ProofFrame>({
    kind: oneOf('proof'),
    attest: bytes(1, 1024),
    signature: bytes(1, 1024),
    registers: list(bytes(32), PCR_MAX + 1),
    index: integer(0, BATCH_MAX - 1),
    count: integer(1, BATCH_MAX),
    path: list(bytes(32), PATH_MAX),
  }),
  refuse: object<Extract<Frame, { kind: 'refuse' }>>({ kind: oneOf('refuse'), why: line(WHY_BYTES_MAX) }),
  echo: object<Echo>({ kind: oneOf('echo'), turn: integer(0, TURN_MAX), nonce: echoNonce, back: optional(echoNonce) }),
  say: object<Extract<Frame, { kind: 'say' }>>({ kind: oneOf('say'), id: integer(1, ID_MAX), message }),
  answer: object<Extract<Frame, { kind: 'answer' }>>({ kind: oneOf('answer'), id: integer(1, ID_MAX), answer }),
}

/** A plan is the only frame that may be larger than the others, and only in this spelling. */
const PLAN_HEAD = /^\{"id":([1-9]\d{0,9}),"kind":"say","message":\{"kind":"plan","signed":"/
const PLAN_HEAD_BYTES_MAX = 70
const PLAN_TAIL = '"}}'
export const PLAN_FRAME_BYTES_MAX = PLAN_HEAD_BYTES_MAX + 2 * SIGNED_PLAN_BYTES_MAX + PLAN_TAIL.length

/** What was received is nothing that a peer of this version sends. */
export class BrokenRules extends RecoveryError {}

export function malformed(what: string, cause?: unknown): BrokenRules {
  return new BrokenRules('CHANNEL', {
    // What is wrong may be told in the peer's own words, such as the name of a member.
    message: `The peer breaks the rules of the channel: ${toLine(what, WHY_BYTES_MAX)}.`,
    hint: 'It may be of another version of Reprise, or no Reprise at all.',
    ...(cause !== undefined && { cause }),
  })
}

/** @throws {@link RecoveryError} `CHANNEL` unless the bytes are exactly one frame in its canonical form. */
export function decodeFrame(content: Uint8Array): Frame {
  try {
    if (content.length > FRAME_BYTES_MAX) return decodePlanFrame(content)
    const value = parseCanonicalBytes(content, FRAME_BYTES_MAX, 'frame')
    const { kind } = (value ?? {}) as { readonly kind?: unknown }
    if (typeof kind !== 'string' || !Object.hasOwn(shapes, kind))
      throw refused('frame.kind', Object.keys(shapes).join(', '))
    return shapes[kind as Frame['kind']](value, 'frame')
  } catch (cause) {
    throw cause instanceof BrokenRules ? cause : malformed((cause as Error).message, cause)
  }
}

/** Without a parser: the text has one form, and may be of 64 MiB. */
function decodePlanFrame(content: Uint8Array): Frame {
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.length)
  const head = PLAN_HEAD.exec(buffer.toString('latin1', 0, PLAN_HEAD_BYTES_MAX))
  const tailAt = buffer.length - PLAN_TAIL.length
  const id = Number(head?.[1])
  if (head === null || id > ID_MAX || buffer.toString('latin1', tailAt) !== PLAN_TAIL)
    throw malformed(`a frame of ${content.length} bytes that is no plan`)
  const signed = bytes(1, SIGNED_PLAN_BYTES_MAX)(
    buffer.toString('latin1', head[0].length, tailAt),
    'frame.message.signed',
  )
  return { kind: 'say', id, message: { kind: 'plan', signed } }
}

/** Whether a frame that begins so may be larger than {@link FRAME_BYTES_MAX}; undefined while too little of it is there. */
function isPlanHead(start: Buffer): boolean | undefined {
  if (PLAN_HEAD.test(start.toString('latin1'))) return true
  return start.length >= PLAN_HEAD_BYTES_MAX ? false : undefined
}

/** The frame with its length before it. @throws {@link RecoveryError} `CHANNEL` for what no peer would take. */
export function encodeFrame(frame: Frame): Uint8Array {
  try {
    const json = jsonOf(frame)
    const text = utf8(canonical(json))
    // Whoever sends what the other side refuses shall hear of it here, with the path of what is wrong.
    shapes[frame.kind](json, frame.kind)
    const isPlan = frame.kind === 'say' && frame.message.kind === 'plan'
    if (text.length > FRAME_BYTES_MAX && !isPlan) throw new RangeError(`it has ${text.length} bytes`)
    const whole = Buffer.allocUnsafe(4 + text.length)
    whole.writeUInt32BE(text.length)
    whole.set(text, 4)
    return whole
  } catch (cause) {
    throw new RecoveryError('CHANNEL', {
      message: `This cannot be said over a channel: ${(cause as Error).message}`,
      hint: 'See spec/channel.md for what messages may hold.',
      cause,
    })
  }
}

/** Bytes as hex; what is undefined is left out. */
function jsonOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return hex(value)
  if (Array.isArray(value)) return value.map(jsonOf)
  const json: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) if (member !== undefined) json[name] = jsonOf(member)
  return json
}

/** Cuts what arrives into frames; keeps no more than one that is allowed. */
export class FrameReader {
  readonly #sizeMax: () => number
  readonly #takesPlan: () => boolean
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #isPlan = false

  /**
   * @param sizeMax - Of the frame that begins, in bytes, plans excepted.
   * @param takesPlan - Whether the frame that begins may be a plan.
   */
  constructor(sizeMax: () => number, takesPlan: () => boolean) {
    this.#sizeMax = sizeMax
    this.#takesPlan = takesPlan
  }

  /** A part of a frame is here, and the rest is not. */
  get isWithin(): boolean {
    return this.#bytes > 0
  }

  /** It is a plan that is being received. */
  get isLarge(): boolean {
    return this.#isPlan
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
  }

  /**
   * The content of the next frame; undefined while it is not whole.
   *
   * @throws {@link RecoveryError} `CHANNEL` for one that is too long, as soon as that is known; then read no more.
   */
  next(): Uint8Array | undefined {
    if (this.#bytes < 4) return undefined
    const length = this.#peek(4).readUInt32BE()
    if (length === 0) throw malformed('an empty frame')
    if (length > this.#sizeMax() && !this.#isPlan) {
      if (length > PLAN_FRAME_BYTES_MAX || length <= FRAME_BYTES_MAX || !this.#takesPlan())
        throw malformed(`a frame of ${length} bytes`)
      const isPlan = isPlanHead(this.#peek(4 + PLAN_HEAD_BYTES_MAX).subarray(4))
      if (isPlan === false) throw malformed(`a frame of ${length} bytes that is no plan`)
      if (isPlan === undefined) return undefined
      this.#isPlan = true
    }
    if (this.#bytes < 4 + length) return undefined
    this.#isPlan = false
    return this.#take(4 + length).subarray(4)
  }

  #peek(lengthBytes: number): Buffer {
    // Chunks are joined where a header is cut by their edge, so this copies little.
    while (this.#chunks.length > 1 && this.#chunks[0].length < lengthBytes)
      this.#chunks.splice(0, 2, Buffer.concat(this.#chunks.slice(0, 2)))
    return this.#chunks[0].subarray(0, lengthBytes)
  }

  #take(lengthBytes: number): Buffer {
    const whole = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks)
    this.#chunks.length = 0
    this.#bytes = whole.length - lengthBytes
    if (this.#bytes > 0) this.#chunks.push(whole.subarray(lengthBytes))
    return whole.subarray(0, lengthBytes)
  }
}
