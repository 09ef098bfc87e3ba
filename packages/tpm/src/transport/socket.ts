/** TPM commands over a Unix or TCP socket, raw, as swtpm's data channel takes them. */

import { connect as connectSocket, type Socket } from 'node:net'
import { concat } from '@reprise/core'
import { TpmError } from '../error.ts'
import {
  announcedLength,
  ONE_AT_A_TIME,
  RESPONSE_BYTES_MAX,
  timeoutError,
  TIMEOUT_MS,
  type Transport,
  type TransportLimits,
} from './transport.ts'

export type SocketAddress = { readonly path: string } | { readonly host: string; readonly port: number }

/** `sun_path` of Linux has 108 bytes, the last one zero. */
export const SOCKET_PATH_BYTES_MAX = 107

/** @throws {@link TpmError} `PATH_TOO_LONG`. */
export function checkSocketPath(path: string): void {
  const lengthBytes = Buffer.byteLength(path)
  if (lengthBytes <= SOCKET_PATH_BYTES_MAX) return
  throw new TpmError('PATH_TOO_LONG', {
    message: `The socket path ${path} has ${lengthBytes} bytes; Linux takes at most ${SOCKET_PATH_BYTES_MAX}.`,
    hint: 'Use a folder with a shorter path.',
  })
}

/** @throws {@link TpmError} `TRANSPORT` when nobody listens, `PATH_TOO_LONG`. */
export async function openSocketTransport(address: SocketAddress, limits: TransportLimits = {}): Promise<Transport> {
  const where = 'path' in address ? address.path : `${address.host}:${address.port}`
  if ('path' in address) checkSocketPath(address.path)
  return new Promise((resolve, reject) => {
    const socket = connectSocket(address)
    const failed = (cause: NodeJS.ErrnoException): void => {
      const hint = cause.code === 'EAGAIN' ? ONE_AT_A_TIME : 'The software TPM may have stopped; start it again.'
      reject(new TpmError('TRANSPORT', { message: `No TPM answers at ${where}: ${cause.message}`, hint, cause }))
    }
    socket.once('error', failed)
    socket.once('connect', () => {
      socket.off('error', failed)
      resolve(new SocketTransport(socket, where, limits))
    })
  })
}

interface Waiting {
  readonly resolve: (response: Uint8Array) => void
  readonly reject: (error: TpmError) => void
  readonly timer: NodeJS.Timeout
}

class SocketTransport implements Transport {
  readonly kind: 'unix' | 'tcp'
  readonly #socket: Socket
  readonly #where: string
  readonly #responseBytesMax: number
  readonly #timeoutMs: number
  #received: Uint8Array = new Uint8Array()
  #waiting: Waiting | undefined
  #broken: TpmError | undefined

  constructor(socket: Socket, where: string, limits: TransportLimits) {
    this.kind = where.includes('/') ? 'unix' : 'tcp'
    this.#socket = socket
    this.#where = where
    this.#responseBytesMax = limits.responseBytesMax ?? RESPONSE_BYTES_MAX
    this.#timeoutMs = limits.timeoutMs ?? TIMEOUT_MS
    socket.setNoDelay(true)
    socket.on('data', (data: Buffer) => this.#take(data))
    socket.on('error', (cause) =>
      this.#break(
        new TpmError('TRANSPORT', { message: `The connection to the TPM at ${where} broke: ${cause.message}`, cause }),
      ),
    )
    socket.on('close', () =>
      this.#break(new TpmError('TRANSPORT', { message: `The connection to the TPM at ${where} is closed.` })),
    )
  }

  send(command: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken)
        return
      }
      const timer = setTimeout(() => this.#break(timeoutError(this.#where, this.#timeoutMs)), this.#timeoutMs)
      this.#waiting = { resolve, reject, timer }
      this.#socket.write(command)
    })
  }

  close(): Promise<void> {
    this.#break(
      new TpmError('TRANSPORT', { message: `The connection to the TPM at ${this.#where} was closed by this program.` }),
    )
    return Promise.resolve()
  }

  #take(data: Uint8Array): void {
    try {
      this.#received = concat(this.#received, data)
      const lengthBytes = announcedLength(this.#received, this.#responseBytesMax)
      if (this.#waiting === undefined || (lengthBytes !== undefined && this.#received.length > lengthBytes)) {
        throw new TpmError('MALFORMED', { message: `The TPM at ${this.#where} sent bytes that nobody asked for.` })
      }
      if (this.#received.length !== lengthBytes) return
      const { resolve, timer } = this.#waiting
      const response = this.#received
      this.#received = new Uint8Array()
      this.#waiting = undefined
      clearTimeout(timer)
      resolve(response)
    } catch (error) {
      this.#break(error as TpmError)
    }
  }

  /** A late answer would be taken for the next command's, so the first failure is the last. */
  #break(error: TpmError): void {
    this.#broken ??= error
    this.#socket.destroy()
    if (this.#waiting === undefined) return
    clearTimeout(this.#waiting.timer)
    this.#waiting.reject(this.#broken)
    this.#waiting = undefined
  }
}
