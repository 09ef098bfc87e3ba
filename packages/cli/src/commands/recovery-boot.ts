/** `reprise recovery boot`: starts the agent unless it runs, and says how the release goes. */
import { askAt, type HostReport } from '@reprise/recovery/agent'
import { createContext } from '../context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { type AgentSettings, awaitAgent, reachAgent, reportLines } from '../recovery-agent.ts'

class Waited extends Error {}

export async function action(options: object): Promise<number> {
  const settings = options as AgentSettings & { readonly timeout: number; readonly start: boolean }
  const { json = false, timeout, start } = settings
  const { signal } = createContext()
  const waited = new AbortController()
  const timer = setTimeout(() => waited.abort(new Waited()), timeout)
  let last: HostReport | undefined
  let shown = ''
  const show = (report: HostReport): void => {
    last = report
    const text = json ? JSON.stringify({ kind: 'report', report }) : reportLines(report).join('\n')
    if (text === shown) return
    shown = text
    process.stdout.write(`${text}\n`)
  }
  try {
    const either = AbortSignal.any([signal, waited.signal])
    const agent = start ? await reachAgent(settings, either) : await awaitAgent(settings.state, either)
    const onLine = ({ report }: { readonly [member: string]: unknown }): void => show(report as HostReport)
    const done = await askAt(agent, { ask: 'boot' }, { signal: either, onLine })
    show(done['report'] as HostReport)
  } catch (error) {
    if (!(error instanceof Waited)) throw error
  } finally {
    clearTimeout(timer)
  }
  return last?.isReleased === true ? EXIT_YES : EXIT_NO
}
