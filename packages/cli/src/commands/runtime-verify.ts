/** `reprise runtime verify`: whether installed runtimes still hold what their manifests say. */
import { findRuntime, listRuntimes, verifyRuntime } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { paint, safe } from '../print/format.ts'
import { lockLines, lockOf } from '../print/runtime.ts'

export async function action(options: object, [word]: readonly string[]): Promise<number> {
  const { json = false } = options as { readonly json?: boolean }
  const { home } = createContext()
  const here =
    word === undefined ? await listRuntimes(home) : { runtimes: [await findRuntime(home, word)], damaged: [] }
  const checked = await Promise.all(
    here.runtimes.map(async (runtime) => ({
      runtime,
      wrong: await verifyRuntime(runtime),
      lock: await lockOf(runtime),
    })),
  )
  const isWhole = here.damaged.length === 0 && checked.every(({ wrong }) => wrong.length === 0)
  if (json) {
    const answer = {
      schema: 'reprise/runtime-verify-result/v1',
      whole: isWhole,
      runtimes: checked.map(({ runtime, wrong, lock }) => ({
        id: runtime.id,
        name: runtime.manifest.name,
        wrong,
        lock,
      })),
      damaged: here.damaged.map(({ id, folder, why }) => ({ id, folder, why })),
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
    return isWhole ? EXIT_YES : EXIT_NO
  }
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  for (const { runtime, wrong, lock } of checked) {
    const answer =
      wrong.length === 0 ? paint('green', 'whole', process.stdout) : paint('red', 'damaged', process.stdout)
    line(`${answer}   ${safe(runtime.manifest.title)}   ${runtime.id.slice(0, 12)}`)
    for (const text of [...wrong.map(safe), ...lockLines(lock)]) line(`  ${text}`)
  }
  for (const { folder, why } of here.damaged)
    line(`${paint('red', 'damaged', process.stdout)}   ${safe(folder)}: ${safe(why)}`)
  if (checked.length + here.damaged.length === 0) line('no runtime is installed')
  return isWhole ? EXIT_YES : EXIT_NO
}
