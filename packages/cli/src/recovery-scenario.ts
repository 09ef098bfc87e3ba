/** The options of a simulation as a change to its scenario. */
import type { Scenario } from '@reprise/recovery'

export interface SimulateOptions {
  readonly plan?: string
  readonly hosts: number
  readonly seed: number
  readonly json?: boolean
  readonly returnOver?: number
  readonly cutFor?: number
  readonly theftFor?: number
  readonly skew?: number
  readonly watch?: number
}

/** Options that a scenario has under the same name. */
const SAME = [
  'outage',
  'outages',
  'never',
  'slow',
  'flapping',
  'gone',
  'cut',
  'stolen',
  'thefts',
  'together',
  'relay',
  'liars',
  'loss',
] as const

export function changesOf(options: SimulateOptions): Partial<Scenario> {
  const { returnOver, cutFor, theftFor, skew, watch } = options
  const given = options as unknown as Readonly<Record<string, unknown>>
  const same = Object.fromEntries(SAME.flatMap((key) => (given[key] === undefined ? [] : [[key, given[key]]])))
  return {
    ...(same as Partial<Scenario>),
    ...(returnOver !== undefined && { returnMs: returnOver }),
    ...(cutFor !== undefined && { cutMs: cutFor }),
    ...(theftFor !== undefined && { theftMs: theftFor }),
    ...(skew !== undefined && { skewMs: skew }),
    ...(watch !== undefined && { horizonMs: watch }),
  }
}
