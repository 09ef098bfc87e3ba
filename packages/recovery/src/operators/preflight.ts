/**
 * What registers a host will have after an update of its firmware or system: the event log of its present boot is replayed
 * with the digests of some components exchanged. Rules: spec/operators.md §7.
 */
import { equal, type EventLog, eventTypeName, hex, type LogEvent, replayEventLog, TPM_ALG } from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import { bytes, integer, list, object, oneOf, optional, text } from '@reprise/host/decode'
import { approvedBoots, type RegisterValue } from '../plan/boots.ts'
import { NAME } from '../plan/fields.ts'
import { PCR_MAX } from '../plan/forms.ts'
import type { HostId, Plan, PlanBoot, PlanRegister } from '../types.ts'
import { decodeJson, unfit } from './boots-file.ts'
import { bootName } from './merge.ts'

const COMPONENTS_MAX = 4096
const EVENTS_MAX = 65_536

/** A component of an update: which event of the log measures it, and its new digest in the SHA-256 bank. */
export interface Component {
  /** What it is, for people. */
  readonly name?: string | undefined
  /** By the digest that it has now. */
  readonly replaces?: Uint8Array | undefined
  /** By its place: register, type of the event (`EV_…`), and the how-manieth of those, from 0. */
  readonly pcr?: number | undefined
  readonly type?: string | undefined
  readonly nth?: number | undefined
  readonly with: Uint8Array
}

export interface Update {
  readonly name: string
  readonly components: readonly Component[]
}

const SCHEMA = 'reprise/firmware-components/v1'
const component = object<Component>({
  name: optional(text(200)),
  replaces: optional(bytes(32)),
  pcr: optional(integer(0, PCR_MAX)),
  type: optional(text(64)),
  nth: optional(integer(0, EVENTS_MAX)),
  with: bytes(32),
})
const file = object<{ schema: typeof SCHEMA } & Update>({
  schema: oneOf(SCHEMA),
  name: text(200),
  components: list(component, COMPONENTS_MAX),
})

/** @param shown - Name of the file in messages. @throws {@link RecoveryError} `COMPONENTS`. */
export function readUpdate(content: Uint8Array, shown: string): Update {
  const { schema: _, ...update } = decodeJson(content, shown, file)
  for (const [i, { replaces, pcr, type }] of update.components.entries())
    if ((replaces === undefined) === (type === undefined) || (type !== undefined && pcr === undefined))
      throw unfit(
        `${shown}: components[${i}] names no event`,
        'write "replaces": its digest now, or "pcr" and "type" (and "nth", from 0), and "with": its new digest',
      )
  if (update.components.length === 0) throw unfit(`${shown} names no components`, 'an update changes one at least')
  return update
}

export interface Exchange {
  readonly component: Component
  /** Events of the log whose digest was exchanged. */
  readonly events: readonly number[]
}

export interface Prediction {
  /** Registers that the log extends, ascending: as they are, and as they will be. */
  readonly present: readonly RegisterValue[]
  readonly predicted: readonly RegisterValue[]
  readonly exchanged: readonly Exchange[]
}

/** @throws {@link RecoveryError} `COMPONENTS` when the log has no SHA-256 bank, or a component is in none of its events. */
export function predictBoot(log: EventLog, update: Update): Prediction {
  const present = registersOf(log)
  const found = update.components.map((each) => ({ component: each, events: eventsOf(log, each) }))
  const digests = new Map<number, Uint8Array>()
  for (const { component: each, events } of found)
    for (const event of events) {
      if (digests.has(event))
        throw unfit(`event ${event} is exchanged by two components`, 'an event has one digest: take one of them out')
      digests.set(event, each.with)
    }
  const events = log.events.map((event): LogEvent => {
    const digest = digests.get(event.index)
    if (digest === undefined) return event
    return {
      ...event,
      digests: event.digests.map((each) => (each.alg === TPM_ALG.SHA256 ? { ...each, digest } : each)),
    }
  })
  return { present, predicted: registersOf({ ...log, events }), exchanged: found }
}

function registersOf(log: EventLog): readonly RegisterValue[] {
  const { banks } = replayEventLog(log, nodeHash)
  const bank = banks.find(({ bank: name }) => name === 'sha256')
  if (bank === undefined)
    throw unfit('the event log has no SHA-256 bank', 'take the log of a boot whose firmware measures into that bank')
  return [...bank.registers.values()].map(({ pcr, value }) => ({ pcr, value })).toSorted((a, b) => a.pcr - b.pcr)
}

