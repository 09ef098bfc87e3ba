/**
 * What one host has heard of its fleet, as a document: the board is drawn from it and from nothing else. Truth:
 * spec/board.md.
 */
import { type Decode, integer, list, object, oneOf, toJson } from '@reprise/host/decode'
import { hostId, hostStatus, line, toLine } from '../channel/message-codec.ts'
import type { HostStatus } from '../channel/messages.ts'
import { RecoveryError } from '../error.ts'
import { WALL_MS_MAX } from '../plan/fields.ts'
import type { FaultDomain, HostId, Plan } from '../types.ts'

export const SIGHTINGS_BYTES_MAX = 64 << 20
const SCHEMA = 'reprise/recovery-sightings/v1'
const HOSTS_MAX = 100_000
const SERVICES_MAX = 1000
const WHY_BYTES_MAX = 300

/** What came of asking a host how it stands. */
export type Heard = { readonly kind: 'status'; readonly status: HostStatus } | Untold

export interface Untold {
  /** `unattested`: something answers at its address that is not that host, or cannot prove it. */
  readonly kind: 'unattested' | 'unreachable'
  readonly why: string
}

export interface Sighting {
  readonly host: HostId
  readonly domain: FaultDomain
  readonly heard: Heard
}

export interface Sightings {
  readonly fleet: string
  readonly planVersion: number
  /** Who asked. */
  readonly by: HostId
  /** When, by its wall clock. */
  readonly takenWallMs: number
  readonly services: readonly { readonly name: string; readonly after: readonly string[] }[]
  /** Active hosts, in the order of the plan. */
  readonly hosts: readonly Sighting[]
}

const domain = object<FaultDomain>({ zone: hostId, room: hostId, rack: hostId, pdu: hostId })
const spoken = object<Heard & { kind: 'status' }>({ kind: oneOf('status'), status: hostStatus })
const untold = object<Untold>({
  kind: oneOf('unattested', 'unreachable'),
  why: line(WHY_BYTES_MAX),
})
const heard: Decode<Heard> = (value, path) =>
  (value as { kind?: unknown } | null)?.kind === 'status' ? spoken(value, path) : untold(value, path)
const sightings = object<Sightings & { schema: typeof SCHEMA }>({
  schema: oneOf(SCHEMA),
  fleet: hostId,
  planVersion: integer(0),
  by: hostId,
  takenWallMs: integer(0, WALL_MS_MAX),
  services: list(
    object<Sightings['services'][number]>({ name: hostId, after: list(hostId, SERVICES_MAX) }),
    SERVICES_MAX,
  ),
  hosts: list(object<Sighting>({ host: hostId, domain, heard }), HOSTS_MAX),
})

/** @param heard - By host; a host that is not in it was not asked, and counts as one that did not answer. */
export function sightingsOf(
  { fleet, roster, services }: Pick<Plan, 'fleet' | 'roster' | 'services'>,
  heard: ReadonlyMap<HostId, Heard>,
  { by, takenWallMs }: Pick<Sightings, 'by' | 'takenWallMs'>,
): Sightings {
  return {
    fleet,
    planVersion: roster.version,
    by,
    takenWallMs,
    services: services.map(({ name, after }) => ({ name, after })),
    hosts: roster.hosts
      .filter(({ state }) => state === 'active')
      .map(({ id, domain }) => ({
        host: id,
        domain,
        heard: told(heard.get(id) ?? { kind: 'unreachable', why: 'not asked yet' }),
      })),
  }
}

/** Why somebody says nothing comes from systems and peers: one line of it is enough. */
function told(heard: Heard): Heard {
  return heard.kind === 'status' ? heard : { ...heard, why: toLine(heard.why, WHY_BYTES_MAX) }
}

export function sightingsJson(sightings: Sightings): string {
  return JSON.stringify(toJson({ schema: SCHEMA, ...sightings }))
}

/** @throws RecoveryError `SIGHTINGS` for anything else than such a document. */
export function parseSightings(json: string): Sightings {
  try {
    if (json.length > SIGHTINGS_BYTES_MAX) throw new Error(`it is longer than ${SIGHTINGS_BYTES_MAX} characters`)
    const { schema: _, ...rest } = sightings(JSON.parse(json), 'sightings')
    return rest
  } catch (error) {
    throw new RecoveryError('SIGHTINGS', {
      message: `what was answered is no state of a fleet (${error instanceof Error ? error.message : String(error)})`,
      hint: 'ask an agent of this version: reprise recovery witness',
      cause: error,
    })
  }
}
