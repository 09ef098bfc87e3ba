/** Waiting with an end. */

import { setTimeout as sleep } from 'node:timers/promises'
import { HostError } from '../error.ts'

/**
 * @throws {@link HostError} `TIMEOUT` naming what was waited for; the signal's reason.
 */
export async function within<T>(
  promise: Promise<T>,
  limits: { readonly what: string; readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
): Promise<T> {
  const { what, signal, timeoutMs } = limits
  if (signal === undefined && timeoutMs === undefined) return promise
  // Whoever leaves first, nobody is left with a rejection that no one handles.
  promise.catch(() => undefined)
  signal?.throwIfAborted()
  const { promise: end, reject } = Promise.withResolvers<never>()
  const aborted = (): void => reject(signal?.reason)
  signal?.addEventListener('abort', aborted)
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(
          () => reject(new HostError('TIMEOUT', { message: `There was not ${what} within ${timeoutMs} ms.` })),
          timeoutMs,
        )
  try {
    return await Promise.race([promise, end])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', aborted)
  }
}

/** @throws The signal's reason. */
export async function pause(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch(() => signal?.throwIfAborted())
}
