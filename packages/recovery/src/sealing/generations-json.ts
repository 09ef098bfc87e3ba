/** The file of generations. Format: spec/release.md §8. */

import {
  canonical,
  decodeTpmsNvPublic,
  encodeTpmsNvPublic,
  fromUtf8,
  nvName,
  type TpmsNvPublic,
  utf8,
} from '@reprise/core'
import {
  bigDecimal,
  bytes,
  type Decode,
  integer,
  list,
  object,
  oneOf,
  optional,
  text,
  toJson,
} from '@reprise/host/decode'
import type { NvIndex } from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { BOOTS_PER_HOST_MAX } from '../plan/boots.ts'
import type { Register } from './boot-state.ts'
import type { WrappedKey } from './content-key.ts'
import type { Generation, Generations } from './generations.ts'
import { hashWith } from './keys.ts'
import type { LeaseTerms } from './lease.ts'
import type { EscrowedShare } from './quorum-half.ts'
import type { SealedObject } from './storage.ts'
import type { BreakGlassLock, LeasePlace, TpmHalf } from './tpm-half.ts'

const SCHEMA = 'reprise/generations/v1'
const FILE_BYTES_MAX = 1 << 20
const POINT_BYTES = 65
/** TPM2B limits of what a TPM gives back for a sealed object. */
const SEALED_BYTES_MAX = 1024
const KEYS_MAX = 64
const PCRS_MAX = 24
const WITNESSES_MAX = 255

/** An index goes by its public area, from which its Name follows. */
const index: Decode<NvIndex> = (value, path) => {
  const nvPublic: TpmsNvPublic = decodeTpmsNvPublic(bytes(14, 128)(value, path))
  return { handle: nvPublic.nvIndex, name: nvName(nvPublic, hashWith), nvPublic }
}
const digest = bytes(32)
const point = bytes(POINT_BYTES)
const count32 = integer(0, 0xffffffff)
const register = object<Register>({ pcr: integer(0, 23), value: digest })
const boot = list(register, PCRS_MAX)

const terms = object<LeaseTerms>({
  boots: list(boot, BOOTS_PER_HOST_MAX),
  cap: register,
  resetCountMax: count32,
  clockMaxMs: optional(bigDecimal),
})

const byIndex = object<LeasePlace & { kind: 'index' }>({ kind: oneOf('index'), index })
const byApprovals = object<LeasePlace & { kind: 'approvals' }>({ kind: oneOf('approvals'), approver: point })
const place: Decode<LeasePlace> = (value, path) =>
  (value as { kind?: unknown } | null)?.kind === 'index' ? byIndex(value, path) : byApprovals(value, path)

const breakGlass = object<BreakGlassLock>({
  needed: integer(1, 64),
  operators: list(point, 64),
  nonce: digest,
  counter: index,
  unused: bigDecimal,
})
const sealed = object<SealedObject>({ private: bytes(1, SEALED_BYTES_MAX), public: bytes(1, SEALED_BYTES_MAX) })
const half = object<TpmHalf>({ host: text(63), epoch: integer(1), lease: place, breakGlass, sealed })
const escrowed = object<EscrowedShare>({ index: integer(0, 63), enc: point, ciphertext: bytes(49) })
const wrapped = object<WrappedKey>({ version: integer(0), wrapped: bytes(60) })

const generation = object<Generation>({
  mode: oneOf('quorum', 'tpm-only'),
  half,
  imageBase: bigDecimal,
  rosterBase: bigDecimal,
  approvalsBase: bigDecimal,
  leases: list(terms, 2),
  threshold: integer(0, WITNESSES_MAX),
  shareDigests: list(digest, WITNESSES_MAX),
  escrow: list(escrowed, 64),
  keys: list(wrapped, KEYS_MAX),
})
const file = object<{ schema: typeof SCHEMA } & Generations>({
  schema: oneOf(SCHEMA),
  current: optional(generation),
  next: optional(generation),
  previous: optional(generation),
})

/** @throws {@link RecoveryError} `GENERATION` when the bytes are no such file. */
export function decodeGenerations(content: Uint8Array): Generations {
  try {
    if (content.length > FILE_BYTES_MAX) throw new RangeError(`it has ${content.length} bytes`)
    const { schema: _, ...generations } = file(JSON.parse(fromUtf8(content)), 'generations')
    return generations
  } catch (cause) {
    throw new RecoveryError('GENERATION', {
      message: `The file of this host's generations cannot be read: ${(cause as Error).message}`,
      hint: 'Bring it back from a backup that is not older than the last rotation, or provision the host anew.',
      cause,
    })
  }
}

export function encodeGenerations(generations: Generations): Uint8Array {
  return utf8(canonical(toJson(withPublicAreas({ schema: SCHEMA, ...generations }))))
}

/** Every index by its public area, wherever it stands. */
function withPublicAreas(value: unknown): unknown {
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(withPublicAreas)
  if ('nvPublic' in value) return encodeTpmsNvPublic(value.nvPublic as TpmsNvPublic)
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withPublicAreas(member)]))
}
