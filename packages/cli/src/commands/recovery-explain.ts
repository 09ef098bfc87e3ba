/** `reprise recovery explain`: why a host of a simulation stands where it stands, and what would release it. */
import { explain, fleetOf, evenFleet, scenarioNamed, type ExplainedPeer, type Explanation } from '@reprise/recovery'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { duration } from '../print/format.ts'
import { readPlanFile } from '../recovery-file.ts'
import { changesOf, type SimulateOptions } from '../recovery-scenario.ts'

interface Options extends SimulateOptions {
  readonly at: number
}

export async function action(options: object, [host, name = 'fleet-dark']: readonly string[]): Promise<number> {
  const settings = options as Options
  const scenario = scenarioNamed(name, changesOf(settings))
  const fleet = fleetOf(settings.plan === undefined ? evenFleet(settings.hosts) : await readPlanFile(settings.plan))
  const atMs = settings.at + (scenario.stolen === 'none' ? 0 : scenario.theftMs)
  const explanation = explain(fleet, scenario, settings.seed, host, atMs)
  if (settings.json === true) {
    const document = {
      schema: 'reprise/recovery-explanation/v1',
      simulated: { name, scenario, seed: settings.seed, atMs },
      ...explanation,
    }
    process.stdout.write(`${JSON.stringify(document)}\n`)
  } else print(explanation, `${name}, simulated, after ${duration(settings.at)}`)
  return explanation.phase === 'released' || explanation.phase === 'healthy' ? EXIT_YES : EXIT_NO
}

function print(
  { host, domain, isStolen, phase, releasedAtMs, verdict, sharesHeld, sharesNeeded, peers, changes }: Explanation,
  of: string,
): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  line(`${host}   ${phase}${releasedAtMs === undefined ? '' : ` after ${duration(releasedAtMs)}`}   ${of}`)
  line(
    `  stands in ${domain.zone} / ${domain.room} / ${domain.rack}, ${domain.pdu}${isStolen ? '; it was carried off' : ''}`,
  )
  if (verdict !== undefined) {
    const odds = Object.entries(verdict.odds).toSorted(([, a], [, b]) => b - a)
    line(
      `  verdict   ${verdict.action}: ${odds.map(([name, value]) => `${name} ${Number((100 * value).toPrecision(2))} %`).join(', ')}`,
    )
  }
  line(`  shares    ${sharesHeld} of the ${sharesNeeded} that are needed`)
  for (const peer of peers) if (phase !== 'healthy') line(`    ${describe(peer)}`)
  if (changes.length > 0) line('what would release it')
  for (const change of changes) line(`  ${change}`)
}

function describe({ host, domain, isWitness, status, share, refusals }: ExplainedPeer): string {
  const said = refusals.map(({ rule, fact }) => `${rule}: ${fact}`).join('; ')
  const what = isWitness ? `share ${share}${said === '' ? '' : ` (${said})`}` : 'of its rack, holds no share'
  return `${host.padEnd(16)} ${domain.zone} / ${domain.room} / ${domain.rack}   ${status ?? 'not asked yet'}   ${what}`
}
