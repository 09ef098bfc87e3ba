/** What lies in memory, and what a payload is. Rules: spec/loading.md §1. */

import { open, stat, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { RecoveryError } from '../error.ts'

/** `f_type` of statfs(2). */
const IN_MEMORY: ReadonlyMap<number, string> = new Map([
  [0x01_02_19_94, 'tmpfs'],
  [0x85_84_58_f6, 'ramfs'],
])

/**
 * Secrets and plain payloads stand nowhere else.
 *
 * @throws {@link RecoveryError} `LOADING` when the path is on a disk.
 */
export async function requireMemory(path: string): Promise<void> {
  const { type } = await statfs(path)
  if (IN_MEMORY.has(type)) return
  throw new RecoveryError('LOADING', {
    message: `${path} is not in memory: its file system has the type 0x${type.toString(16)}.`,
    hint: 'What was decrypted belongs into a tmpfs, such as /run or /dev/shm.',
  })
}

export type Payload = 'folder' | 'erofs' | 'squashfs' | 'boot'

/** How a payload of a kernel begins (§6). */
export const BOOT_MAGIC = 'reprise/boot/v1\n'
const EROFS_AT = 1024
const EROFS_MAGIC = 0xe0_f5_e1_e2

/**
 * By its first bytes.
 *
 * @throws {@link RecoveryError} `IMAGE` when it is nothing that can be loaded, or cannot be read.
 */
export async function payloadKind(path: string): Promise<Payload> {
  const head = Buffer.alloc(EROFS_AT + 4)
  try {
    if ((await stat(path)).isDirectory()) return 'folder'
    await using file = await open(path, 'r')
    await file.read(head, 0, head.length, 0)
  } catch (cause) {
    throw new RecoveryError('IMAGE', {
      message: `The payload ${path} cannot be read: ${(cause as Error).message}`,
      hint: 'Decrypt the image again.',
      cause,
    })
  }
  if (head.readUInt32LE(EROFS_AT) === EROFS_MAGIC) return 'erofs'
  if (head.toString('latin1', 0, 4) === 'hsqs') return 'squashfs'
  if (head.toString('latin1', 0, BOOT_MAGIC.length) === BOOT_MAGIC) return 'boot'
  throw new RecoveryError('IMAGE', {
    message: `The payload ${path} is neither EROFS nor SquashFS nor a kernel with its initrd.`,
    hint: 'Build the image with: reprise recovery image build',
  })
}

/** The folder in which something beside a payload is made. */
export function beside(path: string): string {
  return dirname(resolve(path))
}
