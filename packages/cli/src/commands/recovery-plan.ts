/** `reprise recovery plan`: is the plan one, who witnesses for whom, what may be gone, and what a thief must carry off. */
import { hex } from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import {
  placeWitnesses,
  planDigest,
  RecoveryError,
  survivalOf,
  type Placement,
  type Plan,
  type Survival,
} from '@reprise/recovery'
import { EXIT_YES } from '../exit.ts'
import { count } from '../print/format.ts'
import { readPlanFile } from '../recovery-file.ts'

interface Options {
  readonly host?: string
  readonly json?: boolean
}

export async function action(options: object, [path]: readonly string[]): Promise<number> {
  const { host, json = false } = options as Options
  const plan = await readPlanFile(path)
  const placement = placeWitnesses(plan)
  const survival = plan.mode === 'quorum' ? survivalOf(placement, plan.policy.threshold) : undefined
  const digest = hex(planDigest(plan, nodeCrypto.sha256))
  const witnesses = host === undefined ? undefined : witnessesOf(placement, host)
  const notes = notesOn(plan)
  if (json) {
    const { fleet, mode, roster, policy } = plan
    const domains = domainsOf(placement)
    const answer = {
      fleet,
      mode,
      version: roster.version,
      digest,
      ...domains,
      policy,
      services: plan.services.length,
      survival,
      witnesses,
      notes,
    }
    process.stdout.write(`${JSON.stringify({ schema: 'reprise/recovery-plan-result/v1', ...answer })}\n`)
  } else print({ plan, placement, survival, digest, witnesses, notes, host })
  return EXIT_YES
}

interface Shown {
  readonly plan: Plan
  readonly placement: Placement
  readonly survival: Survival | undefined
  readonly digest: string
  readonly witnesses: readonly Witness[] | undefined
  readonly notes: readonly string[]
  readonly host: string | undefined
}

type Witness = ReturnType<typeof witnessesOf>[number]

function witnessesOf({ hosts, witnesses }: Placement, name: string) {
  const at = hosts.findIndex(({ id }) => id === name)
  if (at < 0)
    throw new RecoveryError('USAGE', { message: `the plan has no active host ${name}`, hint: 'check the spelling' })
  return [...witnesses[at]].map((witness) => ({ host: hosts[witness].id, ...hosts[witness].domain }))
}

function domainsOf({ hosts }: Placement) {
  const distinct = (kind: 'zone' | 'room' | 'rack' | 'pdu'): number =>
    new Set(hosts.map(({ domain }) => domain[kind])).size
  return {
    hosts: hosts.length,
    zones: distinct('zone'),
    rooms: distinct('room'),
    racks: distinct('rack'),
    pdus: distinct('pdu'),
  }
}

/** What is allowed, and that an operator should know. */
function notesOn(plan: Plan): string[] {
  const { mode, breakGlass } = plan
  const notes: string[] = []
  if (mode === 'tpm-only')
    notes.push(
      'tpm-only: a host that is carried off with its TPM releases its own secret; only changed software, spent resets and an old lease are refused',
    )
  if (breakGlass.keys.length === 0)
    notes.push('no break-glass keys: a host that is refused for good cannot be released by anybody')
  else if (breakGlass.needed === 1) notes.push('one operator alone can release any host')
  const noEscrow = breakGlass.keys.filter(({ escrow }) => escrow === undefined).map(({ name }) => name)
  if (mode === 'quorum' && noEscrow.length > 0)
    notes.push(`no escrow key of ${noEscrow.join(', ')}: hosts cannot be provisioned with it`)
  const missing = missingOf(plan)
  if (missing.length > 0) notes.push(`not provisioned yet: ${missing.join(', ')}`)
  return notes
}

/** What a plan must have before hosts go by it. */
function missingOf({ roster, boots, approver, mode }: Plan): string[] {
  const active = roster.hosts.filter(({ state }) => state === 'active')
  const forAll = boots.some(({ hosts }) => hosts === undefined)
  const booting = new Set(boots.flatMap(({ hosts }) => hosts ?? []))
  const noKey = active.filter(({ ak }) => ak === undefined).length
  const noBoot = active.filter(({ id }) => !forAll && !booting.has(id)).length
  return [
    ...(noKey > 0 ? [`${count(noKey, 'host')} without an attestation key`] : []),
    ...(noBoot > 0 ? [`${count(noBoot, 'host')} without an approved boot`] : []),
    ...(mode === 'quorum' && approver === undefined ? ['no approver'] : []),
  ]
}

function print({ plan, placement, survival, digest, witnesses, notes, host }: Shown): void {
  const line = (text: string): void => void process.stdout.write(`${text}\n`)
  const { hosts, zones, rooms, racks, pdus } = domainsOf(placement)
  line(`${plan.fleet}   version ${plan.roster.version}   ${plan.mode}   ${digest.slice(0, 4)}…${digest.slice(-4)}`)
  line(
    `  ${count(hosts, 'host')} in ${count(racks, 'rack')}, ${count(pdus, 'PDU')}, ${count(rooms, 'room')}, ${count(zones, 'zone')}; ${count(plan.services.length, 'service')}`,
  )
  if (survival !== undefined) printSurvival(plan, survival, line)
  if (witnesses !== undefined) {
    line(`witnesses of ${host}`)
    for (const { host: id, zone, room, rack, pdu } of witnesses) line(`  ${id}   ${zone} / ${room} / ${rack}, ${pdu}`)
  }
  for (const text of notes) line(`note   ${text}`)
}

function printSurvival({ policy, longestOutageMs }: Plan, survival: Survival, line: (text: string) => void): void {
  const { witnesses, threshold, leaseMs, resetBudget } = policy
  const { alone, together, thefts, load, zoneAlone, roomAlone, hosts } = survival
  line(
    `  ${threshold} of ${witnesses} witnesses release a host; each keeps ${load.least === load.most ? load.most : `${load.least} to ${load.most}`} shares`,
  )
  line(
    `  a lease holds ${hours(leaseMs)}, an outage lasts at most ${hours(longestOutageMs)}, ${count(resetBudget, 'reset')} at most`,
  )
  line('may be gone for good, besides the own ones, and every host comes back')
  line(
    `  alone: any ${count(alone.zones, 'zone')}, any ${count(alone.rooms, 'room')}, any ${count(alone.racks, 'rack')}, any ${count(alone.hosts, 'witness', 'witnesses')}`,
  )
  if (together === undefined) line('  together: too many combinations to go through; they were not looked at')
  for (const { zones, rooms, racks } of together ?? [])
    if (zones > 0 && (rooms > 0 || racks > 0))
      line(
        `  together: ${[count(zones, 'zone'), ...(rooms > 0 ? [count(rooms, 'room')] : []), count(racks, 'rack')].join(' + ')}`,
      )
  line(
    `  cut off from all others: ${share(zoneAlone, hosts)} come back within their zone, ${share(roomAlone, hosts)} within their room`,
  )
  line('carried off together, with all their TPMs, they release a host (K shares among themselves)')
  for (const { kind, least, hosts: count_, example } of thefts)
    line(
      `  ${count(least, kind)} in the worst case, the host's own among them: true of ${share(count_, hosts)}, ${example} for one`,
    )
  line('  (counted exactly, over all hosts and all choices of what is gone)')
}

function share(part: number, all: number): string {
  if (part === 0) return 'no hosts'
  return part === all ? 'all hosts' : `${part} of ${all} hosts`
}

function hours(valueMs: number): string {
  return `${Number((valueMs / 3_600_000).toFixed(2))} h`
}
