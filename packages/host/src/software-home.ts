/** For tests: homes with a software TPM, and their processes. */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { layTpm } from '@reprise/tpm/testing'

/** Makes homes, all in one folder, and ends what was started for them. */
export class SoftwareHomes implements AsyncDisposable {
  readonly #folder: string
  readonly #homes: string[] = []

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async create(): Promise<SoftwareHomes> {
    return new SoftwareHomes(await mkdtemp(join(tmpdir(), 'reprise-host-')))
  }

  /** A home whose TPM is as it came from the factory, without identity; all of them are the same TPM. */
  async home(): Promise<string> {
    const home = join(this.#folder, String(this.#homes.length))
    await layTpm(join(home, 'tpm', 'swtpm'))
    this.#homes.push(home)
    return home
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const home of this.#homes) {
      await killProcess(home, 'signer')
      await killProcess(home, 'swtpm')
    }
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Pids of a home's signer or swtpm, by their command lines. */
export async function processesOf(home: string, which: 'signer' | 'swtpm'): Promise<number[]> {
  const named = which === 'swtpm' ? `dir=${join(home, 'tpm', 'swtpm')},` : `--home\0${home}\0`
  const pids: number[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
    if (command.includes(named)) pids.push(Number(pid))
  }
  return pids
}

/** kill -9, and waits until they are gone. */
export async function killProcess(home: string, which: 'signer' | 'swtpm'): Promise<void> {
  for (;;) {
    const pids = await processesOf(home, which)
    if (pids.length === 0) return
    for (const pid of pids) killProcessById(pid)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function killProcessById(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It ended by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
