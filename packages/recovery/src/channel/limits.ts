/** What a channel bears, in one place. Truth: spec/channel.md §6. */

export interface ChannelLimits {
  /** Connections that a server has at once. */
  readonly connections: number
  /** Of these, from one address (for IPv6 one /64) that did not attest themselves yet. */
  readonly unattestedPerAddress: number
  /** Channels of one host at once; the oldest one ends for a new one. */
  readonly perHost: number
  /** From the connection to the peer's hello, in milliseconds. */
  readonly helloMs: number
  /** From the connection to the end of the attestation; a chip may take a second for a quote, and have others before it. */
  readonly attestMs: number
  /** From the attestation on, in milliseconds. A share is given only on a channel that is younger. */
  readonly lifeMs: number
  /** Without a frame from the peer, and without a message that waits for its answer. */
  readonly idleMs: number
  /** From the first byte of a frame to its last. */
  readonly frameMs: number
  /** Messages of one channel that wait for their answers. */
  readonly inFlight: number
  /** Frames above {@link FRAME_BYTES_MAX}, plans, that a server receives at once. */
  readonly largeFrames: number
}

export const CHANNEL_LIMITS: ChannelLimits = {
  connections: 512,
  unattestedPerAddress: 8,
  perHost: 8,
  helloMs: 5_000,
  attestMs: 15_000,
  lifeMs: 60_000,
  idleMs: 30_000,
  frameMs: 20_000,
  inFlight: 32,
  largeFrames: 2,
}

/** Every frame but a plan, in bytes. */
export const FRAME_BYTES_MAX = 1 << 16
/** Before the peer is attested. */
export const HANDSHAKE_FRAME_BYTES_MAX = 1 << 13
/** What a signed plan may have, in bytes; in its frame it is hex. */
export const SIGNED_PLAN_BYTES_MAX = 32 << 20
/** What may wait to be read by the peer before the channel is given up, in bytes. */
export const UNREAD_BYTES_MAX = 4 << 20
/** Statements that one quote covers. */
export const BATCH_MAX = 64
