/**
 * The kernel's TPM: /dev/tpmrm0, where each open file is a space of its own that the kernel cleans up
 * when it is closed. One write is one command, one read is one answer.
 *
 * Source: Linux, Documentation/security/tpm/tpm-security.rst and drivers/char/tpm/tpm-dev-common.c.
 */

import { type FileHandle, open } from 'node:fs/promises'
import { TpmError } from '../error.ts'
import {
  announcedLength,
  RESPONSE_BYTES_MAX,
  timeoutError,
  TIMEOUT_MS,
  type Transport,
  type TransportLimits,
} from './transport.ts'

export const DEVICE_PATH = '/dev/tpmrm0'

/** @throws {@link TpmError} `TRANSPORT` when the device cannot be opened. */
export async function openDeviceTransport(
  path: string = DEVICE_PATH,
  limits: TransportLimits = {},
): Promise<Transport> {
  try {
    return new DeviceTransport(await open(path, 'r+'), path, limits)
  } catch (cause) {
    const hint =
      (cause as NodeJS.ErrnoException).code === 'EACCES'
        ? 'Members of the group tss may use it: sudo usermod -aG tss "$USER", then log in again.'
        : 'This machine has no TPM that Linux knows; see the firmware setup.'
    throw new TpmError('TRANSPORT', { message: `${path} cannot be opened: ${(cause as Error).message}`, hint, cause })
  }
}

class DeviceTransport implements Transport {
  readonly kind = 'device'
  readonly #file: FileHandle
  readonly #path: string
  readonly #responseBytesMax: number
  readonly #timeoutMs: number
  #broken: TpmError | undefined

  constructor(file: FileHandle, path: string, limits: TransportLimits) {
    this.#file = file
    this.#path = path
    this.#responseBytesMax = limits.responseBytesMax ?? RESPONSE_BYTES_MAX
    this.#timeoutMs = limits.timeoutMs ?? TIMEOUT_MS
  }

  async send(command: Uint8Array): Promise<Uint8Array> {
    if (this.#broken !== undefined) throw this.#broken
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(timeoutError(this.#path, this.#timeoutMs)), this.#timeoutMs)
    try {
      return await Promise.race([this.#exchange(command), late])
    } catch (cause) {
      this.#broken =
        cause instanceof TpmError
          ? cause
          : new TpmError('TRANSPORT', { message: `${this.#path} failed: ${(cause as Error).message}`, cause })
      throw this.#broken
    } finally {
      clearTimeout(timer)
    }
  }

  async #exchange(command: Uint8Array): Promise<Uint8Array> {
    const { bytesWritten } = await this.#file.write(command, 0, command.length, null)
    if (bytesWritten !== command.length) {
      throw new TpmError('TRANSPORT', { message: `${this.#path} took ${bytesWritten} of ${command.length} bytes.` })
    }
    // One byte more than allowed, so that an answer that is too long shows.
    const buffer = new Uint8Array(this.#responseBytesMax + 1)
    const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, null)
    const response = buffer.slice(0, bytesRead)
    if (announcedLength(response, this.#responseBytesMax) !== bytesRead) {
      throw new TpmError('MALFORMED', {
        message: `${this.#path} gave ${bytesRead} bytes, which is not what the answer's header says.`,
      })
    }
    return response
  }

  async close(): Promise<void> {
    this.#broken ??= new TpmError('TRANSPORT', { message: `${this.#path} was closed by this program.` })
    await this.#file.close()
  }
}
