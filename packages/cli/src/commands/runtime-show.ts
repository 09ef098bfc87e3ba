/** `reprise runtime show`: what a runtime is made of. */
import { findRuntime } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { bytes, safe } from '../print/format.ts'
import { lockLines, lockOf, runtimeAnswer } from '../print/runtime.ts'

export async function action(options: object, [word = '']: readonly string[]): Promise<number> {
  const { json = false } = options as { readonly json?: boolean }
  const runtime = await findRuntime(createContext().home, word)
  const lock = await lockOf(runtime)
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ schema: 'reprise/runtime-show-result/v1', ...runtimeAnswer(runtime, lock) })}\n`,
    )
    return EXIT_YES
  }
  const { manifest } = runtime
  const { run, library } = manifest
  const rows: readonly (readonly [string, string])[] = [
    ['id', runtime.id],
    ['recipe', manifest.recipe],
    ...(manifest.base === null ? [] : [['base', manifest.base] as const]),
    ['components', manifest.components.join(', ') || 'none'],
    ['module', `${bytes(manifest.module.lengthBytes)}  sha256:${manifest.module.sha256}`],
    [
      'library',
      library === null ? 'none' : `${bytes(library.lengthBytes)}  sha256:${library.sha256}, at ${run.libraryAt}`,
    ],
    ['licences', `sha256:${manifest.licences.sha256}`],
    ...manifest.sources.map((source) => ['source', `${source.package} ${source.version}`] as const),
    ...manifest.toolchain.map((tool) => ['tool', `${tool.package} ${tool.version}`] as const),
    ['missing', run.missing.join(', ') || 'nothing known'],
    ['folder', runtime.folder],
  ]
  process.stdout.write(`${safe(manifest.title)}\n`)
  for (const [name, value] of rows) process.stdout.write(`  ${name.padEnd(10)} ${safe(value)}\n`)
  for (const text of lockLines(lock)) process.stdout.write(`  ${text}\n`)
  return EXIT_YES
}
