/** The approved boots of a plan, as a host and those who look at it need them. Rules: spec/recovery.md §2.8. */
import { fromHex } from '@reprise/core'
import type { HostId, Plan, PlanRegister } from '../types.ts'

/** A lease has at most so many alternatives: spec/release.md §3.2. */
export const BOOTS_PER_HOST_MAX = 8
/** Reset by anybody (PC Client Platform TPM Profile, PCR attributes): worth nothing in a policy. */
export const RESETTABLE_PCRS: readonly number[] = [16, 23]
/** Zeros, as firmware leaves it. */
export const CAP_DEFAULT: PlanRegister = { pcr: 14, value: '0'.repeat(64) }

/** Value of one register in the SHA-256 bank, 32 bytes. */
export interface RegisterValue {
  readonly pcr: number
  readonly value: Uint8Array
}

/** An approved boot of one host, as policies take it. */
export interface ApprovedBoot {
  readonly name: string
  /** Ascending. */
  readonly registers: readonly RegisterValue[]
}

export function registerValue({ pcr, value }: PlanRegister): RegisterValue {
  return { pcr, value: fromHex(value) }
}

/** In the plan's order; what a lease of the host says, and each of them an approval for its shares. */
export function approvedBoots(plan: Pick<Plan, 'boots'>, host: HostId): readonly ApprovedBoot[] {
  return plan.boots
    .filter(({ hosts }) => hosts === undefined || hosts.includes(host))
    .map(({ name, registers }) => ({ name, registers: registers.map(registerValue) }))
}
