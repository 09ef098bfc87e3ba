/** The first words between a client and a signer. */

import type { Socket } from 'node:net'
import { HostError } from '../error.ts'
import { LineReader, writeLine } from './lines.ts'
import {
  type Answer,
  ANSWER_BYTES_MAX,
  decodeAnswer,
  encodeMessage,
  heardError,
  type HostFacts,
  PROTOCOL_VERSION,
} from './protocol.ts'
import { reachSigner, type SignerSettings } from './start.ts'
import { pause, within } from './within.ts'

/** A signer that is making its TPM's identity says hello when that is done. */
const HELLO_MS = 180_000
/** Until another signer is looked for. */
const PAUSE_MS = 50

export interface Greeted {
  readonly socket: Socket
  readonly host: HostFacts
}

/** Reaches a signer and hears its hello; one that is just leaving is left for the next. */
export async function greet(settings: SignerSettings, signal: AbortSignal | undefined): Promise<Greeted> {
  const deadline = performance.now() + HELLO_MS
  while (performance.now() < deadline) {
    const socket = await reachSigner(settings, signal)
    const host = await greetOn(socket, signal)
    if (host !== undefined) return { socket, host }
    await pause(PAUSE_MS, signal)
  }
  throw new HostError('SIGNER_START', { message: 'Signer after signer ends without a word.' })
}

/** @returns Undefined when the connection ends before the signer said anything. */
export async function greetOn(socket: Socket, signal: AbortSignal | undefined): Promise<HostFacts | undefined> {
  try {
    const hello = hear(socket)
    writeLine(socket, encodeMessage({ type: 'hello', version: PROTOCOL_VERSION }))
    const answer = await within(hello, { what: 'a hello of the signer', signal, timeoutMs: HELLO_MS })
    if (answer?.type === 'error') throw heardError(answer.error)
    if (answer === undefined || answer.type === 'hello') return answer?.host
    throw new HostError('PROTOCOL', { message: `The signer began with ${answer.type}.` })
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** The first answer; undefined when the connection ends before. Leaves the socket paused. */
function hear(socket: Socket): Promise<Answer | undefined> {
  const { promise, resolve } = Promise.withResolvers<readonly unknown[]>()
  const reader = new LineReader(ANSWER_BYTES_MAX)
  const closed = (): void => resolve([])
  const data = (chunk: Buffer): void => {
    try {
      const values = [...reader.push(chunk)]
      if (values.length === 0) return
      // What comes next is for whoever listens then.
      socket.pause()
      resolve(values)
    } catch (error) {
      socket.destroy(error as Error)
    }
  }
  // An error ends the connection, and `close` tells it.
  socket.on('error', () => undefined)
  socket.on('close', closed)
  socket.on('data', data)
  return promise.then((values) => {
    socket.off('close', closed)
    socket.off('data', data)
    return values.length === 0 ? undefined : decodeAnswer(values[0])
  })
}
