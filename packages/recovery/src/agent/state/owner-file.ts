/** `owner.json`: what the host knows of its own heartbeats and lease keys. Format: spec/agent.md §3, §5. */

import { bigDecimal, bytes, hexText, integer, list, nullable, object, oneOf } from '@reprise/host/decode'
import { SUCCESSION_MAX } from '../../channel/message-codec.ts'
import type { Successor } from '../../channel/messages.ts'
import type { HeartbeatClock } from '../../sealing/prior-shutdown.ts'
import type { StateFile } from './folder.ts'

export interface OwnerFile {
  readonly schema: typeof OWNER_SCHEMA
  /** Of the own TPM at the last heartbeat that K witnesses signed. */
  readonly heartbeat: HeartbeatClock | null
  /** What the current generation was made for: witnesses, threshold, operators. Null: nothing, or it was opened since; new halves are wanted. */
  readonly basis: string | null
  /** Oldest first. */
  readonly succession: readonly Successor[]
}

export const OWNER_SCHEMA = 'reprise/recovery-owner/v1'
export const NO_OWNER: OwnerFile = { schema: OWNER_SCHEMA, heartbeat: null, basis: null, succession: [] }
const count32 = integer(0, 0xffffffff)

export const OWNER_FILE: StateFile<OwnerFile> = {
  schema: OWNER_SCHEMA,
  bytesMax: 1 << 17,
  decode: object<OwnerFile>({
    schema: oneOf(OWNER_SCHEMA),
    heartbeat: nullable(object<HeartbeatClock>({ clock: bigDecimal, resetCount: count32, restartCount: count32 })),
    basis: nullable(hexText(32)),
    succession: list(
      object<Successor>({ after: integer(1), epoch: integer(1), leaseKey: bytes(65), signature: bytes(64) }),
      SUCCESSION_MAX,
    ),
  }),
}
