/** Secrets in memory: held by one owner, wiped when that is done. What a garbage-collected runtime cannot promise: docs/limits.md. */

import { randomBytes } from 'node:crypto'

/** Bytes that end with their scope: `using half = …`. They are never part of an error, a log or JSON. */
export class Secret implements Disposable {
  readonly #bytes: Uint8Array

  private constructor(bytes: Uint8Array) {
    // The same memory, and no Buffer: not all that takes bytes takes those.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** Takes bytes over: they are this secret's to wipe from now on. */
  static owning(bytes: Uint8Array): Secret {
    return new Secret(bytes)
  }

  static random(lengthBytes: number): Secret {
    return new Secret(randomBytes(lengthBytes))
  }

  /** Not a copy: it is all zeros once the secret was wiped. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  toJSON(): string {
    return 'secret'
  }

  [Symbol.dispose](): void {
    this.#bytes.fill(0)
  }
}
