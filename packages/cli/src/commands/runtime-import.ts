/** `reprise runtime import`: installs an exported runtime. */
import { resolve } from 'node:path'
import { importRuntime } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'
import { lockLines, lockOf, runtimeAnswer } from '../print/runtime.ts'

export async function action(options: object, [file = '']: readonly string[]): Promise<number> {
  const { json = false } = options as { readonly json?: boolean }
  const runtime = await importRuntime(resolve(file), createContext().home)
  const lock = await lockOf(runtime)
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ schema: 'reprise/runtime-import-result/v1', ...runtimeAnswer(runtime, lock) })}\n`,
    )
    return EXIT_YES
  }
  process.stdout.write(`imported   ${safe(runtime.manifest.title)}   ${runtime.id}\n`)
  for (const text of lockLines(lock)) process.stdout.write(`  ${text}\n`)
  process.stdout.write(`  next: reprise run --runtime ${runtime.manifest.name} …\n`)
  return EXIT_YES
}
