/** How a host stands: for people at its socket, and for other hosts. Format: spec/agent.md §4.2. */

import { hex } from '@reprise/core'
import type { HostPhase, HostStatus, ServiceStatus } from '../channel/messages.ts'
import { STATUS_ALARMS_MAX, STATUS_MISSING_MAX, STATUS_SERVICES_MAX, toLine } from '../channel/message-codec.ts'
import { type Shutdown, shutdownOf, statusOf, type PeerStatus } from '../protocol/facts.ts'
import { describeRefusal } from '../protocol/gate.ts'
import type { AskingState } from '../protocol/asking.ts'
import type { Verdict } from '../protocol/verdict.ts'
import type { FaultDomain, HostId, PriorShutdown } from '../types.ts'
import type { FleetView } from './fleet-view.ts'
import type { Phase } from './own/life.ts'
import type { Beat } from './own/heartbeats.ts'
import type { Judgement } from './own/roots.ts'

export interface WitnessReport extends FaultDomain {
  readonly host: HostId
  /** Null before the first look. */
  readonly status: PeerStatus | null
  readonly share: 'idle' | 'asked' | 'refused' | 'given'
  readonly refusals: readonly { readonly rule: string; readonly fact: string; readonly change: string }[]
}

export interface Alarm {
  readonly wallMs: number
  readonly text: string
}

export interface HostReport {
  readonly schema: 'reprise/recovery-host-report/v1'
  readonly host: HostId
  readonly fleet: string
  readonly state: HostPhase
  readonly planVersion: number
  /** Of the current generation; 0 without one. */
  readonly epoch: number
  /** Milliseconds since this agent started. */
  readonly uptimeMs: number
  readonly isProvisioned: boolean
  readonly isReleased: boolean
  /** The rule by which the own TPM refuses, or why the host is broken. */
  readonly refusedBy: string | null
  readonly verdict: Verdict | null
  readonly shares: { readonly held: number; readonly needed: number }
  readonly witnesses: readonly WitnessReport[]
  /** Of the release of this boot; null before it, and where nobody had to judge. */
  readonly judgement: Judgement | null
  /** What would release it. */
  readonly change: readonly string[]
  /** How it went down before this boot, and by which facts: spec/release.md §12. */
  readonly shutdown: Shutdown
  readonly prior: PriorShutdown
  readonly lastHeartbeatWallMs: number | null
  /** How many witnesses signed it. */
  readonly heartbeatWitnesses: number
  readonly wards: number
  readonly services: readonly ServiceStatus[]
  readonly alarms: readonly Alarm[]
  readonly audit: { readonly length: number; readonly head: string }
}

export interface Reported {
  readonly fleet: FleetView
  readonly phase: Phase
  readonly asking: AskingState | undefined
  readonly lastBeat: Beat | undefined
  readonly prior: PriorShutdown
  readonly judgement: Judgement | null
  readonly epoch: number
  readonly uptimeMs: number
  readonly wards: number
  readonly services: readonly ServiceStatus[]
  readonly isLoading: boolean
  /** Why the image was not loaded. */
  readonly failure: string | undefined
  readonly alarms: readonly Alarm[]
  readonly audit: { readonly length: number; readonly head: Uint8Array }
}

export function hostReport(of: Reported): HostReport {
  const { fleet, phase, asking, lastBeat, audit } = of
  const { plan, own } = fleet
  const isAsking = phase.kind === 'asking' && asking !== undefined
  const witnesses = isAsking ? witnessReports(fleet, asking) : []
  return {
    schema: 'reprise/recovery-host-report/v1',
    host: own.id,
    fleet: plan.fleet,
    state: stateOf(of),
    planVersion: plan.roster.version,
    epoch: of.epoch,
    uptimeMs: of.uptimeMs,
    isProvisioned: phase.kind !== 'unprovisioned',
    isReleased: phase.kind === 'released',
    refusedBy: phase.kind === 'refused' ? phase.rule : phase.kind === 'broken' ? phase.why : (of.failure ?? null),
    verdict: (isAsking ? asking.verdict : undefined) ?? null,
    shares: {
      held: witnesses.filter(({ share }) => share === 'given').length,
      needed: plan.mode === 'quorum' ? plan.policy.threshold : 0,
    },
    witnesses,
    change: changeOf(of, witnesses),
    judgement: phase.kind === 'released' ? of.judgement : null,
    shutdown: shutdownOf(of.prior),
    prior: of.prior,
    lastHeartbeatWallMs: lastBeat?.wallMs ?? null,
    heartbeatWitnesses: lastBeat?.signed.length ?? 0,
    wards: of.wards,
    services: of.services,
    alarms: of.alarms,
    audit: { length: audit.length, head: hex(audit.head) },
  }
}

