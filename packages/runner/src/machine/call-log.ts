/** The host calls of a stretch of an execution, each as a digest: two logs part at the first call that was another. */
import { createHash } from 'node:crypto'
import { ByteWriter, utf8 } from '@reprise/core'
import type { HostCall } from '@reprise/wasm'
import type { CallLog } from './probe-protocol.ts'

const CALLS_MAX = 1 << 20

export class CallRecorder {
  /** How many calls there were in all. */
  count = 0
  #first = 0
  #kept = 0
  #positions = new BigInt64Array(1024)
  #digests = new BigUint64Array(1024)

  /** Forgets what was kept; `count` goes on, from another number when one is given. */
  restart(count = this.count): void {
    this.count = this.#first = count
    this.#kept = 0
  }

  add(call: HostCall, position: bigint, memory: Uint8Array): void {
    this.count++
    if (this.#kept >= CALLS_MAX) return
    if (this.#kept === this.#positions.length) this.#grow()
    this.#positions[this.#kept] = position
    this.#digests[this.#kept++] = digestOf(call, position, memory)
  }

  taken(): CallLog {
    return {
      first: this.#first,
      complete: this.count - this.#first === this.#kept,
      positions: this.#positions.slice(0, this.#kept),
      digests: this.#digests.slice(0, this.#kept),
    }
  }

  #grow(): void {
    const [positions, digests] = [this.#positions, this.#digests]
    this.#positions = new BigInt64Array(2 * positions.length)
    this.#positions.set(positions)
    this.#digests = new BigUint64Array(2 * digests.length)
    this.#digests.set(digests)
  }
}

function digestOf({ name, parameters, errno, written }: HostCall, position: bigint, memory: Uint8Array): bigint {
  const head = new ByteWriter().u64(position).sized(utf8(name)).u64(BigInt(errno)).u64(BigInt(parameters.length))
  for (const value of parameters) head.u64(BigInt(value))
  const hash = createHash('sha256').update(head.done())
  for (const { at, lengthBytes } of written) hash.update(memory.subarray(at, at + lengthBytes))
  return hash.digest().readBigUInt64BE()
}

/** Where two logs of stretches with the same beginning part: the index in both; undefined when one continues the other. */
export function partingOf(a: CallLog, b: CallLog): number | undefined {
  const length = Math.min(a.digests.length, b.digests.length)
  for (let i = 0; i < length; i++) if (a.digests[i] !== b.digests[i]) return i
  return undefined
}
