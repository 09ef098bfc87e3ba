/** `reprise recovery drill --dry-run`: what a blackout would do to a fleet, by the code that decides. */
import {
  fleetOf,
  RecoveryError,
  scenarioNamed,
  scopeNamed,
  simulate,
  type Fleet,
  type Outcome,
  type Percentiles,
} from '@reprise/recovery'
import { createContext } from '../context.ts'
import { EXIT_NO, EXIT_YES } from '../exit.ts'
import { count, duration } from '../print/format.ts'
import { readPlanFile } from '../recovery-file.ts'

export interface PredictOptions {
  readonly blackout: string
  readonly plan: string
  readonly seed: number
  readonly json: boolean
}

/** A blackout that is over after ten minutes, and one that takes the network with it for a day. */
interface Predicted {
  readonly what: string
  readonly outcome: Outcome
}

export async function predictBlackout({ blackout, plan, seed, json }: PredictOptions): Promise<number> {
  const { signal } = createContext()
  const fleet = fleetOf(await readPlanFile(plan))
  if (fleet.plan.mode !== 'quorum')
    throw new RecoveryError('SCENARIO', {
      message: `the plan of ${fleet.plan.fleet} is tpm-only`,
      hint: 'only the decisions of witnesses are predicted: use a plan in mode quorum',
    })
  const scope = scopeNamed(fleet, blackout)
  const predicted = await predict(fleet, { blackout, seed, signal })
  if (json)
    process.stdout.write(
      `${JSON.stringify({ schema: 'reprise/recovery-prediction/v1', fleet: fleet.plan.fleet, blackout, scope, seed, predicted })}\n`,
    )
  else print(`${scope} ${blackout}`, fleet, predicted)
  // What is cut off holds, as it should.
  return predicted[0].outcome.stuck.count === 0 ? EXIT_YES : EXIT_NO
}

async function predict(
  fleet: Fleet,
  { blackout, seed, signal }: { readonly blackout: string; readonly seed: number; readonly signal: AbortSignal },
): Promise<readonly Predicted[]> {
  const outage = scopeNamed(fleet, blackout)
  const of = (change: object): Promise<Outcome> =>
    simulate(fleet, scenarioNamed('rack-dark', { outage, named: blackout, ...change }), seed, { signal })
  const predicted = [{ what: 'it loses power, which comes back over ten minutes', outcome: await of({}) }]
  // A PDU or a host that is cut off is a case of its own: it holds.
  if (outage !== 'pdu')
    predicted.push({
      what: 'the same, and it is cut off from all others for a day',
      outcome: await of({ cut: outage, cutMs: 24 * 3_600_000 }),
    })
  return predicted
}

function print(what: string, fleet: Fleet, predicted: readonly Predicted[]): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  line(
    `${what} of ${fleet.plan.fleet}, predicted   ${count(predicted[0].outcome.affected, 'host')} of ${fleet.views.length}`,
  )
  for (const { what, outcome } of predicted) {
    const { returned, released, stuck, waiting, fromStartS } = outcome
    line(what)
    line(`  ${released} of ${returned} come back by themselves${fromStartS === undefined ? '' : times(fromStartS)}`)
    const left = Object.entries(waiting).map(([phase, hosts]) => `${hosts} ${phase}`)
    if (stuck.count > 0) line(`  ${stuck.count} do not within two hours: ${left.join(', ')}`)
  }
}

function times({ p50, most }: Percentiles): string {
  return `, half within ${duration(1000 * p50)} and all within ${duration(1000 * most)} of their agents' start`
}
