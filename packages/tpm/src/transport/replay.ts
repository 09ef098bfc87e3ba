/** For tests: a device that answers from a recording, as Linux's driver would, with faults wherever a test wants them. */

import { equal, fromHex } from '@reprise/core'
import type { DeviceFile } from './device.ts'

/** One command and its answer, hex. */
export interface Exchange {
  readonly command: string
  readonly response: string
}

/** What happens at a call, in place of it: an error of the kernel, or another answer to the command. */
export type Fault =
  | { readonly at: 'write' | 'read'; readonly errno: string }
  /** This answer of the TPM; the command was not executed. */
  | { readonly at: 'write'; readonly code: number }
  /** The answer ends here. */
  | { readonly at: 'read'; readonly afterBytes: number }

export interface ReplayOptions {
  readonly exchanges: readonly Exchange[]
  /** By the index of the exchange; each one happens once, in order. */
  readonly faults?: ReadonlyMap<number, readonly Fault[]>
  /** Longest piece that a read gives. */
  readonly pieceBytes?: number
}

export interface Replay {
  readonly file: DeviceFile
  /** How many exchanges came to their end. */
  readonly done: () => number
}

/** @throws In `write`, for a command that was not recorded there. */
export function replay({
  exchanges,
  faults = new Map(),
  pieceBytes = Number.POSITIVE_INFINITY,
}: ReplayOptions): Replay {
  const left = new Map([...faults].map(([index, list]) => [index, [...list]]))
  let next = 0
  let waiting: Uint8Array = new Uint8Array()
  /** A refusal is an answer, and not the end of the exchange. */
  let refused = false

  const take = (at: 'write' | 'read'): Fault | undefined => {
    const list = left.get(next)
    return list?.[0]?.at === at ? list.shift() : undefined
  }
  const fail = (errno: string): never => {
    throw Object.assign(new Error(`${errno}: injected`), { code: errno })
  }
  const file: DeviceFile = {
    async write(bytes, offset, length) {
      if (waiting.length > 0) fail('EBUSY')
      const command = bytes.subarray(offset, offset + length)
      const fault = take('write')
      if (fault !== undefined && 'errno' in fault) fail(fault.errno)
      if (next >= exchanges.length || !equal(command, fromHex(exchanges[next].command)))
        throw new Error(`exchange ${next} was recorded otherwise`)
      refused = fault !== undefined && 'code' in fault
      waiting =
        refused && fault !== undefined && 'code' in fault ? refusal(fault.code) : fromHex(exchanges[next].response)
      return { bytesWritten: length }
    },
    async read(bytes, offset, length) {
      const fault = take('read')
      if (fault !== undefined && 'errno' in fault) fail(fault.errno)
      if (fault !== undefined && 'afterBytes' in fault) waiting = waiting.subarray(0, fault.afterBytes)
      const piece = waiting.subarray(0, Math.min(length, pieceBytes))
      bytes.set(piece, offset)
      waiting = waiting.subarray(piece.length)
      if (waiting.length === 0 && piece.length > 0 && !refused) next += 1
      return { bytesRead: piece.length }
    },
    close: async () => undefined,
  }
  return { file, done: () => next }
}

function refusal(code: number): Uint8Array {
  return fromHex(`80010000000a${code.toString(16).padStart(8, '0')}`)
}
