/**
 * Power cycles of the hosts of a record: what changed between two attestations of one TPM, and what a boot statement tells
 * of it. Rules: spec/power-cycles.md §1, §5.
 */
import type { TpmsClockInfo } from '../tpm/index.ts'

/** An attestation's place in the run. */
export interface PlaceInRun {
  readonly attempt: number
  /** The checkpoint that it covers. */
  readonly seq: number
}

/** A host's TPM was in another power cycle, and a boot statement tells how it came there. */
export interface PowerChange {
  /** Index into the record's hosts. */
  readonly host: number
  /** The host's attestation before, and the one after. */
  readonly from: PlaceInRun
  readonly to: PlaceInRun
  /** How often its TPM was reset, and restarted since. */
  readonly resets: number
  readonly restarts: number
  /** Whether the TPM was shut down before the last of them. False is proven; true is the host's claim. */
  readonly orderly: boolean
  /** Whether the kernel is the one of before, by its boot_id; null when nothing says so. The host's word. */
  readonly sameKernel: boolean | null
}

/** How many increments the host's counter made from the begin of the record's first attempt on it to the end of its last. */
export interface HostCount {
  readonly host: number
  /** Decimal. */
  readonly from: string
  readonly to: string
  /** Power cycles and attempts begun by this host in between that this record does not show. */
  readonly others: string
}

/** Part 1 §36.3.2: a TPM saves its clock at least this often. */
export const CLOCK_SAVED_MS_MAX = 1n << 22n

export function isSameCycle(a: TpmsClockInfo, b: TpmsClockInfo): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount
}

export function isLaterCycle(before: TpmsClockInfo, now: TpmsClockInfo): boolean {
  return (
    now.resetCount > before.resetCount ||
    (now.resetCount === before.resetCount && now.restartCount > before.restartCount)
  )
}

/** Resets between two power cycles, and restarts since the last of them. */
export function stepsBetween(before: TpmsClockInfo, now: TpmsClockInfo): Pick<PowerChange, 'resets' | 'restarts'> {
  const resets = now.resetCount - before.resetCount
  return { resets, restarts: resets === 0 ? now.restartCount - before.restartCount : now.restartCount }
}

/** Restarts need a shutdown; of resets the flag tells the newest, and only while nothing came after it. */
export function isWhollyTold({ resets, restarts }: Pick<PowerChange, 'resets' | 'restarts'>): boolean {
  return resets === 0 || (resets === 1 && restarts === 0)
}

/** @returns Whether the clock went back further than the change allows. */
export function isClockBack(
  before: TpmsClockInfo,
  now: TpmsClockInfo,
  change: Pick<PowerChange, 'resets' | 'restarts' | 'orderly'>,
): boolean {
  // Without a reset nothing is lost either way.
  const isKept = change.orderly && isWhollyTold(change)
  const allowed = isKept ? 0n : BigInt(change.resets) * CLOCK_SAVED_MS_MAX
  return now.clock + allowed < before.clock
}

/** Says in a sentence what happened to a host, for people. */
export function tellPowerChange(change: PowerChange): string {
  const { host, from, to } = change
  const where =
    from.attempt === to.attempt
      ? `between checkpoints ${from.seq} and ${to.seq} of attempt ${from.attempt}`
      : `between attempt ${from.attempt} and ${to.attempt}`
  return `host ${host} ${whatHappened(change)} ${where}${kernel(change)}`
}

function whatHappened({ resets, restarts, orderly }: PowerChange): string {
  const times = (count: number): string => (count === 1 ? 'once' : `${count} times`)
  if (resets === 0) return `slept or was restarted from a saved state ${times(restarts)}`
  if (restarts > 0) return `went down ${times(resets)}, nobody shows how, and was restarted ${times(restarts)} since,`
  const last = orderly ? 'was shut down' : 'went down without a shutdown'
  return resets === 1 ? last : `went down ${times(resets)}, and the last time ${last},`
}

/** Only a software TPM is stopped by itself; a chip that was is a finding. */
function kernel({ resets, sameKernel }: PowerChange): string {
  return resets > 0 && sameKernel === true ? ' (its TPM alone: its kernel went on)' : ''
}
