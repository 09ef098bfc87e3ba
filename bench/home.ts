/** A home of Reprise for one measurement, whose daemons end with it. */

import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export class TemporaryHome implements AsyncDisposable {
  /** `$REPRISE_HOME`. */
  readonly path: string
  /** An empty folder to work in. */
  readonly folder: string
  readonly #base: string

  static async create(): Promise<TemporaryHome> {
    const base = await mkdtemp(join(tmpdir(), 'reprise-bench-'))
    return new TemporaryHome(base)
  }

  private constructor(base: string) {
    this.#base = base
    this.path = join(base, 'home')
    this.folder = base
  }

  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, REPRISE_HOME: this.path }
  }

  /** Ends what was started for this home, and nothing else: only that has it in its environment or its arguments. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
      try {
        const belongs = ['environ', 'cmdline'].some((file) =>
          readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(this.path),
        )
        if (belongs) process.kill(Number(pid))
      } catch {
        // Gone meanwhile, or not ours to look at.
      }
    }
    await rm(this.#base, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}
