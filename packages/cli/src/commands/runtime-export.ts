/** `reprise runtime export`: a runtime as one file. */
import { resolve } from 'node:path'
import { exportRuntime, findRuntime } from '@reprise/runner'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { bytes, safe, shortPath } from '../print/format.ts'

export async function action(options: object, [word = '']: readonly string[]): Promise<number> {
  const { output, json = false } = options as { readonly output?: string; readonly json?: boolean }
  const runtime = await findRuntime(createContext().home, word)
  const { name, version } = runtime.manifest
  const path = resolve(output ?? `${name}-${version}.runtime`)
  const lengthBytes = await exportRuntime(runtime, path)
  if (json) {
    const answer = { schema: 'reprise/runtime-export-result/v1', id: runtime.id, path, lengthBytes }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  } else {
    process.stdout.write(`${safe(shortPath(path))}   ${bytes(lengthBytes)}   ${runtime.id}\n`)
    process.stdout.write(`  next, on another machine: reprise runtime import ${safe(shortPath(path))}\n`)
  }
  return EXIT_YES
}
