/** `reprise bench`: runs the figures of bench/ in a process of their own, so that nothing else is measured. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { EXIT_UNKNOWN } from '../exit.ts'
import { repositoryRoot } from '../repository.ts'

export async function action(options: object, groups: readonly string[]): Promise<number> {
  const { quick = false, json = false } = options as { readonly quick?: boolean; readonly json?: boolean }
  const words = [
    join(repositoryRoot(), 'bench', 'main.ts'),
    ...(quick ? ['--quick'] : []),
    ...(json ? ['--json'] : []),
    ...groups,
  ]
  const child = spawn(process.execPath, words, { stdio: 'inherit' })
  // The terminal sends Ctrl-C to both; this one waits for the other's end.
  process.on('SIGINT', () => {})
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? EXIT_UNKNOWN
}
