/** `reprise host init`: the identity of this host, made once. */
import { initHost } from '@reprise/host'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { advise } from '../print/format.ts'
import { printHost } from './host-show.ts'

export async function action(options: object): Promise<number> {
  const { json = false, new: renew = false } = options as { readonly json?: boolean; readonly new?: boolean }
  const { home, signal } = createContext()
  await using signer = await initHost({ home, signal, renew, onTrouble: advise })
  const report = await signer.show()
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
  else printHost(report)
  return EXIT_YES
}
