/** `reprise recovery rotate`: new halves now. */
import { askAgent } from '@reprise/recovery/agent'
import { createContext } from '../context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { advise } from '../print/format.ts'

class Waited extends Error {}

export async function action(options: object): Promise<number> {
  const {
    state,
    timeout,
    json = false,
  } = options as {
    readonly state: string
    readonly timeout: number
    readonly json?: boolean
  }
  const { signal } = createContext()
  const waited = new AbortController()
  const timer = setTimeout(() => waited.abort(new Waited()), timeout)
  try {
    const onLine = (line: { readonly [member: string]: unknown }): void =>
      json ? void process.stdout.write(`${JSON.stringify(line)}\n`) : advise(String(line['text']))
    const either = AbortSignal.any([signal, waited.signal])
    const { epoch } = await askAgent(state, { ask: 'rotate' }, { signal: either, onLine })
    process.stdout.write(json ? `${JSON.stringify({ kind: 'done', epoch })}\n` : `rotated   epoch ${String(epoch)}\n`)
    return EXIT_YES
  } catch (error) {
    if (!(error instanceof Waited)) throw error
    advise('too few witnesses answered; the agent goes on')
    return EXIT_NO
  } finally {
    clearTimeout(timer)
  }
}
