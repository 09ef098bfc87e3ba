/** Whether a host takes what another one delivers, from what it knows: spec/agent.md §11. */
import type { HostId } from '../types.ts'

/** What operators permitted. Their signatures were checked. */
export interface DeliveryPermit {
  readonly host: HostId
  readonly by: HostId
  readonly madeMs: number
  readonly untilMs: number
  /** By which two of them are one, hex. */
  readonly digest: string
}

/** The host that it is for. */
export interface Taker {
  readonly host: HostId
  /** `waiting`: it has a secret that it was not released with. */
  readonly state: 'unprovisioned' | 'waiting' | 'released'
  /** Its own boot is one that the plan approves for it. */
  readonly isMeasurementApproved: boolean
  /** Of the newest delivery that it has the contents of. */
  readonly taken: { readonly digest: string; readonly madeMs: number } | undefined
  readonly wallMs: number
}

export type DeliveryWord =
  | { readonly kind: 'take' }
  /** It is this host's already. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refuse'; readonly code: 'NOT_FOR_YOU' | 'NOT_NOW' | 'PROOF' | 'STATEMENT'; readonly why: string }

/** @param from - Who says it; that it attested itself in an approved boot is the caller's to see. */
export function judgeDelivery(permit: DeliveryPermit, from: HostId, taker: Taker): DeliveryWord {
  const refuse = (code: (DeliveryWord & { kind: 'refuse' })['code'], why: string): DeliveryWord => ({
    ...{ kind: 'refuse', code, why },
  })
  const { host, by, madeMs, untilMs, digest } = permit
  const { taken, state } = taker
  if (host !== taker.host) return refuse('NOT_FOR_YOU', `it is for ${host}, and this is ${taker.host}`)
  if (by !== from) return refuse('NOT_FOR_YOU', `operators permit it to ${by}, and this came from ${from}`)
  const isTaken = taken?.digest === digest
  if (isTaken && state === 'released') return { kind: 'known' }
  if (!isTaken && taken !== undefined && madeMs <= taken.madeMs)
    return refuse('STATEMENT', 'a delivery that was permitted later was taken already')
  // Written so that a time that is no number is refused.
  if (!(taker.wallMs <= untilMs)) return refuse('STATEMENT', 'the time of the permission is over')
  if (!taker.isMeasurementApproved) return refuse('PROOF', 'this host is in a boot that nobody approved for it')
  if (state === 'waiting') return refuse('NOT_NOW', 'this host has a secret and was not released with it')
  return { kind: 'take' }
}
