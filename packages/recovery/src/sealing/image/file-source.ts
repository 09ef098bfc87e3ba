/** An image in a file. */

import { open } from 'node:fs/promises'
import { RecoveryError } from '../../error.ts'
import type { ImageSource } from './open-image.ts'

/** @throws {@link RecoveryError} `IMAGE` when there is no such file, or it is not for us. */
export async function openImageFile(path: string): Promise<ImageSource & AsyncDisposable> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new RecoveryError('IMAGE', {
      message: `${path} cannot be read: ${(cause as Error).message}`,
      hint: 'Look where the image is, and who may read it.',
      cause,
    })
  })
  return {
    where: path,
    sizeBytes: (await file.stat()).size,
    read: async (target, position) => (await file.read(target, 0, target.length, position)).bytesRead,
    [Symbol.asyncDispose]: () => file.close(),
  }
}
