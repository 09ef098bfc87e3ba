/** Files of the repository that the commands bring along; the bundle and the sources lie at different depths. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder with the launcher. */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package-lock.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error('the repository that this command belongs to cannot be found')
    folder = parent
  }
  return folder
}

/** The recipes of language runtimes. */
export function recipesFolder(): string {
  return join(repositoryRoot(), 'runtimes')
}
