/** `reprise recovery simulate`: the decisions of recovery over simulated power, clocks and networks. */
import { rename, writeFile } from 'node:fs/promises'
import {
  curvesSvg,
  evenFleet,
  fleetOf,
  RecoveryError,
  SCENARIOS,
  scenarioNamed,
  simulate,
  simulateThefts,
  type Fleet,
  type Outcome,
  type Percentiles,
  type Rate,
  type Scenario,
  type Thefts,
} from '@reprise/recovery'
import { createContext } from '../context.ts'
import { EXIT_INTERRUPTED, EXIT_NO, EXIT_YES } from '../exit.ts'
import { count, duration } from '../print/format.ts'
import { progressLine } from '../print/progress.ts'
import { readPlanFile } from '../recovery-file.ts'
import { changesOf, type SimulateOptions } from '../recovery-scenario.ts'

interface Options extends SimulateOptions {
  readonly list?: boolean
  readonly attempts?: number
  readonly first: number
  readonly svg?: string
}

export async function action(options: object, [name = 'fleet-dark']: readonly string[]): Promise<number> {
  const settings = options as Options
  if (settings.list === true) return list(settings.json === true)
  const scenario = scenarioNamed(name, changesOf(settings))
  const fleet = fleetOf(settings.plan === undefined ? evenFleet(settings.hosts) : await readPlanFile(settings.plan))
  if (fleet.plan.mode !== 'quorum')
    throw new RecoveryError('SCENARIO', {
      message: `the plan of ${fleet.plan.fleet} is tpm-only`,
      hint: 'only the decisions of witnesses are simulated: use a plan in mode quorum',
    })
  const { signal } = createContext()
  const line = progressLine()
  const started = performance.now()
  try {
    const watching = {
      signal,
      progress: (atMs: number, events: number) =>
        line.show(
          settings.attempts === undefined
            ? `${duration(atMs)} simulated, ${count(events, 'event')}`
            : count(events, 'attempt'),
        ),
    }
    if (settings.attempts === undefined) {
      const outcome = await simulate(fleet, scenario, settings.seed, watching)
      line.clear()
      const wallS = (performance.now() - started) / 1000
      return await answer({ name, scenario, settings, fleet, outcome, wallS })
    }
    const { attempts: trials, first, seed } = settings
    const { relay, liars } = scenario
    const thefts = await simulateThefts(fleet, { trials, first, seed, relay, liars }, watching)
    line.clear()
    return answerThefts(thefts, { scenario, settings, fleet, wallS: (performance.now() - started) / 1000 })
  } catch (error) {
    line.clear()
    if (!signal.aborted) throw error
    process.stderr.write('interrupted: half a simulation says nothing\n')
    return EXIT_INTERRUPTED
  }
}

function list(json: boolean): number {
  const scenarios = Object.entries(SCENARIOS).map(([name, { about }]) => ({ name, about }))
  if (json) process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-scenarios/v1', scenarios })}\n`)
  else for (const { name, about } of scenarios) process.stdout.write(`${name.padEnd(14)} ${about}\n`)
  return EXIT_YES
}

interface Answer {
  readonly scenario: Scenario
  readonly settings: Options
  readonly fleet: Fleet
  readonly wallS: number
}

async function answer({
  name,
  outcome,
  ...rest
}: Answer & { readonly name: string; readonly outcome: Outcome }): Promise<number> {
  const { scenario, settings, fleet, wallS } = rest
  const { seed, svg } = settings
  const hosts = fleet.views.length
  if (svg !== undefined) await writeSvg(svg, curvesSvg(outcome.curve, `${name}, ${hosts} hosts, seed ${seed}`))
  if (settings.json === true) {
    const { curve, ...numbers } = outcome
    const document = {
      schema: 'reprise/recovery-simulation-result/v1',
      name,
      scenario,
      fleet: fleet.plan.fleet,
      hosts,
      seed,
      ...numbers,
      curve,
      wallS,
      peakBytes: peakBytes(),
    }
    process.stdout.write(`${JSON.stringify(document)}\n`)
  } else print(name, outcome, rest)
  return outcome.falseReleases.count > 0 ? EXIT_NO : EXIT_YES
}

