/** This system, as facts about its last shutdown are read from it. */

import { execFile } from 'node:child_process'
import { open, readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { SystemFiles } from './prior-shutdown.ts'

const JOURNAL = ['--boot=-1', '--lines=200', '--output=cat', '--no-pager', '--quiet'] as const
const JOURNAL_TIMEOUT_MS = 10_000
const JOURNAL_BYTES_MAX = 1 << 20

export const systemFiles: SystemFiles = {
  async read(path, lengthBytes, position = 0) {
    try {
      await using file = await open(path, 'r')
      const from = position < 0 ? Math.max(0, (await file.stat()).size + position) : position
      const target = new Uint8Array(lengthBytes)
      let got = 0
      // Files of /proc give a page at a time.
      for (let more = 1; more > 0 && got < lengthBytes; got += more)
        more = (await file.read(target, got, lengthBytes - got, from + got)).bytesRead
      return target.subarray(0, got)
    } catch {
      return undefined
    }
  },
  async list(path) {
    return await readdir(path).catch(() => undefined)
  },
  async journalBefore() {
    const options = { timeout: JOURNAL_TIMEOUT_MS, maxBuffer: JOURNAL_BYTES_MAX, env: { ...process.env, LC_ALL: 'C' } }
    return await promisify(execFile)('journalctl', [...JOURNAL], options).then(
      ({ stdout }) => stdout,
      () => undefined,
    )
  },
}
