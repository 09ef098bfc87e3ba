/** `reprise recovery stop`: ends the agent in an orderly way. */
import { setTimeout as sleepMs } from 'node:timers/promises'
import { askAgent, connectAgent } from '@reprise/recovery/agent'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'

const POLL_MS = 20

export async function action(options: object): Promise<number> {
  const { state, json = false } = options as { readonly state: string; readonly json?: boolean }
  const { signal } = createContext()
  await askAgent(state, { ask: 'stop' }, { signal })
  for (let socket = await connectAgent(state); socket !== undefined; socket = await connectAgent(state)) {
    socket.destroy()
    await sleepMs(POLL_MS, undefined, { signal })
  }
  process.stdout.write(json ? `${JSON.stringify({ kind: 'done' })}\n` : 'ended\n')
  return EXIT_YES
}
