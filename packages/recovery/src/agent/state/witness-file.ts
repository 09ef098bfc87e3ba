/** `witness.json`: what a host knows and keeps of others. Format: spec/agent.md §3.1. */

import { bytes, integer, list, nullable, object, oneOf } from '@reprise/host/decode'
import type { Heartbeat, WitnessState } from '../../protocol/witness.ts'
import type { HostId } from '../../types.ts'
import type { StateFile } from './folder.ts'
import { hostName } from './host-file.ts'

/** A share as it is kept, with the key by which its owner proves heartbeats. */
export interface KeptEpoch {
  readonly epoch: number
  readonly index: number
  readonly leaseKey: Uint8Array
  readonly private: Uint8Array
  readonly public: Uint8Array
}

/** What a ward's TPM said at its last heartbeat. */
export interface SeenClock {
  readonly clockMs: number
  readonly resetCount: number
  readonly restartCount: number
}

export interface Ward {
  readonly host: HostId
  /** Name of the attestation key that all this belongs to, hex. */
  readonly ak: string
  readonly heartbeat: Heartbeat | null
  readonly seen: SeenClock | null
  readonly committed: number
  readonly shares: readonly KeptEpoch[]
  /** Newest first. */
  readonly roundTripsMs: readonly number[]
}

/** The power cycle that the file was written in, and how clocks of earlier ones fit to its own. */
export interface Cycle {
  readonly resetCount: number
  readonly restartCount: number
  readonly startedClockMs: number
  readonly offsetMs: number
  readonly lastShutdown: WitnessState['lastShutdown']
}

export interface WitnessFile {
  readonly schema: typeof WITNESS_SCHEMA
  readonly rosterVersion: number
  readonly cycle: Cycle | null
  readonly revoked: readonly HostId[]
  readonly wards: readonly Ward[]
}

export const WITNESS_SCHEMA = 'reprise/recovery-witness/v1'
export const ROUND_TRIPS_MAX = 15
/** The plan may have 100,000 hosts, but few of them are wards of one host. */
export const WARDS_MAX = 10_000
const REVOKED_MAX = 100_000
/** A committed share and a prepared one. */
const EPOCHS_MAX = 2
const count32 = integer(0, 0xffffffff)
const time = integer(0)
const milliseconds = (value: unknown, path: string): number => {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw new RangeError(`${path} is no duration`)
}
const wallTime = integer(Number.MIN_SAFE_INTEGER)

const ward = object<Ward>({
  host: hostName,
  ak: (value, path) => {
    if (typeof value === 'string' && /^000b[0-9a-f]{64}$/.test(value)) return value
    throw new RangeError(`${path} is no Name of a key`)
  },
  heartbeat: nullable(object<Heartbeat>({ clockMs: time, wallMs: wallTime })),
  seen: nullable(object<SeenClock>({ clockMs: time, resetCount: count32, restartCount: count32 })),
  committed: integer(0),
  shares: list(
    object<KeptEpoch>({
      epoch: integer(1),
      index: integer(0, 63),
      leaseKey: bytes(65),
      private: bytes(1, 1024),
      public: bytes(1, 1024),
    }),
    EPOCHS_MAX,
  ),
  roundTripsMs: list(milliseconds, ROUND_TRIPS_MAX),
})

export const WITNESS_FILE: StateFile<WitnessFile> = {
  schema: WITNESS_SCHEMA,
  bytesMax: 64 << 20,
  decode: object<WitnessFile>({
    schema: oneOf(WITNESS_SCHEMA),
    rosterVersion: integer(0),
    cycle: nullable(
      object<Cycle>({
        resetCount: count32,
        restartCount: count32,
        startedClockMs: time,
        offsetMs: time,
        lastShutdown: oneOf('clean', 'abnormal'),
      }),
    ),
    revoked: list(hostName, REVOKED_MAX),
    wards: list(ward, WARDS_MAX),
  }),
}

export function emptyWitness(rosterVersion: number): WitnessFile {
  return { schema: WITNESS_SCHEMA, rosterVersion, cycle: null, revoked: [], wards: [] }
}
