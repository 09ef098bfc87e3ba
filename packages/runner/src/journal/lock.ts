/** One writer of a journal at a time. */
import { open, type FileHandle } from 'node:fs/promises'
import { readFailure, RunnerError } from '../error.ts'
import { flock, type LockOptions } from '../flock.ts'

/** Whoever asks {@link isLocked} has a journal locked for a moment. */
const LOOKED_AT_SECONDS = 1

/**
 * Locks an open file until it is closed.
 *
 * @throws RunnerError `RUN_BUSY` when another process has it; `JOURNAL_WRITE` without flock(1).
 */
export async function lockFile(file: FileHandle, path: string): Promise<void> {
  if (!(await locked(file, path, { mode: 'exclusive', waitSeconds: LOOKED_AT_SECONDS }))) throw busy(path)
}

/** Whether a process is at work on the run of a journal. @throws RunnerError `INPUT_MISSING`, `JOURNAL_WRITE`. */
export async function isLocked(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw readFailure(cause, path)
  })
  try {
    return !(await locked(file, path, { mode: 'shared', waitSeconds: 0 }))
  } finally {
    await file.close()
  }
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