/** The most memory that this process had. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024
}

function print(name: string, outcome: Outcome, { settings, fleet, wallS }: Answer): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  const { affected, returned, released, stuck, within20Min, falseReleases, fromPowerS, fromStartS, waiting } = outcome
  line(`${name}   ${count(fleet.views.length, 'host')}   seed ${settings.seed}`)
  if (affected > 0) {
    line(`  lost power       ${count(affected, 'host')}, ${count(returned, 'host')} got it back`)
    line(`  released         ${count(released, 'host')}${times('', fromPowerS)}`)
    line(`  agent to release ${times('', fromStartS).slice(3) || 'nobody'}`)
    line(`  in 20 minutes    ${rate(within20Min)}`)
    line(`  stuck            ${rate(stuck)}`)
  }
  if (falseReleases.trials > 0) line(`  false releases   ${rate(falseReleases)} of what was stolen`)
  const left = Object.entries(waiting).map(([phase, hosts]) => `${hosts} ${phase}`)
  if (left.length > 0) line(`  not released     ${left.join(', ')}`)
  line(
    `  ${count(outcome.events, 'event')}, ${count(outcome.messages, 'message')}, ${count(outcome.alarms, 'alarm')}; ${wallS.toFixed(1)} s`,
  )
}

function answerThefts(thefts: Thefts, { scenario, settings, fleet, wallS }: Answer): number {
  const { relay, liars } = scenario
  if (settings.json === true) {
    const document = {
      schema: 'reprise/recovery-thefts-result/v1',
      fleet: fleet.plan.fleet,
      hosts: fleet.views.length,
      seed: settings.seed,
      first: settings.first,
      relay,
      liars,
      ...thefts,
      wallS,
    }
    process.stdout.write(`${JSON.stringify(document)}\n`)
  } else {
    const line = (text: string): void => void process.stdout.write(`${text}\n`)
    line(`thefts   ${count(thefts.all.trials, 'attempt')}${relay ? ', through a relay' : ''}   seed ${settings.seed}`)
    for (const kind of ['host', 'rack', 'room'] as const) line(`  ${kind.padEnd(6)} ${rate(thefts[kind])}`)
    line(`  all    ${rate(thefts.all)}`)
    for (const number of thefts.released.slice(0, 3))
      line(`  released: attempt ${number}; again with --attempts 1 --first ${number} --seed ${settings.seed}`)
    line(`  ${wallS.toFixed(1)} s`)
  }
  return thefts.all.count > 0 ? EXIT_NO : EXIT_YES
}

/** Which bounds they are stands in spec/recovery.md §9. */
function rate({ count: counted, trials, rate: value = 0, low, high }: Rate): string {
  const bounds =
    counted === 0
      ? `at most ${percent(high)}`
      : counted === trials
        ? `at least ${percent(low)}`
        : `${percent(low)} to ${percent(high)}`
  return `${counted} of ${trials}, ${percent(value)} (${bounds}, with 95 % confidence)`
}

function percent(value: number): string {
  // Near certainty the digits that matter are the last ones.
  return `${Number(value > 0.99 ? (100 * value).toFixed(3) : (100 * value).toPrecision(3))} %`
}

function times(before: string, found: Percentiles | undefined): string {
  if (found === undefined) return before
  const { p50, p90, p99, most } = found
  const of = (seconds: number): string => duration(1000 * seconds)
  return `${before}   half in ${of(p50)}, 90 % in ${of(p90)}, 99 % in ${of(p99)}, all in ${of(most)}`
}

async function writeSvg(path: string, text: string): Promise<void> {
  try {
    await writeFile(`${path}.new`, text)
    await rename(`${path}.new`, path)
  } catch (error) {
    throw new RecoveryError('USAGE', {
      message: `${path}: cannot be written (${error instanceof Error ? error.message : String(error)})`,
      hint: 'name a file in a folder that is there',
      cause: error,
    })
  }
}
