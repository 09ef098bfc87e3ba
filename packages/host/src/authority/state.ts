/** What the log of an authority comes to: requests, certificates, allowed endorsement keys, revocation lists. */

import { hex } from '@reprise/core'
import type { EnrolState } from '../enrolment/messages.ts'
import { DEFAULT_POLICY, type Entry, type Event, type Policy, type Requested, type RevocationReason } from './events.ts'

/** A request and what became of it. */
export interface RequestState extends Omit<Requested, 'kind'> {
  readonly askedAt: string
  state: EnrolState | 'failed' | 'approved'
  /** Why it failed or was rejected. */
  reason: string
  /** What it is to be called; what it asked for until it is approved. */
  approvedName: string
  by: string
  serial: string | null
}

export interface IssuedCertificate {
  readonly serial: string
  readonly request: string
  readonly name: string
  readonly akName: string
  readonly ekName: string
  readonly tier: string
  readonly der: Uint8Array
  readonly issuedAt: string
  readonly notAfter: string
  revoked: { readonly at: string; readonly reason: RevocationReason } | null
}

export interface SignedList {
  readonly number: number
  readonly nextUpdate: string
  readonly sha256: Uint8Array
}

export class AuthorityState {
  /** X.509 DER; null before the first line. */
  root: Uint8Array | null = null
  policy: Policy = DEFAULT_POLICY
  readonly requests = new Map<string, RequestState>()
  /** By serial number, in the order of issuing. */
  readonly certificates = new Map<string, IssuedCertificate>()
  /** Serial numbers by AK Name, EK Name and name of the host. */
  readonly #byKey = new Map<string, string[]>()
  /** Names that hosts must have, by EK Name or by SHA-256 of the EK certificate; null for any. */
  readonly allowed = new Map<string, string | null>()
  list: SignedList | null = null
  /** Certificates were revoked since the list was signed. */
  listIsOld = true
  /** Ids of the requests that something is still to become of. */
  readonly #unsettled = { challenged: new Set<string>(), waiting: new Set<string>(), approved: new Set<string>() }

  /** The requests in a state that does not last, oldest first. */
  unsettled(state: 'challenged' | 'waiting' | 'approved'): RequestState[] {
    return [...this.#unsettled[state]].flatMap((id) => this.requests.get(id) ?? [])
  }

  /** Challenges that nobody has answered. */
  get openChallenges(): number {
    return this.#unsettled.challenged.size
  }

  /** Certificates for that AK Name, EK Name or host, oldest first. */
  of(kind: 'ak' | 'ek' | 'name', key: string): readonly IssuedCertificate[] {
    return (this.#byKey.get(`${kind} ${key}`) ?? []).map((serial) => this.#certificate(serial))
  }

  apply({ at, event }: Entry): void {
    switch (event.kind) {
      case 'founded':
        if (this.root !== null) throw new Error('the authority was founded before')
        this.root = event.root
        return
      case 'policy': {
        const { kind: _kind, ...policy } = event
        this.policy = policy
        return
      }
      case 'requested':
        this.#requested(event, at)
        return
      case 'proved':
        this.#move(event.request, ['challenged'], { state: 'waiting' })
        return
      case 'failed':
        this.#move(event.request, ['challenged'], { state: 'failed', reason: `${event.code}: ${event.why}` })
        return
      case 'approved':
        this.#move(event.request, ['waiting'], { state: 'approved', approvedName: event.name, by: event.by })
        return
      case 'rejected': {
        const { reason, by } = event
        this.#move(event.request, ['challenged', 'waiting', 'approved'], { state: 'rejected', reason, by })
        return
      }
      case 'issued':
        this.#issued(event, at)
        return
      case 'revoked':
        this.#revoked(event, at)
        return
      case 'allowed':
        this.allowed.set(hex(event.ek), event.name)
        return
      case 'disallowed':
        this.allowed.delete(hex(event.ek))
        return
      case 'listed':
        this.list = { number: event.number, nextUpdate: event.nextUpdate, sha256: event.sha256 }
        this.listIsOld = false
    }
  }

  #requested({ kind: _kind, ...request }: Requested, askedAt: string): void {
    const id = hex(request.request)
    const fresh = { state: 'challenged', reason: '', approvedName: request.name, by: '', serial: null } as const
    this.requests.set(id, { ...request, askedAt, ...fresh })
    this.#unsettled.challenged.add(id)
  }

  #issued(event: Event & { readonly kind: 'issued' }, at: string): void {
    const serial = hex(event.serial)
    if (this.certificates.has(serial)) throw new Error(`the certificate ${serial} was issued before`)
    const request = this.#move(event.request, ['approved'], { state: 'issued', serial })
    const names = { ak: hex(request.akName), ek: hex(request.ekName), name: request.approvedName }
    this.certificates.set(serial, {
      ...{ serial, request: hex(event.request), name: names.name, akName: names.ak, ekName: names.ek },
      ...{ tier: request.tier, der: event.certificate, issuedAt: at, notAfter: event.notAfter, revoked: null },
    })
    for (const [kind, key] of Object.entries(names)) {
      const serials = this.#byKey.get(`${kind} ${key}`)
      if (serials === undefined) this.#byKey.set(`${kind} ${key}`, [serial])
      else serials.push(serial)
    }
  }

  #revoked({ serial, reason }: Event & { readonly kind: 'revoked' }, at: string): void {
    const certificate = this.#certificate(hex(serial))
    if (certificate.revoked !== null) throw new Error(`the certificate ${hex(serial)} was revoked before`)
    certificate.revoked = { at, reason }
    this.listIsOld = true
  }

  #move(id: Uint8Array, from: readonly RequestState['state'][], to: Partial<RequestState>): RequestState {
    const request = this.requests.get(hex(id))
    if (request === undefined) throw new Error(`there is no request ${hex(id)}`)
    if (!from.includes(request.state)) throw new Error(`the request ${hex(id)} was ${request.state} at that time`)
    for (const ids of Object.values(this.#unsettled)) ids.delete(hex(id))
    if (to.state === 'waiting' || to.state === 'approved') this.#unsettled[to.state].add(hex(id))
    return Object.assign(request, to)
  }

  #certificate(serial: string): IssuedCertificate {
    const certificate = this.certificates.get(serial)
    if (certificate === undefined) throw new Error(`there is no certificate ${serial}`)
    return certificate
  }
}

/** Neither revoked nor past its end. */
export function isValid(certificate: IssuedCertificate, now: Date): boolean {
  return certificate.revoked === null && now < new Date(certificate.notAfter)
}
