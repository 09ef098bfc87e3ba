/** A growing byte buffer with WebAssembly's number encodings (Core Specification 2.0, §5.2.2). */

// Below this a byte loop beats the call of TypedArray.prototype.set.
const SHORT_COPY_BYTES = 48

export class ByteSink {
  bytes: Uint8Array
  length = 0

  constructor(capacityBytes: number) {
    this.bytes = new Uint8Array(capacityBytes)
  }

  #reserve(lengthBytes: number): void {
    if (this.length + lengthBytes <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.length + lengthBytes, Math.ceil(1.5 * this.bytes.length)))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }

  u8(value: number): this {
    this.#reserve(1)
    this.bytes[this.length++] = value
    return this
  }

  /** Unsigned LEB128 of a number below 2^32. */
  unsigned(value: number): this {
    this.#reserve(5)
    let rest = value
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.bytes[this.length++] = rest
    return this
  }

  /** Signed LEB128 of a 32-bit integer. */
  signed(value: number): this {
    this.#reserve(5)
    let rest = value | 0
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      const last = (rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)
      this.bytes[this.length++] = last ? low : low | 0x80
      if (last) return this
    }
  }

  raw(source: ArrayLike<number>): this {
    this.#reserve(source.length)
    this.bytes.set(source, this.length)
    this.length += source.length
    return this
  }

  copy(source: Uint8Array, start: number, end: number): this {
    const lengthBytes = end - start
    this.#reserve(lengthBytes)
    if (lengthBytes > SHORT_COPY_BYTES) this.bytes.set(source.subarray(start, end), this.length)
    else for (let i = 0; i < lengthBytes; i++) this.bytes[this.length + i] = source[start + i]
    this.length += lengthBytes
    return this
  }

  /** A name or byte vector: its length, then its bytes. */
  vector(source: Uint8Array): this {
    return this.unsigned(source.length).raw(source)
  }

  /** Leaves room for a length that {@link closeSize} writes once it is known; returns the place. */
  openSize(): number {
    this.#reserve(5)
    this.length += 5
    return this.length
  }

  /** Writes the distance from `place` to here as a five-byte LEB128. */
  closeSize(place: number): void {
    let size = this.length - place
    for (let i = 5; i > 0; i--) {
      this.bytes[place - i] = i > 1 ? (size & 0x7f) | 0x80 : size
      size >>>= 7
    }
  }

  done(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }
}
