/** What the system, V8 and Node say when there is no more memory to be had, or no more threads. */

const CODES: ReadonlySet<unknown> = new Set(['ENOMEM', 'ERR_WORKER_INIT_FAILED', 'ERR_WORKER_OUT_OF_MEMORY'])
/** V8 gives them no codes. */
const OF_V8 = /allocation failed|could not allocate memory|out of memory/i

/** Whether an error comes from that, or from one that does. EAGAIN is a shortage of processes only where one was to be started. */
export function isShortage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, syscall = '' } = error as NodeJS.ErrnoException
  if (CODES.has(code) || (code === 'EAGAIN' && syscall.startsWith('spawn'))) return true
  return (error instanceof RangeError && OF_V8.test(error.message)) || isShortage(error.cause)
}
