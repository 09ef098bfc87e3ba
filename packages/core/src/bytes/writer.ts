/** The counterpart of {@link ByteReader}: big-endian, growing, exact. */

export class ByteWriter {
  /** As long as the hashed tuples are. */
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  /** May replace the view: take the offset first, then write. */
  #reserve(lengthBytes: number): number {
    const at = this.#length
    this.#length += lengthBytes
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length))
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    return at
  }

  u8(value: number): this {
    const at = this.#reserve(1)
    this.#view.setUint8(at, value)
    return this
  }

  u16(value: number): this {
    const at = this.#reserve(2)
    this.#view.setUint16(at, value)
    return this
  }

  u32(value: number): this {
    const at = this.#reserve(4)
    this.#view.setUint32(at, value)
    return this
  }

  u64(value: bigint): this {
    const at = this.#reserve(8)
    this.#view.setBigUint64(at, value)
    return this
  }

  raw(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }

  /** TPM2B: a 16-bit length, then the bytes. */
  tpm2b(bytes: Uint8Array): this {
    if (bytes.length > 0xffff) throw new RangeError(`${bytes.length} bytes do not fit a TPM2B`)
    return this.u16(bytes.length).raw(bytes)
  }

  /** A string or byte field of a hashed tuple: an 8-byte length, then the bytes. */
  sized(bytes: Uint8Array): this {
    return this.u64(BigInt(bytes.length)).raw(bytes)
  }

  get lengthBytes(): number {
    return this.#length
  }

  /** A copy of what was written. */
  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}
