/** `reprise recovery witness`: the agent of this host, in the foreground. */
import { RecoveryError } from '@reprise/recovery'
import { type Agent, bringPlan, type Report, runAgent } from '@reprise/recovery/agent'
import { serveAgentBoard } from '@reprise/recovery/board'
import { kexecLoader, type Loader, namespaceLoader, payloadKind } from '@reprise/recovery/loading'
import { SIGNED_PLAN_BYTES_MAX } from '@reprise/recovery/operators'
import { createContext } from '../context.ts'
import { EXIT_YES } from '../exit.ts'
import { safe } from '../print/format.ts'
import { readLimited } from '../read-limited.ts'
import type { AgentSettings } from '../recovery-agent.ts'

interface Options extends AgentSettings {
  readonly plan?: string
  readonly board?: string
}

export async function action(options: object): Promise<number> {
  const { state, plan, listen, heartbeat, observe, image, memory, board, json = false } = options as Options
  const { signal } = createContext()
  // Sockets and files of this process are for its owner only.
  process.umask(0o077)
  const report: Report = (event, data = {}) => {
    const at = new Date().toISOString()
    if (json) process.stdout.write(`${JSON.stringify({ at, event, ...data })}\n`)
    else process.stdout.write(`${at} ${event}${textOf(data)}\n`)
  }
  if (plan !== undefined) await beginWith(state, plan, report)
  await runAgent({
    state,
    signal,
    times: { heartbeatMs: heartbeat, observeMs: observe },
    ...(listen !== undefined && { listen }),
    ...(image !== undefined && { image: { path: image, memory, loaderFor } }),
    ...(board !== undefined && { onStarted: (agent: Agent) => void showBoard(agent, board, report) }),
    report,
  })
  return EXIT_YES
}

/** Options of a unit name the plan of the first day for years: a host that has a newer one goes by that. */
async function beginWith(state: string, plan: string, report: Report): Promise<void> {
  try {
    await bringPlan(state, plan, await readLimited(plan, SIGNED_PLAN_BYTES_MAX))
  } catch (error) {
    if (!(error instanceof RecoveryError && error.code === 'PLAN_OLD')) throw error
    report('plan kept', { why: error.message })
  }
}

/** A host whose board cannot be served serves its fleet all the same. */
async function showBoard(agent: Agent, listen: string, report: Report): Promise<void> {
  try {
    report('board', { address: (await serveAgentBoard(agent, listen)).address })
  } catch (error) {
    agent.ground.alarm(error instanceof Error ? error.message : String(error))
  }
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
