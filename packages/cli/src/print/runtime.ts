/** Runtimes as people and programs read them. */
import {
  readLock,
  readRecipe,
  compareWithLock,
  RunnerError,
  type InstalledRuntime,
  type LockComparison,
} from '@reprise/runner'
import { recipesFolder } from '../repository.ts'
import { safe } from './format.ts'

/** How it stands to the recipe of its name that this version of Reprise has. */
export async function lockOf({ manifest }: InstalledRuntime): Promise<LockComparison> {
  try {
    const recipe = await readRecipe(recipesFolder(), manifest.name)
    return compareWithLock(manifest, recipe, await readLock(recipe))
  } catch (error) {
    if (error instanceof RunnerError && error.code === 'RUNTIME_UNKNOWN')
      return { kind: 'not-comparable', why: 'this version of Reprise has no recipe of that name' }
    throw error
  }
}

export function lockLines(lock: LockComparison): readonly string[] {
  if (lock.kind === 'as-locked') return ['as its lock says']
  if (lock.kind === 'not-comparable') return [`not compared with the lock: ${lock.why}`]
  return [
    'NOT AS ITS LOCK SAYS: runs with it have other states than runs with the build that the lock names',
    ...lock.parts.map(
      ({ part, locked, built }) =>
        `  ${part} is ${built?.sha256 ?? 'not there'}, the lock says ${locked?.sha256 ?? 'none'}`,
    ),
    ...lock.tools.map(
      (tool) =>
        `  ${tool.package} is ${safe(tool.here ?? 'not used')} here, ${safe(tool.locked ?? 'not used')} in the lock`,
    ),
    ...(lock.tools.length === 0 ? ['  the tools have the versions of the lock: please report it'] : []),
  ]
}

export function runtimeAnswer({ id, folder, manifest, installedAtMs }: InstalledRuntime, lock: LockComparison): object {
  return { id, folder, installedAt: new Date(installedAtMs).toISOString(), manifest, lock }
}
