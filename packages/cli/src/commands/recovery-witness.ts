/** `reprise recovery witness`: the agent of this host, in the foreground. */
import { bringPlan, runAgent } from '@reprise/recovery/agent'
import { kexecLoader, type Loader, namespaceLoader, payloadKind } from '@reprise/recovery/loading'
import { SIGNED_PLAN_BYTES_MAX } from '@reprise/recovery/operators'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'
import { readLimited } from '../read-limited.ts'
import type { AgentSettings } from '../recovery-agent.ts'

export async function action(options: object): Promise<number> {
  const {
    state,
    plan,
    listen,
    heartbeat,
    observe,
    image,
    memory,
    json = false,
  } = options as AgentSettings & { readonly plan?: string }
  const { signal } = createContext()
  // Sockets and files of this process are for its owner only.
  process.umask(0o077)
  if (plan !== undefined) await bringPlan(state, plan, await readLimited(plan, SIGNED_PLAN_BYTES_MAX))
  await runAgent({
    state,
    signal,
    times: { heartbeatMs: heartbeat, observeMs: observe },
    ...(listen !== undefined && { listen }),
    ...(image !== undefined && { image: { path: image, memory, loaderFor } }),
    report: (event, data = {}) => {
      const at = new Date().toISOString()
      if (json) process.stdout.write(`${JSON.stringify({ at, event, ...data })}\n`)
      else process.stdout.write(`${at} ${event}${textOf(data)}\n`)
    },
  })
  return EXIT_YES
}

/** Another kernel is started as one, everything else in namespaces. */
async function loaderFor(payload: string): Promise<Loader> {
  return (await payloadKind(payload)) === 'boot' ? kexecLoader : namespaceLoader
}

function textOf(data: Readonly<Record<string, unknown>>): string {
  return Object.entries(data)
    .map(([name, value]) => safe(`  ${name} ${String(value)}`))
    .join('')
}
