/**
 * Transports carry one command to a TPM and bring one answer back. They know framing, limits and
 * time, and nothing else.
 */

import { TPM_STRUCTURE_BYTES_MAX } from '@reprise/core'
import { TpmError } from '../error.ts'

export interface Transport {
  readonly kind: 'unix' | 'tcp' | 'device' | 'test'
  /**
   * Sends one command; must not be called again before the answer is there (`Tpm` sees to that).
   *
   * @returns The whole answer, as long as its header says.
   * @throws {@link TpmError} `TRANSPORT`, `TIMEOUT` or `MALFORMED`; after any of them the transport stays broken.
   */
  send(command: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

export interface TransportLimits {
  /** Longest answer, in bytes. */
  readonly responseBytesMax?: number
  /** Longest wait for an answer. A chip may take a minute for an RSA key. */
  readonly timeoutMs?: number
}

export const RESPONSE_BYTES_MAX = TPM_STRUCTURE_BYTES_MAX
export const TIMEOUT_MS = 120_000

/** Why a software TPM may not answer. */
export const ONE_AT_A_TIME = 'A software TPM serves one connection at a time: close the other one.'

export function timeoutError(where: string, timeoutMs: number): TpmError {
  return new TpmError('TIMEOUT', {
    message: `The TPM at ${where} did not answer within ${timeoutMs} ms.`,
    hint: ONE_AT_A_TIME,
  })
}

/** Length of the answer that begins with these bytes, once its header is there. */
export function announcedLength(bytes: Uint8Array, responseBytesMax: number): number | undefined {
  if (bytes.length < 6) return undefined
  const lengthBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(2)
  if (lengthBytes < 10 || lengthBytes > responseBytesMax) {
    throw new TpmError('MALFORMED', {
      message: `The TPM announces an answer of ${lengthBytes} bytes; 10 to ${responseBytesMax} are read.`,
    })
  }
  return lengthBytes
}
