/** A kernel with its initrd as one payload. Format: spec/loading.md §6. */

import { type FileHandle, open } from 'node:fs/promises'
import { canonical, parseCanonicalBytes, utf8 } from '@reprise/core'
import { integer, object, oneOf, text } from '@reprise/host/decode'
import { RecoveryError } from '../../error.ts'
import { BOOT_MAGIC } from '../memory.ts'

interface BootHeader {
  readonly schema: 'reprise/boot/v1'
  readonly commandLine: string
  readonly kernelBytes: number
  readonly initrdBytes: number
}

const HEADER_BYTES_MAX = 1 << 14
const PART_BYTES_MAX = 2 ** 34
const STEP_BYTES = 1 << 20

const decode = object<BootHeader>({
  schema: oneOf('reprise/boot/v1'),
  commandLine: text(4000),
  kernelBytes: integer(1, PART_BYTES_MAX),
  initrdBytes: integer(1, PART_BYTES_MAX),
})

export interface BootParts {
  readonly kernel: string
  readonly initrd: string
  readonly commandLine: string
}

/** @throws {@link RecoveryError} `IMAGE` when a part cannot be read. */
export async function writeBootPayload({ kernel, initrd, commandLine }: BootParts, target: string): Promise<void> {
  await using kernelFile = await openPart(kernel)
  await using initrdFile = await openPart(initrd)
  const [kernelBytes, initrdBytes] = [(await kernelFile.stat()).size, (await initrdFile.stat()).size]
  const header = utf8(canonical({ schema: 'reprise/boot/v1', commandLine, kernelBytes, initrdBytes }))
  await using file = await open(target, 'wx', 0o600)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(header.length)
  await file.write(Buffer.concat([utf8(BOOT_MAGIC), length, header]))
  await copy(kernelFile, file, kernelBytes)
  await copy(initrdFile, file, initrdBytes)
}

async function openPart(path: string): Promise<FileHandle> {
  return await open(path, 'r').catch((cause: unknown) => {
    throw new RecoveryError('IMAGE', {
      message: `${path} cannot be read: ${(cause as Error).message}`,
      hint: 'Name kernel and initrd as KERNEL+INITRD.',
      cause,
    })
  })
}

/** Writes kernel and initrd to files of their own. @throws {@link RecoveryError} `IMAGE` when the payload is none, or cut. */
export async function readBootPayload(
  payload: string,
  { kernel, initrd }: { readonly kernel: string; readonly initrd: string },
): Promise<{ readonly commandLine: string }> {
  await using file = await open(payload, 'r')
  const start = Buffer.alloc(BOOT_MAGIC.length + 4)
  await file.read(start, 0, start.length)
  const length = start.readUInt32BE(BOOT_MAGIC.length)
  const bytes = Buffer.alloc(Math.min(length, HEADER_BYTES_MAX))
  await file.read(bytes, 0, bytes.length)
  let header: BootHeader
  try {
    header = decode(parseCanonicalBytes(bytes, HEADER_BYTES_MAX), 'header')
    const whole = start.length + length + header.kernelBytes + header.initrdBytes
    const { size } = await file.stat()
    if (size !== whole) throw new RangeError(`it has ${size} bytes, and should have ${whole}`)
  } catch (cause) {
    throw new RecoveryError('IMAGE', {
      message: `${payload} is no kernel with its initrd: ${(cause as Error).message}`,
      hint: 'Build the image again.',
      cause,
    })
  }
  await using kernelFile = await open(kernel, 'wx', 0o600)
  await using initrdFile = await open(initrd, 'wx', 0o600)
  await copy(file, kernelFile, header.kernelBytes)
  await copy(file, initrdFile, header.initrdBytes)
  return { commandLine: header.commandLine }
}

/** From where both stand. */
async function copy(source: FileHandle, target: FileHandle, lengthBytes: number): Promise<void> {
  const buffer = Buffer.alloc(Math.min(STEP_BYTES, lengthBytes))
  for (let left = lengthBytes; left > 0;) {
    const { bytesRead } = await source.read(buffer, 0, Math.min(left, buffer.length))
    if (bytesRead === 0)
      throw new RecoveryError('IMAGE', { message: 'A file became shorter while it was read.', hint: 'Try again.' })
    for (let done = 0; done < bytesRead;) done += (await target.write(buffer, done, bytesRead - done)).bytesWritten
    left -= bytesRead
  }
  buffer.fill(0)
}
