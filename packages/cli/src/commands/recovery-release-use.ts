/** `reprise recovery release use`: releases a host by what its operators signed. */
import { resolve } from 'node:path'
import { askAgent } from '@reprise/recovery/agent'
import { EXIT_YES } from '../exit.ts'

export async function action(options: object, paths: readonly string[]): Promise<number> {
  const { state, json = false } = options as { readonly state: string; readonly json?: boolean }
  const { epoch } = await askAgent(state, { ask: 'release', statements: paths.map((path) => resolve(path)) })
  process.stdout.write(
    json
      ? `${JSON.stringify({ schema: 'reprise/recovery-release-use-result/v1', epoch })}\n`
      : `released by its operators   epoch ${String(epoch)}\n`,
  )
  return EXIT_YES
}
