/** JSON lines over a socket. Format: spec/agent.md §4. */

import type { Socket } from 'node:net'

export const LINE_BYTES_MAX = 1 << 16
/** A report of a host with many services. */
export const ANSWER_LINE_BYTES_MAX = 1 << 22

/** Lines as they come, without their newlines. Ends with the other side. @throws RangeError for a line that is too long. */
export async function* linesOf(socket: Socket, lengthBytesMax: number): AsyncGenerator<string> {
  let rest = Buffer.alloc(0)
  // Whoever sends nonsense is still told so.
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      if (end > lengthBytesMax) break
      const line = rest.subarray(0, end).toString()
      rest = rest.subarray(end + 1)
      yield line
    }
    if (rest.length > lengthBytesMax) throw new RangeError(`a line of more than ${lengthBytesMax} bytes`)
  }
}

export function sayLine(socket: Socket, value: object): void {
  if (socket.writable) socket.write(`${JSON.stringify(value)}\n`)
}
