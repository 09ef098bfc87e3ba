/** `reprise runtime gc`: deletes older builds and what building left behind. */
import { collectRuntimes, planRuntimeCollection, type RuntimeCollection } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { bytes, count, safe } from '../print/format.ts'

export async function action(options: object): Promise<number> {
  const {
    yes = false,
    keepBuilds = false,
    json = false,
  } = options as {
    readonly yes?: boolean
    readonly keepBuilds?: boolean
    readonly json?: boolean
  }
  const { home } = createContext()
  const plan = await (yes ? collectRuntimes : planRuntimeCollection)(home, { keepBuilds, nowMs: Date.now() })
  if (json) {
    const answer = {
      schema: 'reprise/runtime-gc-result/v1',
      deleted: yes,
      older: plan.older.map(({ id, manifest }) => ({ id, name: manifest.name, version: manifest.version })),
      damaged: plan.damaged.map(({ id, why }) => ({ id, why })),
      leftovers: plan.leftovers,
      storedBytes: plan.storedBytes,
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  } else print(plan, yes)
  return EXIT_YES
}

function print({ older, damaged, leftovers, storedBytes }: RuntimeCollection, isDeleted: boolean): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  if (older.length + damaged.length + leftovers.length === 0) return line('nothing to delete')
  line(`${isDeleted ? 'deleted' : 'would delete'} ${bytes(storedBytes)}`)
  for (const { id, manifest } of older)
    line(`  ${safe(manifest.title)}  ${id.slice(0, 12)}: another one of that name is better`)
  for (const { id, why } of damaged) line(`  ${safe(id)}: ${safe(why)}`)
  if (leftovers.length > 0) line(`  ${count(leftovers.length, 'folder')} of builds and their sources`)
  if (!isDeleted) line('  nothing was deleted yet: add --yes')
}
