/** The signer's log: a few lines about its life, never about what it signs, in two bounded files. */

import { appendFileSync, renameSync, statSync } from 'node:fs'

const LOG_BYTES_MAX = 128 << 10

/** Appends lines with a time stamp; when the file is full it becomes `<path>.1` and a new one begins. */
export function openLog(path: string): (line: string) => void {
  return (line) => {
    try {
      if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES_MAX) renameSync(path, `${path}.1`)
      appendFileSync(path, `${new Date().toISOString()} ${process.pid} ${line}\n`, { mode: 0o600 })
    } catch {
      // A full disk must not keep the signer from signing.
    }
  }
}
