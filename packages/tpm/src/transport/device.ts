/**
 * The kernel's TPM: /dev/tpmrm0, where each open file is a space of its own that the kernel cleans up
 * when it is closed. One write is one command; its answer is read until it is whole.
 *
 * Source: Linux, Documentation/security/tpm/tpm-security.rst and drivers/char/tpm/tpm-dev-common.c: EBUSY while an answer
 * waits or a command is under way, EPIPE once the chip is gone, ETIME when it does not answer its driver.
 */

import { open } from 'node:fs/promises'
import { setTimeout as sleepMs } from 'node:timers/promises'
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

/** What is needed of an open file; a test puts its own in the place of the kernel's. */
export interface DeviceFile {
  write(bytes: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>
  read(bytes: Uint8Array, offset: number, length: number): Promise<{ readonly bytesRead: number }>
  close(): Promise<void>
}

export interface DeviceOptions extends TransportLimits {
  /** For tests. */
  readonly openFile?: (path: string) => Promise<DeviceFile>
  readonly sleep?: (durationMs: number) => Promise<unknown>
}

/** @throws {@link TpmError} `TRANSPORT` when the device cannot be opened. */
export async function openDeviceTransport(path: string = DEVICE_PATH, options: DeviceOptions = {}): Promise<Transport> {
  try {
    return new DeviceTransport(await (options.openFile ?? openFile)(path), path, options)
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException
    const hint =
      OPEN_HINTS[code] ?? 'This machine has no TPM that Linux knows; see the firmware setup, and: dmesg | grep -i tpm'
    throw new TpmError('TRANSPORT', { message: `${path} cannot be opened: ${message}`, hint, cause })
  }
}

const OPEN_HINTS: Readonly<Record<string, string>> = {
  EACCES: 'Members of the group tss may use it: sudo usermod -aG tss "$USER", then log in again.',
  EPERM: 'Members of the group tss may use it: sudo usermod -aG tss "$USER", then log in again.',
  EBUSY: `Another program has the TPM for itself. Use ${DEVICE_PATH}, which can be shared, or see: sudo fuser -v /dev/tpm*`,
}

async function openFile(path: string): Promise<DeviceFile> {
  const file = await open(path, 'r+')
  return {
    write: (bytes, offset, length) => file.write(bytes, offset, length, null),
    read: (bytes, offset, length) => file.read(bytes, offset, length, null),
    close: () => file.close(),
  }
}

/** A signal came, or the driver has something else to do: the same call again. */
const AGAIN: ReadonlySet<string> = new Set(['EINTR', 'EAGAIN', 'EBUSY'])
/** Waits between such calls double up to the second; all together a bit over 30 s. */
const AGAIN_MIN_MS = 1
const AGAIN_MAX_MS = 1_000
const AGAIN_TIMES_MAX = 40

const GONE: ReadonlySet<string> = new Set(['ENODEV', 'ENXIO', 'EPIPE', 'EIO', 'EBADF', 'ESHUTDOWN'])

class DeviceTransport implements Transport {
  readonly kind = 'device'
  readonly #file: DeviceFile
  readonly #path: string
  readonly #responseBytesMax: number
  readonly #timeoutMs: number
  readonly #sleep: (durationMs: number) => Promise<unknown>
  #broken: TpmError | undefined

  constructor(file: DeviceFile, path: string, options: DeviceOptions) {
    this.#file = file
    this.#path = path
    this.#responseBytesMax = options.responseBytesMax ?? RESPONSE_BYTES_MAX
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    this.#sleep = options.sleep ?? sleepMs
  }

  async send(command: Uint8Array): Promise<Uint8Array> {
    if (this.#broken !== undefined) throw this.#broken
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(timeoutError(this.#path, this.#timeoutMs)), this.#timeoutMs)
    try {
      return await Promise.race([this.#exchange(command), late])
    } catch (cause) {
      this.#broken ??= cause instanceof TpmError ? cause : this.#failed(cause as NodeJS.ErrnoException)
      throw this.#broken
    } finally {
      clearTimeout(timer)
    }
  }

  async #exchange(command: Uint8Array): Promise<Uint8Array> {
    const { bytesWritten } = await this.#again(() => this.#file.write(command, 0, command.length))
    if (bytesWritten !== command.length) {
      throw new TpmError('TRANSPORT', { message: `${this.#path} took ${bytesWritten} of ${command.length} bytes.` })
    }
    // One byte more than allowed, so that an answer that is too long shows.
    const buffer = new Uint8Array(this.#responseBytesMax + 1)
    let length = 0
    for (;;) {
      const at = length
      const { bytesRead } = await this.#again(() => this.#file.read(buffer, at, buffer.length - at))
      length += bytesRead
      const announced = announcedLength(buffer.subarray(0, length), this.#responseBytesMax)
      if (length === announced) return buffer.slice(0, length)
      if (bytesRead === 0) throw this.#cut(length, announced)
      if (announced !== undefined && length > announced) throw this.#tooLong(length, announced)
    }
  }

  /** Calls again what was only interrupted. */
  async #again<T>(call: () => Promise<T>): Promise<T> {
    for (let times = 0; ; times++) {
      try {
        return await call()
      } catch (error) {
        const { code = '' } = error as NodeJS.ErrnoException
        // Whoever waited in vain has given up the transport by now.
        if (!AGAIN.has(code) || times >= AGAIN_TIMES_MAX || this.#broken !== undefined) throw error
        if (code !== 'EINTR') await this.#sleep(Math.min(AGAIN_MAX_MS, AGAIN_MIN_MS * 2 ** times))
      }
    }
  }

  #cut(length: number, announced: number | undefined): TpmError {
    const of = announced === undefined ? '' : ` of ${announced}`
    return new TpmError('TRANSPORT', {
      message: `${this.#path} ended its answer after ${length}${of} bytes.`,
      hint: 'The driver gave the TPM up, or was reset: dmesg | grep -i tpm',
    })
  }

  #tooLong(length: number, announced: number): TpmError {
    return new TpmError('MALFORMED', {
      message: `${this.#path} gave ${length} bytes for an answer whose header says ${announced}.`,
    })
  }

  #failed(cause: NodeJS.ErrnoException): TpmError {
    const { code = '', message } = cause
    if (GONE.has(code)) {
      return new TpmError('TRANSPORT', {
        message: `The TPM at ${this.#path} went away: ${message}`,
        hint: 'It was unplugged, or its driver was reset: dmesg | grep -i tpm',
        cause,
      })
    }
    if (code === 'ETIME' || code === 'ETIMEDOUT') {
      return new TpmError('TIMEOUT', {
        message: `The TPM at ${this.#path} does not answer its driver: ${message}`,
        hint: 'Chips hang after some resets: switch the machine off and on.',
        cause,
      })
    }
    const hint = code === 'EBUSY' ? 'Another program keeps it busy: sudo fuser -v /dev/tpm*' : undefined
    return new TpmError('TRANSPORT', {
      message: `${this.#path} failed: ${message}`,
      ...(hint !== undefined && { hint }),
      cause,
    })
  }

  async close(): Promise<void> {
    const timedOut = this.#broken?.code === 'TIMEOUT'
    this.#broken ??= new TpmError('TRANSPORT', { message: `${this.#path} was closed by this program.` })
    const closing = this.#file.close()
    // A call that the driver does not answer holds the file; nobody waits for that.
    if (timedOut) closing.catch(() => undefined)
    else await closing
  }
}
