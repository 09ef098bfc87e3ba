/** The guest's live output on its way out of its thread: what is written in quick succession goes together. */

export type StreamName = 'stdout' | 'stderr'

/** What goes together at most. */
const CHUNK_BYTES = 64 << 10
/** Output that comes after so long a silence goes at once; what follows may wait as long, or for the next {@link LiveOutput.flush}. */
const TOGETHER_MS = 10

export interface LiveOutputOptions {
  /** Takes bytes that it may keep. */
  readonly send: (stream: StreamName, bytes: Uint8Array<ArrayBuffer>) => void
  readonly nowMs: () => number
}

/** Keeps the order of all that is written, of both streams. A message for each write took longer than writing. */
export class LiveOutput {
  readonly #send: LiveOutputOptions['send']
  readonly #nowMs: LiveOutputOptions['nowMs']
  readonly #waiting = new Uint8Array(CHUNK_BYTES)
  #lengthBytes = 0
  /** Of what waits. */
  #stream: StreamName = 'stdout'
  #sentMs = Number.NEGATIVE_INFINITY

  constructor({ send, nowMs }: LiveOutputOptions) {
    this.#send = send
    this.#nowMs = nowMs
  }

  /** @param bytes - Copied. */
  write(stream: StreamName, bytes: Uint8Array): void {
    if (stream !== this.#stream || this.#lengthBytes + bytes.length > CHUNK_BYTES) this.flush()
    this.#stream = stream
    if (bytes.length > CHUNK_BYTES) return this.#sendNow(bytes)
    this.#waiting.set(bytes, this.#lengthBytes)
    this.#lengthBytes += bytes.length
    if (this.#nowMs() - this.#sentMs >= TOGETHER_MS) this.flush()
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#lengthBytes === 0) return
    this.#sendNow(this.#waiting.subarray(0, this.#lengthBytes))
    this.#lengthBytes = 0
  }

  #sendNow(bytes: Uint8Array): void {
    this.#send(this.#stream, new Uint8Array(bytes))
    this.#sentMs = this.#nowMs()
  }
}
