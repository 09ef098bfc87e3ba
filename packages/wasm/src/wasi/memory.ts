/**
 * The guest's memory as host calls see it: little-endian, every access inside or EFAULT. Calls check all their
 * pointers before they change anything.
 */
import { assert, fromUtf8 } from '@reprise/core'
import { Errno, refuse } from './abi.ts'

export interface Region {
  readonly at: number
  readonly lengthBytes: number
}

/** Where the guest's bytes are now: a `WebAssembly.Memory`, or whoever watches one. */
export interface MemoryHolder {
  readonly buffer: ArrayBuffer
}

export class GuestMemory {
  #memory: MemoryHolder | undefined
  #bytes: Uint8Array = new Uint8Array(0)
  #view = new DataView(this.#bytes.buffer)
  /** Where this call has written; undefined while nobody wants to know. */
  #written: Region[] | undefined

  bind(memory: MemoryHolder): void {
    this.#memory = memory
    this.#bytes = new Uint8Array(0)
  }

  /** To be called when a host call begins: a memory that has grown left its old buffer detached, which has length 0. */
  refresh(): void {
    if (this.#bytes.length > 0) return
    assert(this.#memory !== undefined, 'a memory is bound before the guest calls')
    this.#bytes = new Uint8Array(this.#memory.buffer)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** From now on {@link takeWritten} knows where calls write. */
  watch(): void {
    this.#written = []
  }

  /** Where was written since the last time, in order. */
  takeWritten(): readonly Region[] {
    const written = this.#written ?? []
    this.#written = []
    return written
  }

  /** @throws Refusal FAULT unless the whole region lies inside. */
  check(at: number, lengthBytes: number): void {
    if (at + lengthBytes > this.#bytes.length) refuse(Errno.FAULT)
  }

  /** A view of guest memory, valid during this call. */
  bytes(at: number, lengthBytes: number): Uint8Array {
    this.check(at, lengthBytes)
    return this.#bytes.subarray(at, at + lengthBytes)
  }

  /** The same, to be written to. */
  target(at: number, lengthBytes: number): Uint8Array {
    const bytes = this.bytes(at, lengthBytes)
    this.#written?.push({ at, lengthBytes })
    return bytes
  }

  getU8(at: number): number {
    this.check(at, 1)
    return this.#view.getUint8(at)
  }

  getU16(at: number): number {
    this.check(at, 2)
    return this.#view.getUint16(at, true)
  }

  getU32(at: number): number {
    this.check(at, 4)
    return this.#view.getUint32(at, true)
  }

  getU64(at: number): bigint {
    this.check(at, 8)
    return this.#view.getBigUint64(at, true)
  }

  setU8(at: number, value: number): void {
    this.check(at, 1)
    this.#written?.push({ at, lengthBytes: 1 })
    this.#view.setUint8(at, value)
  }

  setU16(at: number, value: number): void {
    this.check(at, 2)
    this.#written?.push({ at, lengthBytes: 2 })
    this.#view.setUint16(at, value, true)
  }

  setU32(at: number, value: number): void {
    this.check(at, 4)
    this.#written?.push({ at, lengthBytes: 4 })
    this.#view.setUint32(at, value, true)
  }

  setU64(at: number, value: bigint): void {
    this.check(at, 8)
    this.#written?.push({ at, lengthBytes: 8 })
    this.#view.setBigUint64(at, value, true)
  }

  set(at: number, bytes: Uint8Array): void {
    this.target(at, bytes.length).set(bytes)
  }

  zero(at: number, lengthBytes: number): void {
    this.target(at, lengthBytes).fill(0)
  }

  /**
   * A string of the guest.
   *
   * @throws Refusal FAULT outside of memory, NAMETOOLONG above the limit, ILSEQ when it is not UTF-8, INVAL for a
   *   zero byte in it.
   */
  text(at: number, lengthBytes: number, lengthMax: number): string {
    const bytes = this.bytes(at, lengthBytes)
    if (lengthBytes > lengthMax) refuse(Errno.NAMETOOLONG)
    let text: string
    try {
      text = fromUtf8(bytes)
    } catch {
      return refuse(Errno.ILSEQ)
    }
    return text.includes('\0') ? refuse(Errno.INVAL) : text
  }

  /** The `iovec`s or `ciovec`s of a call: pointer and length, 4 bytes each. */
  regions(at: number, count: number, countMax: number): Region[] {
    if (count > countMax) refuse(Errno.INVAL)
    this.check(at, 8 * count)
    const regions: Region[] = []
    let total = 0
    for (let i = 0; i < count; i++) {
      const region = { at: this.getU32(at + 8 * i), lengthBytes: this.getU32(at + 8 * i + 4) }
      this.check(region.at, region.lengthBytes)
      total += region.lengthBytes
      regions.push(region)
    }
    // The count that is handed back has 32 bits.
    return total > 0xffff_ffff ? refuse(Errno.INVAL) : regions
  }
}
