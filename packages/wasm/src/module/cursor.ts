/** Strict reading of the binary format: every number has its limit, every failure its offset. */

import { fromUtf8 } from '@reprise/core'
import { WasmError } from '../error.ts'

/** The error for bytes that break the binary format. */
export function malformed(what: string, offset: number): WasmError {
  return new WasmError('MALFORMED', {
    message: `Not a valid WebAssembly module: ${what} (offset ${offset}).`,
    hint: 'The file is cut, damaged or was written by a faulty tool. Try: wasm-tools validate FILE',
    data: { offset },
  })
}

export class Cursor {
  readonly bytes: Uint8Array
  at: number
  /** First offset that no longer belongs to what is being read. */
  readonly end: number

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  u8(): number {
    if (this.at >= this.end) throw malformed('it ends too early', this.at)
    return this.bytes[this.at++]
  }

  /** Unsigned LEB128, at most 32 bits. */
  u32(): number {
    const start = this.at
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8()
      if (shift === 28 && byte > 0x0f) break
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
    throw malformed('a number has more than 32 bits', start)
  }

  /** Signed LEB128 of at most 33 bits (block types), cut to 32. */
  signed33(): number {
    const start = this.at
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return shift < 28 ? (value << (25 - shift)) >> (25 - shift) : value
    }
    throw malformed('a number has more than 32 bits', start)
  }

  /** Skips a signed LEB128 of at most `bits` bits. */
  skipSigned(bits: number): void {
    const start = this.at
    const bytesMax = Math.ceil(bits / 7)
    for (let i = 0; i < bytesMax; i++) if (this.u8() < 0x80) return
    throw malformed(`a number has more than ${bits} bits`, start)
  }

  skip(lengthBytes: number): void {
    if (lengthBytes > this.end - this.at) throw malformed('it ends too early', this.at)
    this.at += lengthBytes
  }

  /** A count of things that take at least one byte each, so that a lie cannot make us allocate. */
  count(): number {
    const start = this.at
    const count = this.u32()
    if (count > this.end - this.at) throw malformed('a list is longer than its section', start)
    return count
  }

  raw(lengthBytes: number): Uint8Array {
    const start = this.at
    this.skip(lengthBytes)
    return this.bytes.subarray(start, this.at)
  }

  name(): string {
    const start = this.at
    try {
      return fromUtf8(this.raw(this.u32()))
    } catch (error) {
      if (error instanceof WasmError) throw error
      throw malformed('a name is not UTF-8', start)
    }
  }

  finish(): void {
    if (this.at !== this.end) throw malformed('a section is longer than its content', this.at)
  }
}
