/** Makes a file system of a folder, the same bytes wherever and whenever. Rules: spec/release.md §11.1. */

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { RecoveryError } from '../../error.ts'
import type { ImageManifest } from './manifest.ts'
import { sealImage, type SealImageRequest } from './seal-image.ts'

/** No file system of 64 GiB takes longer. */
const TIMEOUT_MS = 3_600_000
const NO_UUID = '00000000-0000-0000-0000-000000000000'
/** Times of all files 0, no identity of its own, everything root's, no extended attributes. */
const REPRODUCIBLE = ['--quiet', '-T0', `-U${NO_UUID}`, '--all-root', '-x-1'] as const

/**
 * Makes an EROFS of a folder. Owners, times and extended attributes of the files are left out; names, modes, links and contents count.
 *
 * @param make.target - Path of the file system; it is replaced.
 * @throws {@link RecoveryError} `IMAGE_TOOL` when mkfs.erofs is missing or fails.
 */
export async function makeFileSystem(make: {
  readonly folder: string
  readonly target: string
  readonly searchPath?: string
}): Promise<void> {
  // Debian's folders of programs are not all on every user's PATH.
  const PATH = make.searchPath ?? `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
  // It writes into a file that is there, and leaves what is longer.
  await rm(make.target, { force: true })
  try {
    await promisify(execFile)('mkfs.erofs', [...REPRODUCIBLE, make.target, make.folder], {
      env: { PATH, LC_ALL: 'C' },
      timeout: TIMEOUT_MS,
    })
  } catch (cause) {
    const { code, stderr = '' } = cause as { code?: unknown; stderr?: string }
    const isMissing = code === 'ENOENT'
    throw new RecoveryError('IMAGE_TOOL', {
      message: isMissing
        ? 'mkfs.erofs, which makes file systems, is not installed.'
        : `mkfs.erofs could not make a file system of ${make.folder}: ${stderr.trim().split('\n').slice(-3).join('; ')}`,
      hint: isMissing
        ? 'sudo apt-get install erofs-utils'
        : 'Look whether the folder can be read and the disk has room.',
      cause,
    })
  }
}

/**
 * Makes an image of a folder: file system, encryption, manifest, signature.
 *
 * @param build.scratch - A folder in memory (tmpfs): what a folder holds stands there in the clear for a while.
 * @throws {@link RecoveryError} `IMAGE_TOOL`, `IMAGE`.
 */
export async function buildImage(
  build: { readonly folder: string; readonly scratch: string } & Omit<SealImageRequest, 'payload' | 'kind'>,
): Promise<ImageManifest> {
  const { folder, scratch, ...request } = build
  const making = await mkdtemp(join(scratch, 'reprise-image-'))
  try {
    const payload = join(making, 'payload')
    await makeFileSystem({ folder, target: payload })
    return await sealImage({ ...request, payload, kind: 'erofs' })
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}
