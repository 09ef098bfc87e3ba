/**
 * The door between hosts as others see it: who is at the other end is proven before a word is said. Truth:
 * spec/channel.md.
 */

import type { HostId } from '../types.ts'
import type { Quote } from '../quote.ts'
import type { Answer, Message } from './messages.ts'

/** What a peer's quote proved when the channel was opened. */
export interface Attested {
  readonly host: HostId
  /** TPMT_PUBLIC of its attestation key: the one whose Name the plan has. */
  readonly akPublic: Uint8Array
  /** Of its TPM, from the signed attestation. */
  readonly clockMs: number
  readonly resetCount: number
  readonly restartCount: number
  /** False: its clock may have been set back by a loss of power a few seconds ago. */
  readonly isClockSafe: boolean
  /** Of its TPM, as its maker numbers it. */
  readonly firmwareVersion: bigint
  /** Its registers are those of this approved boot of the plan; undefined: of none. */
  readonly boot: string | undefined
  /** Its cap register was extended: it was released in this boot. */
  readonly isCapped: boolean
  /** The fastest round trip of the exchange, in milliseconds. */
  readonly roundTripMs: number
  /** TLS exporter of this channel, 32 bytes: what proofs are bound to. */
  readonly exporter: Uint8Array
  /** Of the plan that the peer has, as it says itself. */
  readonly planVersion: number
}

/** A quote, and the values of the registers that it is over. */
export interface RegisterQuote extends Quote {
  readonly registers: ReadonlyMap<number, Uint8Array>
}

/** Something of a host that only its TPM can do. One object for each TPM: quotes are batched by it. */
export interface HostTpm {
  readonly host: HostId
  /** TPMT_PUBLIC of its attestation key; the plan has its Name. */
  readonly akPublic: Uint8Array
  /** A quote over these registers of the SHA-256 bank (ascending), with `statement` (32 bytes) as qualifying data. */
  readonly quote: (statement: Uint8Array, pcrs: readonly number[]) => Promise<RegisterQuote>
}

export type Opened =
  | { readonly kind: 'attested'; readonly channel: Channel }
  /** It answers, and is not who it should be, or cannot prove it: `why` is for people. */
  | { readonly kind: 'unattested'; readonly why: string }
  | { readonly kind: 'unreachable'; readonly why: string }

export interface Channel {
  readonly peer: Attested
  /** False when it was closed by either side, or its minute is over. */
  readonly isOpen: boolean
  /** How long it may still be used, in milliseconds. */
  readonly remainingMs: number
  /** @throws RecoveryError `CHANNEL` when the peer is gone, says nothing for `timeoutMs`, or breaks the rules. */
  readonly say: (message: Message, timeoutMs: number) => Promise<Answer>
  readonly close: () => void
}

/** What a server does with a message; it may take its time. What it throws is answered with `failed`. */
export type Answerer = (from: Attested, message: Message) => Promise<Answer>
