/** `reprise recovery host`: how this host stands, as its agent says. */
import { askAgent, type HostReport } from '@reprise/recovery/agent'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { count, safe } from '../print/format.ts'
import { ageText, reportLines, shutdownLines } from '../recovery-agent.ts'

export async function action(options: object): Promise<number> {
  const { state, json = false } = options as { readonly state: string; readonly json?: boolean }
  const report = (await askAgent(state, { ask: 'status' }))['report'] as HostReport
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`)
  else print(report)
  return report.isReleased ? EXIT_YES : EXIT_NO
}

function print(report: HostReport): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  for (const text of reportLines(report)) line(text)
  for (const text of shutdownLines(report)) line(text)
  const { lastHeartbeatWallMs: last, heartbeatWitnesses, wards, services, alarms, audit } = report
  if (last !== null)
    line(`  heartbeat ${ageText(last)} ago, signed by ${count(heartbeatWitnesses, 'witness', 'witnesses')}`)
  line(`  keeps shares of ${count(wards, 'host')}; ${count(audit.length, 'entry', 'entries')} in its log`)
  for (const { name, state } of services) line(`  service ${safe(name)}   ${state}`)
  for (const { wallMs, text } of alarms) line(`  alarm, ${ageText(wallMs)} ago: ${safe(text)}`)
}
