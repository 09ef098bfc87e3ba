/** Answers and the guest's live output on their way out, at the pace of whoever reads them. */
import { ownFailureCode } from '../exit.ts'

/**
 * A reader that has had enough (`reprise show x | head`) is no failure: what it does not take is dropped. Any other
 * failure to write an answer ends the command.
 */
export function watchOutput(command: string): void {
  const isClosed = (error: NodeJS.ErrnoException): boolean => error.code === 'EPIPE'
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isClosed(error)) return
    void import('./failure.ts').then(({ endUnwritten }) => endUnwritten(error, command))
  })
  // There is nowhere left to say it.
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (!isClosed(error)) process.exit(ownFailureCode(command))
  })
}

export interface StreamOptions {
  /** Where the guest's stdout goes. */
  readonly stdout: NodeJS.WriteStream
  /** Comes before what is written on a terminal; the argument says whether a line stays open then. */
  readonly beforeWrite: (leavesLineOpen: boolean) => void
}

const NEWLINE = 10

export function streamWriter({
  stdout,
  beforeWrite,
}: StreamOptions): (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> {
  return async (stream, bytes) => {
    const target = stream === 'stdout' ? stdout : process.stderr
    // The run goes on without its reader: its record holds what is dropped here.
    if (!target.writable) return
    if (target.isTTY && bytes.length > 0) beforeWrite(bytes.at(-1) !== NEWLINE)
    if (!target.write(bytes)) await drained(target)
  }
}

/** Resolves when there is room again, or nobody who would make some. */
function drained(target: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      target.off('drain', done)
      target.off('error', done)
      resolve()
    }
    target.once('drain', done)
    target.once('error', done)
  })
}
