/** Exact little-endian reading and writing, as UEFI, TCG logs and IMA on little-endian kernels have it. */

import { TruncatedError } from '../bytes/index.ts'

export class LittleEndianReader {
  readonly bytes: Uint8Array
  readonly #view: DataView
  offset: number

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.offset = offset
  }

  get remainingBytes(): number {
    return this.bytes.length - this.offset
  }

  #take(lengthBytes: number): number {
    if (lengthBytes > this.remainingBytes)
      throw new TruncatedError(`${lengthBytes} bytes wanted at offset ${this.offset}, ${this.remainingBytes} left`)
    const at = this.offset
    this.offset += lengthBytes
    return at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  /** A view of the next bytes, not a copy. */
  raw(lengthBytes: number): Uint8Array {
    const at = this.#take(lengthBytes)
    return this.bytes.subarray(at, at + lengthBytes)
  }
}

export function u16le(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >>> 8)
}

export function u32le(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24)
}

/** Text of UTF-16 code units; undefined for an odd length or for a lone surrogate. */
export function fromUtf16(bytes: Uint8Array): string | undefined {
  if (bytes.length % 2 !== 0) return undefined
  const units: string[] = []
  for (let i = 0; i < bytes.length; i += 2) units.push(String.fromCharCode(bytes[i] | (bytes[i + 1] << 8)))
  const text = units.join('')
  return text.isWellFormed() ? text : undefined
}

export function utf16(text: string): Uint8Array {
  const bytes = new Uint8Array(2 * text.length)
  for (let i = 0; i < text.length; i++) bytes.set(u16le(text.charCodeAt(i)), 2 * i)
  return bytes
}
