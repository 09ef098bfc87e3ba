/**
 * A blackout of a part of somebody's fleet, played on this machine: hosts of the same names and places, under the same
 * policy, with software TPMs and keys that are thrown away.
 */
import { setTimeout as sleepMs } from 'node:timers/promises'
import { RecoveryError } from '../error.ts'
import type { HostReport } from '../agent/index.ts'
import type { HostId, Plan } from '../types.ts'
import { auditLab } from './audits.ts'
import { Lab } from './lab.ts'
import { agentWords, LAB_POLICY, provisionFleet } from './provision.ts'
import { fleetView, isHealthy, reportOf } from './reports.ts'
import type { DrillResult, DrillSettings } from './story.ts'

export interface BlackoutSettings extends Omit<DrillSettings, 'hosts' | 'services'> {
  readonly plan: Plan
  /** A zone, room, rack, PDU or host of the plan. */
  readonly name: string
}

/** Each is an agent and a TPM of its own, on one machine. */
const HOSTS_MAX = 48
const RELEASE_MS = 120_000
/** How long the dark lasts: what goes on meanwhile is looked at then. */
const DARK_MS = 6000

/** @throws RecoveryError `SCENARIO` for a plan that has no such place, or too many hosts; the signal's reason, when everything is off. */
export async function runBlackout(settings: BlackoutSettings): Promise<DrillResult> {
  const { folder, command, plan, name, signal } = settings
  const hosts = plan.roster.hosts.filter(({ state }) => state === 'active')
  if (hosts.length > HOSTS_MAX)
    throw new RecoveryError('SCENARIO', {
      message: `the plan has ${hosts.length} hosts, and this machine plays ${HOSTS_MAX} at most`,
      hint: 'predict it with --dry-run, or drill a plan of a part of them',
    })
  const isNamed = ({ id, domain }: (typeof hosts)[number]): boolean => [id, ...Object.values(domain)].includes(name)
  if (plan.mode !== 'quorum' || !hosts.some(isNamed))
    throw new RecoveryError('SCENARIO', {
      message: plan.mode === 'quorum' ? `the plan has no ${name}` : `the plan of ${plan.fleet} is tpm-only`,
      hint: 'name a zone, room, rack, PDU or host of a plan in mode quorum',
    })
  const lab = await Lab.create({
    ...{ folder, command, shape: hosts.map(({ id, domain }) => ({ id, domain })) },
    agentWords: ['--heartbeat', '5s', '--observe', '2s'],
  })
  try {
    const dark = lab.in(name)
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    )
    signal.throwIfAborted()
    return await Promise.race([play(lab, dark, settings), aborted])
  } finally {
    await lab[Symbol.asyncDispose]()
  }
}

async function play(lab: Lab, dark: readonly HostId[], settings: BlackoutSettings): Promise<DrillResult> {
  const { plan, name, tell } = settings
  const startedMs = performance.now()
  const checks: { what: string; holds: boolean }[] = []
  const releasedMs: Record<HostId, number> = {}
  let chapters = 0
  const chapter = (title: string): void => tell({ kind: 'chapter', number: (chapters += 1), title })
  const say = (text: string): void => tell({ kind: 'told', text })
  const check = (what: string, holds: boolean): void => {
    checks.push({ what, holds })
    tell({ kind: 'checked', what, holds })
  }
  const all = (ids: readonly HostId[], holds: (report: HostReport) => boolean) => async (): Promise<boolean> => {
    const reports = await Promise.all(ids.map((id) => reportOf(lab, id).catch(() => undefined)))
    return reports.every((report) => report !== undefined && holds(report))
  }
  const others = lab.ids.filter((id) => !dark.includes(id))

  chapter(`The ${lab.ids.length} hosts of ${plan.fleet} on this machine, with keys that are thrown away`)
  // One machine has no distances and is slower than a network.
  const roundTripMarginMs = Math.max(LAB_POLICY.roundTripMarginMs, plan.policy.roundTripMarginMs)
  const fleet = await provisionFleet(lab, { image: false, policy: { ...plan.policy, roundTripMarginMs }, say })
  await lab.until(
    'every host is healthy',
    all(lab.ids, (report) => isHealthy(report)),
  )
  check('every host has its secret', await all(lab.ids, ({ isReleased }) => isReleased)())

  chapter(`${name} loses its power: ${dark.join(', ')}`)
  await lab.powerCut(dark)
  const darkMs = Date.now()
  await sleepMs(DARK_MS)
  if (others.length > 0) {
    tell({ kind: 'board', view: await fleetView(lab, others[0]) })
    check('the others go on', await all(others, ({ isReleased }) => isReleased)())
    const beating = await Promise.all(others.map((id) => all([id], (report) => isHealthy(report, darkMs))()))
    const without = others.filter((_, i) => !beating[i])
    // What a lease bears: not a failure while it lasts.
    if (without.length > 0) say(`too few witnesses are left for heartbeats of ${without.join(', ')}: their leases run`)
  }

  chapter('Power comes back')
  const poweredMs = performance.now()
  await lab.powerOn(dark, { words: agentWords(fleet) })
  await Promise.all(
    dark.map(async (id) => {
      const isBack = all([id], ({ isReleased }) => isReleased)
      const came = await lab.until(`${id} is released`, isBack, RELEASE_MS).then(
        () => true,
        () => false,
      )
      if (came) releasedMs[id] = performance.now() - poweredMs
    }),
  )
  tell({ kind: 'board', view: await fleetView(lab, dark[0]) })
  const missing = dark.filter((id) => releasedMs[id] === undefined)
  for (const id of missing) {
    const { state, change } = await reportOf(lab, id)
    say(`${id}: ${state}; what would release it: ${change.join('; ')}`)
  }
  const slowest = Math.max(0, ...Object.values(releasedMs))
  say(`from power to secret: ${(slowest / 1000).toFixed(1)} s at most`)
  check(`all ${dark.length} hosts of ${name} came back by themselves`, missing.length === 0)

  await lab.shutDown(lab.ids)
  const { problems } = await auditLab(lab, lab.ids, [fleet.signed.plan])
  check('the logs are whole, hang together, and were countersigned', problems.length === 0)
  return { hosts: lab.ids.length, checks, releasedMs, elapsedMs: performance.now() - startedMs }
}
