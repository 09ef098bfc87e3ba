/** The socket of an agent: for whoever may open it. Format: spec/agent.md §4. */

import { chmod, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { RepriseError } from '@reprise/core'
import { LINE_BYTES_MAX, linesOf, sayLine } from './lines.ts'
import { decodeRequest, type ControlRequest } from './requests.ts'

/** What an answer may need besides its request. */
export interface Conversation {
  /** A line before the last. */
  readonly say: (line: object) => void
  /** Aborted when the client is gone. */
  readonly gone: AbortSignal
}

export interface ControlServer extends AsyncDisposable {
  readonly path: string
}

/** @param handle - Its result is the last line, with `kind: "done"`. What it throws is the last line with `failed`. */
export async function serveControl(
  path: string,
  handle: (request: ControlRequest, conversation: Conversation) => Promise<object>,
): Promise<ControlServer> {
  // Whoever holds the lock of the folder may: a socket that is there is a dead agent's.
  await rm(path, { force: true })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
    void converse(socket, handle)
  })
  server.listen(path)
  await once(server, 'listening')
  await chmod(path, 0o600)
  return {
    path,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
      await rm(path, { force: true })
    },
  }
}

async function converse(socket: Socket, handle: Parameters<typeof serveControl>[1]): Promise<void> {
  const gone = new AbortController()
  socket.once('close', () => gone.abort(new Error('the client is gone')))
  const lines = linesOf(socket, LINE_BYTES_MAX)
  try {
    const { value, done: isEmpty } = await lines.next()
    if (isEmpty === true) return
    const request = decodeRequest(value)
    void ignore(lines)
    const done = await handle(request, { say: (line) => sayLine(socket, line), gone: gone.signal })
    sayLine(socket, { kind: 'done', ...done })
  } catch (error) {
    sayLine(socket, { kind: 'failed', ...failureOf(error) })
  } finally {
    socket.end()
  }
}

/** Reads on, for only so it is seen that the client is gone. */
async function ignore(lines: AsyncIterable<string>): Promise<void> {
  try {
    for await (const _ of lines);
  } catch {
    // A client that says more than one line is answered all the same.
  }
}

function failureOf(error: unknown): { readonly code: string; readonly text: string; readonly hint?: string } {
  if (!(error instanceof RepriseError)) return { code: 'AGENT', text: (error as Error).message }
  const { code, message, hint } = error
  return { code: String(code), text: message, ...(hint !== undefined && { hint }) }
}
