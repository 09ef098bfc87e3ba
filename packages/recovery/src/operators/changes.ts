/** What is another in a plan than in the one before, for people who are about to sign it. */
import { canonical } from '@reprise/core'
import type { Plan, PlanBoot, RosterHost } from '../types.ts'

/** One change; lines are in words, and few: of hosts that change alike some are named. */
export interface PlanChange {
  readonly kind: 'added' | 'removed' | 'changed'
  readonly text: string
}

const NAMES_SHOWN = 5

/** @param before - Undefined: everything is new, and said by counts. */
export function planChanges(before: Plan | undefined, after: Plan): PlanChange[] {
  if (before === undefined) return firstPlan(after)
  return [
    ...hostChanges(before, after),
    ...bootChanges(before.boots, after.boots, after.roster.hosts),
    ...listChanges('service', before.services, after.services),
    ...listChanges('operator', before.breakGlass.keys, after.breakGlass.keys),
    ...valueChanges('operators needed', before.breakGlass.needed, after.breakGlass.needed),
    ...memberChanges('policy', before.policy, after.policy),
    ...valueChanges('mode', before.mode, after.mode),
    ...valueChanges('longest outage, ms', before.longestOutageMs, after.longestOutageMs),
    ...valueChanges('approver', before.approver, after.approver),
    ...valueChanges('image signers', before.imageSigners, after.imageSigners),
    ...valueChanges('cap register', before.cap, after.cap),
  ]
}

function firstPlan({ roster, boots, services, breakGlass, approver, imageSigners }: Plan): PlanChange[] {
  const provisioned = roster.hosts.filter(({ ak }) => ak !== undefined).length
  const added = (text: string): PlanChange => ({ kind: 'added', text })
  return [
    added(`${roster.hosts.length} hosts, ${provisioned} of them with an attestation key`),
    ...boots.map((boot) => added(`boot ${boot.name}, ${bootWords(boot, roster.hosts)}`)),
    added(`${services.length} services, ${imageSigners.length} image signers`),
    added(`operators ${breakGlass.keys.map(({ name }) => name).join(', ')}; ${breakGlass.needed} of them sign`),
    added(approver === undefined ? 'no approver' : `the approver ${approver.slice(0, 10)}…`),
  ]
}

function hostChanges(before: Plan, after: Plan): PlanChange[] {
  const old = new Map(before.roster.hosts.map((host) => [host.id, host]))
  const now = new Set(after.roster.hosts.map(({ id }) => id))
  /** Hosts by what happened to them. */
  const groups = new Map<string, { readonly kind: PlanChange['kind']; readonly hosts: string[] }>()
  const note = (kind: PlanChange['kind'], what: string, host: string): void => {
    const group = groups.get(what) ?? { kind, hosts: [] }
    group.hosts.push(host)
    groups.set(what, group)
  }
  for (const host of after.roster.hosts) {
    const was = old.get(host.id)
    if (was === undefined) note('added', 'is new', host.id)
    else for (const what of hostWords(was, host)) note('changed', what, host.id)
  }
  for (const { id } of before.roster.hosts) if (!now.has(id)) note('removed', 'is gone', id)
  return [...groups].map(([what, { kind, hosts }]) => ({ kind, text: `${named(hosts)} ${what}` }))
}

function hostWords(was: RosterHost, now: RosterHost): string[] {
  const words: string[] = []
  if (was.ak !== now.ak)
    words.push(was.ak === undefined ? 'has an attestation key now' : 'HAS ANOTHER ATTESTATION KEY than before')
  if (was.state !== now.state) words.push(`is ${now.state} now, and was ${was.state}`)
  if (was.approvals !== now.approvals)
    words.push(was.approvals === undefined ? 'has a number of approvals now' : 'takes back the approvals made so far')
  if (was.address !== now.address) words.push('has another address')
  if (canonical({ ...was.domain }) !== canonical({ ...now.domain })) words.push('stands elsewhere')
  if (was.hardware !== now.hardware) words.push('is other hardware')
  return words
}

function bootWords({ registers, hosts }: PlanBoot, all: readonly RosterHost[]): string {
  const whose = hosts === undefined ? `all ${all.length} hosts` : named(hosts)
  return `registers ${registers.map(({ pcr }) => pcr).join(', ')}, for ${whose}`
}

function bootChanges(
  before: readonly PlanBoot[],
  after: readonly PlanBoot[],
  hosts: readonly RosterHost[],
): PlanChange[] {
  const same = (a: PlanBoot, b: PlanBoot): boolean =>
    canonical({ ...a, hosts: a.hosts ?? null }) === canonical({ ...b, hosts: b.hosts ?? null })
  return [
    ...after.flatMap((boot): PlanChange[] => {
      const was = before.find(({ name }) => name === boot.name)
      if (was !== undefined && same(was, boot)) return []
      return [{ kind: was === undefined ? 'added' : 'changed', text: `boot ${boot.name}, ${bootWords(boot, hosts)}` }]
    }),
    ...before
      .filter(({ name }) => !after.some((boot) => boot.name === name))
      .map(({ name }): PlanChange => ({ kind: 'removed', text: `boot ${name}` })),
  ]
}

function listChanges(
  noun: string,
  before: readonly { readonly name: string }[],
  after: readonly { readonly name: string }[],
): PlanChange[] {
  const text = (value: object): string => JSON.stringify(value)
  return [
    ...after.flatMap((item): PlanChange[] => {
      const was = before.find(({ name }) => name === item.name)
      if (was !== undefined && text(was) === text(item)) return []
      return [{ kind: was === undefined ? 'added' : 'changed', text: `${noun} ${item.name}` }]
    }),
    ...before
      .filter(({ name }) => !after.some((item) => item.name === name))
      .map(({ name }): PlanChange => ({ kind: 'removed', text: `${noun} ${name}` })),
  ]
}

function memberChanges<T extends object>(noun: string, before: T, after: T): PlanChange[] {
  return Object.entries(after).flatMap(([name, value]) =>
    valueChanges(`${noun} ${name}`, (before as Record<string, unknown>)[name], value),
  )
}

function valueChanges(noun: string, before: unknown, after: unknown): PlanChange[] {
  const shown = (value: unknown): string => {
    const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none')
    return text.length > 40 ? `${text.slice(0, 37)}…` : text
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  return [{ kind: 'changed', text: `${noun}: ${shown(after)}, was ${shown(before)}` }]
}

function named(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).join(', ')
  return names.length > NAMES_SHOWN ? `${shown} and ${names.length - NAMES_SHOWN} more` : shown
}
