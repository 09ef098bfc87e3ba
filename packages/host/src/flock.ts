/** Locks between processes: flock(2), which the kernel takes back when its holder dies, however it dies. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** By which flock(1) says that another process holds the lock. */
const EXIT_LOCKED = 75

export interface LockOptions {
  readonly mode: 'exclusive' | 'shared'
  /** 0: does not wait. */
  readonly waitSeconds: number
}

/**
 * Locks an open file until it is closed. flock(1) locks what it inherits, which stays locked for this process.
 *
 * @returns False when another holds it all that time.
 * @throws Error when it cannot be locked at all, with the reason.
 */
export async function flock(descriptor: number, { mode, waitSeconds }: LockOptions): Promise<boolean> {
  const wait = waitSeconds === 0 ? ['--nonblock'] : ['--timeout', String(waitSeconds)]
  const child = spawn('flock', [`--${mode}`, ...wait, '--conflict-exit-code', String(EXIT_LOCKED), '3'], {
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0 && code !== EXIT_LOCKED) throw new Error(`flock ended with ${code}`)
  return code === 0
}
