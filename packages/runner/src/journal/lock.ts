/** One writer of a journal at a time: flock(2), which the kernel takes back when its holder dies, however it dies. */
import type { FileHandle } from 'node:fs/promises'
import { RunnerError } from '../error.ts'
import { flock, type LockOptions } from '@reprise/host/flock'

/** Whoever looks whether a journal is being written locks it for a moment. */
const LOOKED_AT_SECONDS = 1

/**
 * Locks an open file until it is closed.
 *
 * @throws RunnerError `RUN_BUSY` when another process has it; `JOURNAL_WRITE` without flock(1).
 */
export async function lockFile(file: FileHandle, path: string): Promise<void> {
  if (!(await locked(file, path, { mode: 'exclusive', waitSeconds: LOOKED_AT_SECONDS }))) throw busy(path)
}

/** Whether another process has locked it. @throws RunnerError `JOURNAL_WRITE` without flock(1). */
export async function isFileLocked(file: FileHandle, path: string): Promise<boolean> {
  return !(await locked(file, path, { mode: 'shared', waitSeconds: 0 }))
}

async function locked(file: FileHandle, path: string, options: LockOptions): Promise<boolean> {
  return await flock(file.fd, options).catch((cause: unknown) => {
    throw new RunnerError('JOURNAL_WRITE', {
      message: `the journal ${path} cannot be locked: ${(cause as Error).message}`,
      hint: 'install util-linux, which has flock',
      cause,
    })
  })
}

export function busy(path: string): RunnerError {
  return new RunnerError('RUN_BUSY', {
    message: `another process is at work on this run: it holds ${path}`,
    hint: 'wait until that has ended, or stop it',
    data: { path },
  })
}
