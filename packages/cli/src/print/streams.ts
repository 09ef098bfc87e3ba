/** The guest's live output, byte for byte, at the pace of whoever reads it. */
import { once } from 'node:events'

export interface StreamOptions {
  /** Where the guest's stdout goes. */
  readonly stdout: NodeJS.WriteStream
  /** Takes the progress line away first. */
  readonly beforeWrite: () => void
}

export function streamWriter({
  stdout,
  beforeWrite,
}: StreamOptions): (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> {
  return async (stream, bytes) => {
    beforeWrite()
    const target = stream === 'stdout' ? stdout : process.stderr
    if (!target.write(bytes)) await once(target, 'drain')
  }
}
