/** For tests: homes with a software TPM, which is manufactured once and copied, and their processes. */

import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { swtpm } from '@reprise/tpm'

/** Makes homes, all in one folder, and ends what was started for them. */
export class SoftwareHomes implements AsyncDisposable {
  readonly #folder: string
  readonly #homes: string[] = []

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async create(): Promise<SoftwareHomes> {
    const folder = await mkdtemp(join(tmpdir(), 'reprise-host-'))
    await swtpm.manufacture(join(folder, 'made'))
    return new SoftwareHomes(folder)
  }

  /** A home whose TPM is as it came from the factory, without identity; all of them are the same TPM. */
  async home(): Promise<string> {
    const home = join(this.#folder, String(this.#homes.length))
    await mkdir(join(home, 'tpm'), { recursive: true, mode: 0o700 })
    await cp(join(this.#folder, 'made'), join(home, 'tpm', 'swtpm'), { recursive: true })
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
