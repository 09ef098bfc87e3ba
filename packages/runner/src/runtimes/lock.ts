/** One build in a folder at a time: flock(2), which the kernel takes back when all of its holders have ended. */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { flock } from '@reprise/host/flock'
import { RunnerError, writeFailure } from '../error.ts'

/**
 * Does something that nobody else may do in the folder meanwhile.
 *
 * @param work - Gets the descriptor: a child that inherits it holds the lock too, and outlives us if need be.
 * @throws RunnerError `RUNTIME_BUSY`; `WRITE`, `DISK_FULL`.
 */
export async function withLock<T>(folder: string, work: (descriptor: number) => Promise<T>): Promise<T> {
  const path = join(folder, 'lock')
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw writeFailure(error, folder, 'the build')
  }
  await using file = await open(path, 'a').catch((error: unknown) => {
    throw writeFailure(error, path, 'the lock of a build')
  })
  if (!(await flock(file.fd, { mode: 'exclusive', waitSeconds: 0 }))) {
    throw new RunnerError('RUNTIME_BUSY', {
      message: `another process is building in ${folder}`,
      hint: 'wait until it has ended; a build whose command was killed ends its compilers by itself in a moment',
    })
  }
  return await work(file.fd)
}
