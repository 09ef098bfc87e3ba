/**
 * Exact big-endian reading, as TPM structures and hashed tuples want it. Every decoder ends with
 * `end()`: bytes that nobody reads are bytes that nobody checked.
 */

export class TruncatedError extends Error {
  override readonly name = 'TruncatedError'
}

export class ByteReader {
  readonly bytes: Uint8Array
  offset = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get remainingBytes(): number {
    return this.bytes.length - this.offset
  }

  #take(lengthBytes: number): number {
    if (lengthBytes > this.remainingBytes) {
      throw new TruncatedError(`${lengthBytes} bytes wanted at offset ${this.offset}, ${this.remainingBytes} left`)
    }
    const at = this.offset
    this.offset += lengthBytes
    return at
  }

  u8(): number {
    return this.bytes[this.#take(1)]
  }

  u16(): number {
    const at = this.#take(2)
    return (this.bytes[at] << 8) | this.bytes[at + 1]
  }

  u32(): number {
    return word(this.bytes, this.#take(4))
  }

  u64(): bigint {
    const at = this.#take(8)
    return (BigInt(word(this.bytes, at)) << 32n) | BigInt(word(this.bytes, at + 4))
  }

  /** A view of the next bytes, not a copy. */
  raw(lengthBytes: number): Uint8Array {
    const at = this.#take(lengthBytes)
    return this.bytes.subarray(at, at + lengthBytes)
  }

  /** TPM2B: a 16-bit length, then that many bytes. */
  tpm2b(): Uint8Array {
    return this.raw(this.u16())
  }

  rest(): Uint8Array {
    return this.raw(this.remainingBytes)
  }

  end(): void {
    if (this.remainingBytes > 0)
      throw new TruncatedError(`${this.remainingBytes} bytes too many at offset ${this.offset}`)
  }
}

/** Without a DataView, which takes longer to make than most structures to read. */
function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0
}