function stateOf({ phase, asking, isLoading, services, failure }: Reported): HostPhase {
  switch (phase.kind) {
    case 'unprovisioned':
      return 'starting'
    case 'refused':
    case 'broken':
      return phase.kind
    case 'released':
      if (failure !== undefined || services.some(({ state }) => state === 'failed')) return 'broken'
      return isLoading ? 'loading' : 'serving'
    case 'asking': {
      const kind = asking?.phase.kind ?? 'starting'
      return kind === 'released' ? 'asking' : kind
    }
  }
}

function witnessReports({ own, hostNamed }: FleetView, asking: AskingState): readonly WitnessReport[] {
  return own.peers.slice(0, own.witnesses).map((host, i) => {
    const domain = hostNamed(host)?.domain ?? { zone: '', room: '', rack: '', pdu: '' }
    const observation = asking.observations.at(i)
    const exchange = asking.exchanges.at(i) ?? { kind: 'idle' }
    const refusals =
      exchange.kind === 'refused'
        ? exchange.refusals.map((refusal) => ({ rule: refusal.rule, ...describeRefusal(refusal) }))
        : []
    const status = observation === undefined ? null : statusOf(observation, undefined)
    return { host, ...domain, status, share: exchange.kind, refusals }
  })
}

/** By the own TPM's rule: spec/release.md §3.5. */
const TPM_CHANGES: Readonly<Record<string, string>> = {
  cap: 'the secret was out in this boot already: switch the host off and on',
  boot: 'boot what the plan approves, or have this boot approved and the host released by operators',
  resets: 'the reset budget is spent: have the operators release it',
  restarts: 'switch it off and on: a restart after Shutdown(STATE) is not accepted',
  lease: 'its lease index is gone or holds another lease: have the operators release it',
  policy: 'its blob is of another generation: bring the newest generations.json back, or have the operators release it',
}

function changeOf({ phase, asking, fleet }: Reported, witnesses: readonly WitnessReport[]): readonly string[] {
  switch (phase.kind) {
    case 'unprovisioned':
      return ['provision it: reprise recovery provision --state DIR --plan SIGNED']
    case 'refused':
      return [TPM_CHANGES[phase.rule] ?? `its TPM refuses by ${phase.rule}: have the operators release it`]
    case 'broken':
      return ['it tries again by itself; its log has the reason: a full disk, a TPM that does not answer']
    case 'released':
      return []
    case 'asking': {
      const changes = new Set(witnesses.flatMap(({ refusals }) => refusals.map(({ change }) => change)))
      if (asking?.phase.kind === 'refused')
        for (const refusal of asking.phase.refusals) changes.add(describeRefusal(refusal).change)
      if (asking?.verdict?.action === 'hold')
        changes.add('it looks cut off: mend the network; it tries again by itself')
      if (asking?.verdict?.action === 'lock')
        changes.add('it looks stolen: it is judged again as peers return; else operators look at it and release it')
      const answering = witnesses.filter(
        ({ status }) => status !== null && !['unattested', 'unreachable'].includes(status),
      )
      const { threshold } = fleet.plan.policy
      if (answering.length < threshold)
        changes.add(`${threshold} of its ${witnesses.length} witnesses must answer; ${answering.length} do`)
      return [...changes]
    }
  }
}

/** The same for other hosts: spec/channel.md §5.3. */
export function hostStatus(report: HostReport, head: Uint8Array): HostStatus {
  const missing = report.witnesses
    .filter(({ share }) => share !== 'given')
    .map(({ host, status, refusals }) => ({
      witness: host,
      why: toLine(refusals[0]?.rule ?? status ?? 'not asked', 64),
    }))
  const rank = (service: ServiceStatus): number => (service.state === 'ready' ? 1 : 0)
  return {
    host: report.host,
    planVersion: report.planVersion,
    state: report.state,
    verdict: report.verdict?.action,
    sharesHeld: report.shares.held,
    sharesNeeded: report.shares.needed,
    missing: missing.slice(0, STATUS_MISSING_MAX),
    services: report.services.toSorted((a, b) => rank(a) - rank(b)).slice(0, STATUS_SERVICES_MAX),
    epoch: report.epoch,
    uptimeMs: report.uptimeMs,
    auditLength: report.audit.length,
    auditHead: head,
    alarms: report.alarms.slice(0, STATUS_ALARMS_MAX).map(({ wallMs, text }) => ({ wallMs, text: toLine(text, 200) })),
  }
}
