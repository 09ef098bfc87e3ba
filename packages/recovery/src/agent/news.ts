/** Plans and statements of operators that come by hand or from other hosts, and what follows from them. Rules: spec/agent.md §1. */

import type { HostId } from '../types.ts'
import type { FleetView } from './fleet-view.ts'
import type { Ground } from './ground.ts'
import type { Plans } from './plans.ts'
import type { Witness } from './witness/witness.ts'

export interface News {
  /** @param from - Null: by hand. @returns The version that counts now. */
  readonly takePlan: (signed: Uint8Array, from: HostId | null) => Promise<number>
  readonly hear: (signed: Uint8Array, from: HostId | null) => Promise<void>
}

export interface NewsParts {
  readonly ground: Ground
  readonly plans: Plans
  readonly witness: Witness
  readonly onPlan: (fleet: FleetView) => Promise<void>
  readonly onChange: () => void
}

export function makeNews({ ground, plans, witness, onPlan, onChange }: NewsParts): News {
  return {
    async takePlan(signed, from) {
      const before = plans.fleet
      const taken = await plans.take(signed)
      if (taken !== undefined) {
        const { version } = taken.plan.roster
        await ground.audit({ kind: 'plan', version, digest: taken.digest, from })
        ground.report('plan taken', { version, from })
        await witness.adopt(taken, before)
        await onPlan(taken)
        onChange()
      }
      return plans.fleet.plan.roster.version
    },
    async hear(signed, from) {
      const heard = await plans.hear(signed)
      if (heard === undefined) return
      const { statement, digest } = heard
      const { kind, host } = statement
      await ground.audit({ kind: 'statement', statement: kind, host, digest, from })
      ground.report('statement heard', { kind, about: host, from })
      await witness.hear(statement)
      onChange()
    },
  }
}
