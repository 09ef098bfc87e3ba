/** Finds the programs of swtpm, and says which package brings what is missing. */

import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { TpmError } from '../error.ts'

const DEBIAN_PACKAGES = {
  swtpm: 'swtpm',
  swtpm_setup: 'swtpm-tools',
  swtpm_localca: 'swtpm-tools',
  flock: 'util-linux',
} as const

export type Program = keyof typeof DEBIAN_PACKAGES

/**
 * @param searchPath - As in `$PATH`.
 * @returns The programs' paths, in order.
 * @throws {@link TpmError} `SWTPM_MISSING`.
 */
export async function findPrograms(programs: readonly Program[], searchPath: string): Promise<readonly string[]> {
  const found = await Promise.all(programs.map((program) => findProgram(program, searchPath)))
  const missing = programs.filter((_, i) => found[i] === undefined)
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((program) => DEBIAN_PACKAGES[program]))]
    throw new TpmError('SWTPM_MISSING', {
      message: `The software TPM is not installed: ${missing.join(', ')} not found.`,
      hint: `sudo apt-get install ${packages.join(' ')}`,
      data: { missing },
    })
  }
  return found.filter((path) => path !== undefined)
}

async function findProgram(program: Program, searchPath: string): Promise<string | undefined> {
  for (const folder of searchPath.split(':').filter((folder) => folder !== '')) {
    const path = join(folder, program)
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}
