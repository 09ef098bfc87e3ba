/** The Debian packages that a recipe is built with: which are here, in which version, and how they get here. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { RunnerError, systemCode } from '../error.ts'
import type { Tool } from './manifest.ts'

/** Installs Debian packages, saying what and why; throws when it cannot. */
export type InstallTools = (packages: readonly string[]) => Promise<void>

/**
 * The versions of all packages, after installing what is not there.
 *
 * @throws RunnerError `RUNTIME_TOOLS`.
 */
export async function provideTools(packages: readonly string[], install: InstallTools): Promise<readonly Tool[]> {
  const names = [...new Set(packages)].toSorted()
  const before = await installedVersions(names)
  const missing = names.filter((name) => !before.has(name))
  if (missing.length === 0) return toolsOf(names, before)
  await install(missing)
  const after = await installedVersions(names)
  const still = names.filter((name) => !after.has(name))
  if (still.length === 0) return toolsOf(names, after)
  throw new RunnerError('RUNTIME_TOOLS', {
    message: `what builds the runtime is missing: ${still.join(' ')}`,
    hint: `apt-get install ${still.join(' ')}`,
  })
}

function toolsOf(names: readonly string[], versions: ReadonlyMap<string, string>): readonly Tool[] {
  return names.map((name) => ({ package: name, version: versions.get(name) ?? '' }))
}

async function installedVersions(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (names.length === 0) return new Map()
  const format = '${Package}\t${Version}\t${db:Status-Status}\n'
  // It ends with 1 when it does not know one of them, and prints the others.
  const { stdout } = await promisify(execFile)('dpkg-query', ['--show', `--showformat=${format}`, ...names], {
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  }).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') {
      throw new RunnerError('RUNTIME_TOOLS', {
        message: 'dpkg is not here: runtimes are built on Debian-like machines',
        hint: 'build it on one, then: reprise runtime export NAME, and reprise runtime import FILE here',
      })
    }
    return error as { stdout: string }
  })
  const versions = new Map<string, string>()
  for (const line of stdout.split('\n')) {
    const [name, version, status] = line.split('\t')
    if (status === 'installed') versions.set(name, version)
  }
  return versions
}
