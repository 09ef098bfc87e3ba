/** The counterpart of {@link ByteReader}: big-endian, growing, exact. */

const U32_MAX = 0xffff_ffffn

export class ByteWriter {
  /** As long as stays in the engine's own heap; a DataView would move it out. */
  #bytes = new Uint8Array(64)
  #length = 0

  /** May replace the bytes: take the offset first, then write. */
  #reserve(lengthBytes: number): number {
    const at = this.#length
    this.#length += lengthBytes
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length))
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
    }
    return at
  }

  u8(value: number): this {
    const at = this.#reserve(1)
    this.#bytes[at] = value
    return this
  }

  u16(value: number): this {
    const at = this.#reserve(2)
    this.#bytes[at] = value >>> 8
    this.#bytes[at + 1] = value
    return this
  }

  u32(value: number): this {
    const at = this.#reserve(4)
    this.#put(at, value)
    return this
  }

  u64(value: bigint): this {
    const at = this.#reserve(8)
    this.#put(at, Number((value >> 32n) & U32_MAX))
    this.#put(at + 4, Number(value & U32_MAX))
    return this
  }

  /** 32 bits at a place that is reserved. */
  #put(at: number, value: number): void {
    this.#bytes[at] = value >>> 24
    this.#bytes[at + 1] = value >>> 16
    this.#bytes[at + 2] = value >>> 8
    this.#bytes[at + 3] = value
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
    const at = this.#reserve(8 + bytes.length)
    this.#put(at, bytes.length / 2 ** 32)
    this.#put(at + 4, bytes.length)
    this.#bytes.set(bytes, at + 8)
    return this
  }

  get lengthBytes(): number {
    return this.#length
  }

  /** A copy of what was written. */
  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}
