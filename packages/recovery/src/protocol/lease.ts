/**
 * How old the last signed heartbeat of a host is, from clocks of which some stood still and some lie: spec/recovery.md
 * §4.3.
 */
import type { DeadClocks } from '../types.ts'

/** Between two heartbeats of a healthy host, in milliseconds; its last one before an outage is that old. */
export const HEARTBEAT_MS = 10 * 60_000

/** The age of a lease as one witness has it. */
export interface LeaseAge {
  /** What its TPM's clock counted since the heartbeat, in milliseconds: never more than the truth. */
  readonly boundMs: number
  /** It ran without a break since, so the bound is the age. */
  readonly isContinuous: boolean
  /** By its wall clock, which nobody signs, in milliseconds. */
  readonly wallMs: number
}

export interface JudgedAge {
  readonly ageMs: number
  /** What it rests on. */
  readonly basis: 'continuous' | 'wall'
}

/** One clock decides nothing, for it may lie. Of two the older age counts: a liar makes a lease older, and never younger. */
const CLOCKS_MIN = 2

/** @returns Undefined when nobody can tell; the gate then refuses. */
export function judgeLease(
  own: LeaseAge | undefined,
  peers: readonly LeaseAge[],
  deadClocks: DeadClocks,
): JudgedAge | undefined {
  const all = own === undefined ? peers : [own, ...peers]
  const boundMs = own?.boundMs ?? 0
  const continuous = all.filter(({ isContinuous }) => isContinuous)
  if (own?.isContinuous === true || continuous.length >= CLOCKS_MIN)
    return { ageMs: Math.max(boundMs, median(continuous.map((age) => age.boundMs))), basis: 'continuous' }
  if (deadClocks === 'refuse' || all.length < CLOCKS_MIN) return undefined
  return { ageMs: Math.max(boundMs, median(all.map(({ wallMs }) => wallMs))), basis: 'wall' }
}

/** The upper one of two middle ones: an even number of liars shall not make a lease younger. */
function median(valuesMs: readonly number[]): number {
  return valuesMs.toSorted((a, b) => a - b)[valuesMs.length >> 1]
}
