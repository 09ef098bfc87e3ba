/** JSON, one value a line, over a socket: framing with a limit in both directions. */

import type { Socket } from 'node:net'
import { fromUtf8 } from '@reprise/core'
import { HostError } from '../error.ts'

/** Splits what arrives into lines. */
export class LineReader {
  readonly #lineBytesMax: number
  #rest: Uint8Array[] = []
  #restBytes = 0

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /**
   * @returns The JSON values of the lines that are now whole.
   * @throws {@link HostError} `PROTOCOL` for a line that is too long, not UTF-8, or not JSON; then read no more.
   */
  *push(chunk: Uint8Array): Generator<unknown, void> {
    let from = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      this.#keep(chunk.subarray(from, end))
      from = end + 1
      const line = this.#rest.length === 1 ? this.#rest[0] : Buffer.concat(this.#rest)
      this.#rest = []
      this.#restBytes = 0
      yield parse(line as Uint8Array)
    }
    this.#keep(chunk.subarray(from))
  }

  #keep(part: Uint8Array): void {
    this.#restBytes += part.length
    if (this.#restBytes > this.#lineBytesMax)
      throw new HostError('PROTOCOL', { message: `a line is longer than ${this.#lineBytesMax} bytes` })
    this.#rest.push(part)
  }
}

function parse(line: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(line)) as unknown
  } catch (cause) {
    throw new HostError('PROTOCOL', { message: 'a line is not JSON in UTF-8', cause })
  }
}

/** How much may wait to be read by the other side before the connection is given up, in bytes. */
const UNREAD_BYTES_MAX = 8 << 20

/** Writes a value as one line; a reader that has stopped reading is cut off. */
export function writeLine(socket: Socket, value: unknown): void {
  if (socket.writableLength > UNREAD_BYTES_MAX) socket.destroy(new Error('the other side does not read'))
  else if (socket.writable) socket.write(`${JSON.stringify(value)}\n`)
}