const nodeHash: Parameters<typeof replayEventLog>[1] = (bank, data) =>
  bank === 'sha1' || bank === 'sha256' || bank === 'sha384' || bank === 'sha512'
    ? nodeCrypto.hash(bank, data)
    : undefined

function eventsOf(log: EventLog, { name, replaces, pcr, type, nth = 0 }: Component): readonly number[] {
  const inSha256 = (event: LogEvent): Uint8Array | undefined =>
    eventTypeName(event.type) === 'EV_NO_ACTION'
      ? undefined
      : event.digests.find(({ alg }) => alg === TPM_ALG.SHA256)?.digest
  const candidates = log.events.filter(
    (event) => inSha256(event) !== undefined && (pcr === undefined || event.pcr === pcr),
  )
  const matching =
    replaces === undefined
      ? candidates.filter((event) => eventTypeName(event.type) === type).slice(nth, nth + 1)
      : candidates.filter((event) => equal(inSha256(event) as Uint8Array, replaces))
  if (matching.length > 0) return matching.map(({ index }) => index)
  const what = replaces === undefined ? `${type} ${nth} in register ${pcr}` : `the digest ${hex(replaces)}`
  throw unfit(
    `${name ?? 'a component'}: the log has no event of ${what}`,
    'the log is of another machine, or the component was updated already: compare with tpm2_eventlog',
  )
}

/** What an update does to a host. */
export type Verdict =
  /** Its registers stay, or an approved boot has those that it will have. */
  | 'unseals'
  | 'refused'
  /** No boot of it has the registers of the log: it is another machine's, or the host was updated already. */
  | 'unknown'

export interface Preflight {
  readonly hosts: readonly { readonly host: HostId; readonly verdict: Verdict }[]
  /** For the plan: boots by which the refused ones would unseal. */
  readonly boots: readonly PlanBoot[]
}

/** Which hosts would not unseal after the update. Registers that the log does not extend are taken to stay. */
export function judgeUpdate(plan: Plan, { present, predicted }: Prediction, name: string): Preflight {
  const boots = new Map<string, { readonly registers: readonly PlanRegister[]; readonly hosts: HostId[] }>()
  const active = plan.roster.hosts.filter(({ state }) => state === 'active')
  const hosts = active.map(({ id: host }) => {
    const approved = approvedBoots(plan, host)
    const now = approved.find(({ registers }) => agrees(registers, present) && covers(registers, present))
    if (now === undefined) return { host, verdict: 'unknown' } as const
    const next = now.registers.map(({ pcr, value }) => ({ pcr, value: valueIn(predicted, pcr) ?? value }))
    const expected = [...next, ...predicted.filter(({ pcr }) => valueIn(next, pcr) === undefined)]
    if (approved.some(({ registers }) => registers.every(({ pcr, value }) => isAt(expected, pcr, value))))
      return { host, verdict: 'unseals' } as const
    const registers = next.map(({ pcr, value }) => ({ pcr, value: hex(value) }))
    const key = bootName(registers)
    const group = boots.get(key) ?? { registers, hosts: [] }
    group.hosts.push(host)
    boots.set(key, group)
    return { host, verdict: 'refused' } as const
  })
  const single = boots.size === 1 && NAME.form.test(name) ? name : undefined
  return { hosts, boots: [...boots].map(([key, boot]) => ({ name: single ?? key, ...boot })) }
}

function valueIn(registers: readonly RegisterValue[], pcr: number): Uint8Array | undefined {
  return registers.find((each) => each.pcr === pcr)?.value
}

function isAt(registers: readonly RegisterValue[], pcr: number, value: Uint8Array): boolean {
  const found = valueIn(registers, pcr)
  return found !== undefined && equal(found, value)
}

/** Where both say something, they say the same. */
function agrees(registers: readonly RegisterValue[], log: readonly RegisterValue[]): boolean {
  return registers.every(({ pcr, value }) => valueIn(log, pcr) === undefined || isAt(log, pcr, value))
}

function covers(registers: readonly RegisterValue[], log: readonly RegisterValue[]): boolean {
  return registers.some(({ pcr }) => valueIn(log, pcr) !== undefined)
}

/** Registers in which a prediction differs from the present. */
export function changedRegisters({ present, predicted }: Prediction): readonly number[] {
  return predicted.filter(({ pcr, value }) => !isAt(present, pcr, value)).map(({ pcr }) => pcr)
}
