/**
 * Writes the lock of a recipe from the runtime that was just built by it, with all components, below REPRISE_HOME:
 *
 *     node tools/runtime-lock.ts python
 *
 * Build it twice, in two homes, before: a lock that only one place comes to is worth nothing.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repriseHome } from '@reprise/host'
import { encodeLock, listRuntimes, readRecipe } from '@reprise/runner'

const [name = ''] = process.argv.slice(2)
const recipe = await readRecipe(join(import.meta.dirname, '..', 'runtimes'), name)
const { runtimes } = await listRuntimes(repriseHome())
const built = runtimes.find(
  ({ manifest }) => manifest.recipe === recipe.digest && manifest.components.length === recipe.components.length,
)
if (built === undefined) throw new Error(`no runtime of this very recipe is installed in ${repriseHome()}`)
const { module, library, licences, toolchain } = built.manifest
writeFileSync(
  join(recipe.folder, 'recipe.lock.json'),
  encodeLock({ recipe: recipe.digest, module, library, licences, toolchain }),
)
