/** The machine of a witness with its file: each durable change is on disk before its actions are given out. */

import type { Clocks, WitnessAction, WitnessContext, WitnessEvent, WitnessState } from '../../protocol/witness.ts'
import { newWitness, stepWitness } from '../../protocol/witness.ts'
import type { HeartbeatClock } from '../../sealing/prior-shutdown.ts'
import type { HostId } from '../../types.ts'
import { inOrder } from '../ground.ts'
import { readState, writeState } from '../state/folder.ts'
import { type Cycle, emptyWitness, type Ward, WITNESS_FILE, WITNESS_SCHEMA } from '../state/witness-file.ts'
import { durableOf, type Wards, withDurable } from './wards.ts'

export interface Memory {
  readonly state: WitnessState
  readonly wards: Wards
  /** Of this power cycle. */
  readonly cycle: Cycle
  /** @param tpmClockMs - Of the own TPM, now. */
  readonly clocks: (tpmClockMs: number, wallMs: number) => Clocks
  /**
   * Takes a step.
   *
   * @param change - What is to be noted of wards in the same write.
   */
  readonly step: (event: WitnessEvent, change?: (wards: Wards) => Wards) => Promise<readonly WitnessAction[]>
  /** These are revoked no more: a plan has another key for them. */
  readonly pardon: (hosts: readonly HostId[]) => Promise<void>
}

export interface Opening {
  readonly path: string
  readonly rosterVersion: number
  /** Of the own TPM, at this start of the agent. */
  readonly now: HeartbeatClock
  /** How the host went down before this power cycle. */
  readonly lastShutdown: Cycle['lastShutdown']
  readonly context: () => WitnessContext
  readonly wallMs: () => number
}

/** @throws RecoveryError `STATE` when the file is damaged. */
export async function openMemory({
  path,
  rosterVersion,
  now,
  lastShutdown,
  context,
  wallMs,
}: Opening): Promise<Memory> {
  const file = (await readState(path, WITNESS_FILE)) ?? emptyWitness(rosterVersion)
  let wards: Wards = new Map(file.wards.map((ward) => [ward.host, ward]))
  const cycle = cycleNow(file.cycle, { now, lastShutdown, wards })
  const clocks = (tpmClockMs: number, wall: number): Clocks => ({ clockMs: tpmClockMs + cycle.offsetMs, wallMs: wall })
  const revoked: ReadonlySet<HostId> = new Set(file.revoked)
  const durable = durableOf(wards, { rosterVersion: Math.max(rosterVersion, file.rosterVersion), revoked })
  const at = { clockMs: cycle.startedClockMs, wallMs: wallMs() }
  const started: WitnessEvent = { kind: 'started', at, lastShutdown: cycle.lastShutdown }
  let { state } = stepWitness({ ...newWitness(0), durable }, started, context())
  const take = inOrder()

  async function write(next: WitnessState['durable'], after: Wards): Promise<void> {
    const content = { rosterVersion: next.rosterVersion, revoked: [...next.revoked], wards: [...after.values()] }
    await writeState(path, WITNESS_FILE, { schema: WITNESS_SCHEMA, cycle, ...content })
  }

  await write(state.durable, wards)
  return {
    get state() {
      return state
    },
    get wards() {
      return wards
    },
    cycle,
    clocks,
    step: (event, change) =>
      take(async () => {
        const changed = change?.(wards) ?? wards
        const before = changed === wards ? state : { ...state, durable: durableOf(changed, state.durable) }
        const { state: next, actions } = stepWitness(before, event, context())
        if (changed !== wards || next.durable !== state.durable) {
          const after = withDurable(changed, next.durable)
          await write(next.durable, after)
          wards = after
        }
        state = next
        return actions
      }),
    pardon: (hosts) =>
      take(async () => {
        if (hosts.length === 0) return
        const rest = new Set([...state.durable.revoked].filter((host) => !hosts.includes(host)))
        const pardoned = { ...state.durable, revoked: rest }
        await write(pardoned, wards)
        state = { ...state, durable: pardoned }
      }),
  }
}

/**
 * Clocks of a new power cycle begin after all that was noted before, for a TPM that lost its power goes back to an earlier
 * time: else a heartbeat from before the break would look as if it had come after it.
 */
function cycleNow(
  known: Cycle | null,
  { now, lastShutdown, wards }: Pick<Opening, 'now' | 'lastShutdown'> & { readonly wards: Wards },
): Cycle {
  const { resetCount, restartCount } = now
  const clockMs = Number(now.clock)
  if (known !== null && known.resetCount === resetCount && known.restartCount === restartCount) return known
  const noted = [...wards.values()].map(({ heartbeat }: Ward) => heartbeat?.clockMs ?? 0)
  const lastMs = noted.reduce((most, each) => Math.max(most, each), known?.startedClockMs ?? 0)
  const offsetMs = Math.max(known?.offsetMs ?? 0, lastMs + 1 - clockMs, 0)
  return { resetCount, restartCount, startedClockMs: clockMs + offsetMs, offsetMs, lastShutdown }
}
