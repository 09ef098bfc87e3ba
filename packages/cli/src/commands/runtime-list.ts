/** `reprise runtime list`: what is installed, and what could be built. */
import { listRuntimes, readRecipe, recipeNames } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { bytes, safe } from '../print/format.ts'
import { lockOf, runtimeAnswer } from '../print/runtime.ts'
import { recipesFolder } from '../repository.ts'

const WORDS = { 'as-locked': 'as locked', differs: 'NOT AS LOCKED', 'not-comparable': 'not comparable' } as const

export async function action(options: object): Promise<number> {
  const { json = false } = options as { readonly json?: boolean }
  const { home } = createContext()
  const { runtimes, damaged } = await listRuntimes(home)
  const shown = await Promise.all(runtimes.map(async (runtime) => ({ runtime, lock: await lockOf(runtime) })))
  const recipes = await Promise.all(
    (await recipeNames(recipesFolder())).map((name) => readRecipe(recipesFolder(), name)),
  )
  if (json) {
    const answer = {
      schema: 'reprise/runtime-list-result/v1',
      runtimes: shown.map(({ runtime, lock }) => runtimeAnswer(runtime, lock)),
      damaged: damaged.map(({ id, folder, why }) => ({ id, folder, why })),
      recipes: recipes.map(({ name, version, title, summary, digest }) => ({ name, version, title, summary, digest })),
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
    return EXIT_YES
  }
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  for (const { runtime, lock } of shown) {
    const { name, title, module, library } = runtime.manifest
    const size = bytes(module.lengthBytes + (library?.lengthBytes ?? 0))
    line(
      `${name.padEnd(10)} ${runtime.id.slice(0, 12)}  ${size.padStart(9)}  ${WORDS[lock.kind].padEnd(14)} ${safe(title)}`,
    )
  }
  for (const { folder, why } of damaged) line(`damaged    ${safe(folder)}: ${safe(why)}`)
  if (shown.length === 0) line('no runtime is installed; the stock ones come with Reprise')
  line('recipes:')
  for (const { name, title, summary } of recipes) line(`  ${name.padEnd(8)} ${title}: ${summary}`)
  return EXIT_YES
}
