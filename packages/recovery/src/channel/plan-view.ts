/** What a channel needs to know of the plan, and what registers mean by it. Truth: spec/channel.md §3. */

import type { HostId, HostState } from '../types.ts'

export interface ViewedHost {
  /** `host:port`, where its witness answers. */
  readonly address: string
  /** TPM Name of its attestation key, hex; undefined until the host was provisioned. */
  readonly ak: string | undefined
  readonly state: HostState
}

/** A boot that operators approved: values of SHA-256 registers, each 32 bytes. */
export interface ApprovedBoot {
  readonly name: string
  readonly registers: ReadonlyMap<number, Uint8Array>
  /** Hosts that may boot so; undefined: all. */
  readonly hosts?: readonly HostId[] | undefined
}

/** The plan as a channel sees it. */
export interface PlanView {
  readonly fleet: string
  /** 32 bytes. */
  readonly digest: Uint8Array
  readonly version: number
  readonly hosts: ReadonlyMap<HostId, ViewedHost>
  readonly boots: readonly ApprovedBoot[]
  /** The register that is extended after a release, and its value before. */
  readonly cap: { readonly pcr: number; readonly value: Uint8Array }
}

/** The registers that the plan asks a peer for, ascending: those of all boots, and the cap register. */
export function registersOf({ boots, cap }: PlanView): readonly number[] {
  const pcrs = new Set(boots.flatMap(({ registers }) => [...registers.keys()]))
  return [...pcrs.add(cap.pcr)].toSorted((a, b) => a - b)
}

export interface JudgedRegisters {
  readonly boot: string | undefined
  readonly isCapped: boolean
}

/** @param registers - All of {@link registersOf}. */
export function judgeRegisters(
  view: PlanView,
  host: HostId,
  registers: ReadonlyMap<number, Uint8Array>,
): JudgedRegisters {
  const has = (pcr: number, value: Uint8Array): boolean => {
    const actual = registers.get(pcr)
    return actual !== undefined && Buffer.compare(actual, value) === 0
  }
  const boot = view.boots.find(
    ({ hosts, registers: approved }) =>
      approved.size > 0 &&
      (hosts === undefined || hosts.includes(host)) &&
      [...approved].every(([pcr, value]) => has(pcr, value)),
  )
  return { boot: boot?.name, isCapped: !has(view.cap.pcr, view.cap.value) }
}
