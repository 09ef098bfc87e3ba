/** A fleet in the middle of an outage, as one of its hosts hears it: what tests of the board look at. */
import type { HostStatus, ServiceStatus } from '../channel/messages.ts'
import { evenPlan } from '../plan/sample.ts'
import type { HostId, Plan } from '../types.ts'
import { type Heard, type Sightings, sightingsOf } from './sightings.ts'

export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

export const SAMPLE_PLAN: Plan = {
  ...evenPlan(
    { zones: 2, roomsPerZone: 2, racksPerRoom: 1, hostsPerRack: 3, racksPerPdu: 1 },
    { witnesses: 4, threshold: 2, perPdu: 3, perRoom: 3 },
  ),
  fleet: 'lab',
  services: [
    { name: 'network', after: [], ready: { kind: 'started' }, credentials: [] },
    { name: 'database', after: ['network'], ready: { kind: 'notify', withinMs: 1000 }, credentials: [] },
    { name: 'site', after: ['database'], ready: { kind: 'notify', withinMs: 1000 }, credentials: [] },
  ],
}

export function statusOf(host: HostId, change: Partial<HostStatus> = {}): HostStatus {
  return {
    host,
    planVersion: 1,
    state: 'serving',
    verdict: undefined,
    sharesHeld: 0,
    sharesNeeded: 2,
    missing: [],
    services: servicesOf('ready', 'ready', 'ready'),
    epoch: 1,
    uptimeMs: 60_000,
    auditLength: 3,
    auditHead: new Uint8Array(32),
    alarms: [],
    ...change,
  }
}

/** The last one became ready half a minute ago. */
export function servicesOf(...states: readonly ServiceStatus['state'][]): readonly ServiceStatus[] {
  return SAMPLE_PLAN.services.map(({ name }, i) => ({ name, state: states[i], sinceWallMs: NOW_MS - 30_000 - i }))
}

/** Rack z0-m1-k0 is dark; z1-m1-k0-h0 is locked; others are on their way. */
export function sampleSightings(change: ReadonlyMap<HostId, Heard> = new Map()): Sightings {
  const status = (host: HostId, of: Partial<HostStatus> = {}): [HostId, Heard] => [
    host,
    { kind: 'status', status: statusOf(host, of) },
  ]
  const missing = [
    { witness: 'z0-m1-k0-h0', why: 'unreachable' },
    { witness: 'z0-m1-k0-h1', why: 'unreachable' },
    { witness: 'z1-m0-k0-h0', why: 'VERDICT' },
  ]
  const heard = new Map<HostId, Heard>([
    status('z0-m0-k0-h0'),
    status('z0-m0-k0-h1', { state: 'loading', services: servicesOf('ready', 'starting', 'waiting'), uptimeMs: 20_000 }),
    status('z0-m0-k0-h2', {
      state: 'asking',
      verdict: 'recover',
      sharesHeld: 1,
      missing,
      services: [],
      uptimeMs: 45_000,
    }),
    status('z1-m0-k0-h0', { alarms: [{ wallMs: NOW_MS - 1000, text: 'a <b>share</b> was wrong' }] }),
    status('z1-m0-k0-h1', { state: 'holding', verdict: 'hold', services: [], planVersion: 0 }),
    ['z1-m0-k0-h2', { kind: 'unattested', why: 'its key is not in the plan' }],
    status('z1-m1-k0-h0', { state: 'locked', verdict: 'lock', services: [] }),
    status('z1-m1-k0-h1', { services: servicesOf('ready', 'failed', 'waiting') }),
    ['z1-m1-k0-h2', { kind: 'unreachable', why: 'no answer' }],
    ...change,
  ])
  return sightingsOf(SAMPLE_PLAN, heard, { by: 'z0-m0-k0-h0', takenWallMs: NOW_MS })
}
