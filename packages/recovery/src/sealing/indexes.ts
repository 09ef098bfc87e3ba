/**
 * The NV indices of a host that recovers. Attributes and reasons: spec/release.md §3.1, §5.
 *
 * Source: TCG TPM 2.0 Library rev 1.59, Part 1 §37.2 (NV indices), Part 3 §31; TCG Registry of Reserved TPM 2.0 Handles.
 */

import { ByteReader, nvName, TPM_ALG, TPM_HT, TPMA_NV } from '@reprise/core'
import {
  isResponse,
  NvDefineSpace,
  NvIncrement,
  type NvIndex,
  NvRead,
  NvUndefineSpace,
  openNvIndex,
  type Policy,
  readHandles,
  type Tpm,
} from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import { hashWith } from './keys.ts'
import { inTurn, openStorageKey, owner, type PinnedTpm, startSession } from './storage.ts'

/** Two leases, of an even and of an odd generation; counters below which nothing is taken. */
export const INDEXES = {
  leaseEven: 0x01803600,
  leaseOdd: 0x01803601,
  breakGlass: 0x01803610,
  image: 0x01803611,
  roster: 0x01803612,
  approvals: 0x01803613,
} as const

export type CounterName = 'breakGlass' | 'image' | 'roster' | 'approvals'

/** Only its policy writes it; anybody reads it. What is read is no secret. */
const LEASE_ATTRIBUTES = TPMA_NV.POLICYWRITE | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA
/** Anybody counts and reads: counting on refuses more, never less. */
const COUNTER_ATTRIBUTES = TPMA_NV.COUNTER | TPMA_NV.AUTHWRITE | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA
/** TPMT_HA of SHA-256: what PolicyAuthorizeNV reads. */
export const LEASE_BYTES = 34
const COUNTER_BYTES = 8
/** A floor is raised one by one; nobody has that many versions. */
const RAISE_MAX = 10_000

/** The counter of approvals as every TPM has it once it counted: its Name has nothing of a host in it. */
export function approvalsCounter(): Pick<NvIndex, 'handle' | 'name'> {
  const handle = INDEXES.approvals
  const attributes = COUNTER_ATTRIBUTES | TPMA_NV.WRITTEN
  const nvPublic = {
    nvIndex: handle,
    nameAlg: TPM_ALG.SHA256,
    attributes,
    authPolicy: new Uint8Array(),
    dataSize: COUNTER_BYTES,
  }
  return { handle, name: nvName(nvPublic, hashWith) }
}

export function leaseHandle(epoch: number): number {
  return epoch % 2 === 0 ? INDEXES.leaseEven : INDEXES.leaseOdd
}

/** Defines a lease index anew; what a crash left at its handle goes. */
export async function defineLease(pinned: PinnedTpm, handle: number, authPolicy: Policy): Promise<NvIndex> {
  await removeIndex(pinned, handle)
  await define(pinned, {
    nvIndex: handle,
    attributes: LEASE_ATTRIBUTES,
    dataSize: LEASE_BYTES,
    authPolicy: authPolicy.digest,
  })
  return openNvIndex(pinned.tpm, handle)
}

export async function removeIndex(pinned: PinnedTpm, handle: number): Promise<void> {
  if (!(await isDefined(pinned.tpm, handle))) return
  await pinned.tpm.execute(
    NvUndefineSpace({ authHandle: owner(pinned), nvIndex: await openNvIndex(pinned.tpm, handle) }),
  )
}

async function isDefined(tpm: Tpm, handle: number): Promise<boolean> {
  return (await readHandles(tpm, TPM_HT.NV_INDEX)).includes(handle)
}

async function define(
  pinned: PinnedTpm,
  space: {
    readonly nvIndex: number
    readonly attributes: number
    readonly dataSize: number
    readonly authPolicy: Uint8Array
  },
): Promise<void> {
  const publicInfo = { ...space, nameAlg: TPM_ALG.SHA256 }
  try {
    await pinned.tpm.execute(NvDefineSpace({ authHandle: owner(pinned), publicInfo }))
  } catch (cause) {
    if (!isResponse(cause, 'TPM_RC_NV_SPACE')) throw cause
    throw new RecoveryError('TPM', {
      message: 'The TPM has no room for an index of host recovery in its non-volatile memory.',
      hint: 'List what is there with tpm2_nvreadpublic, and free what nobody needs with tpm2_nvundefine.',
      cause,
    })
  }
}

/** Finds a counter, or makes it and counts once, for a counter that never counted has no value. */
export async function openCounter(pinned: PinnedTpm, name: CounterName): Promise<NvIndex> {
  const handle = INDEXES[name]
  if (!(await isDefined(pinned.tpm, handle))) {
    await define(pinned, {
      nvIndex: handle,
      attributes: COUNTER_ATTRIBUTES,
      dataSize: COUNTER_BYTES,
      authPolicy: new Uint8Array(),
    })
  }
  const nvIndex = await openNvIndex(pinned.tpm, handle)
  if ((nvIndex.nvPublic.attributes & ~TPMA_NV.WRITTEN) !== COUNTER_ATTRIBUTES) {
    throw new RecoveryError('TPM', {
      message: `The TPM has something else at NV index 0x${handle.toString(16)}, where the ${name} counter belongs.`,
      hint: `Free it with tpm2_nvundefine 0x${handle.toString(16)} if nobody needs it.`,
    })
  }
  if ((nvIndex.nvPublic.attributes & TPMA_NV.WRITTEN) !== 0) return nvIndex
  await count(pinned, nvIndex)
  return openNvIndex(pinned.tpm, handle)
}

export async function count(pinned: PinnedTpm, nvIndex: NvIndex): Promise<void> {
  await pinned.tpm.execute(NvIncrement({ authHandle: nvIndex, nvIndex }))
  await pinned.persist()
}

/** Reads a counter in a session that nobody in between can answer for. */
export function readCounter(pinned: PinnedTpm, nvIndex: NvIndex): Promise<bigint> {
  return inTurn(pinned, async () => {
    await using storageKey = await openStorageKey(pinned)
    await using session = await startSession(pinned.tpm, storageKey, 'hmac')
    const read = NvRead({ authHandle: nvIndex, nvIndex, size: COUNTER_BYTES })
    const { data } = await pinned.tpm.execute(read, { sessions: [session] })
    return new ByteReader(data).u64()
  })
}

/** A counter that stands for a version: `value - base`. `base` is kept with the generation, which binds it. */
export interface Floor {
  readonly name: CounterName
  /** Value of the counter when it stood for 0. */
  readonly base: bigint
}

/** The lowest version that is taken. */
export async function readFloor(pinned: PinnedTpm, { name, base }: Floor): Promise<number> {
  return Number((await readCounter(pinned, await openCounter(pinned, name))) - base)
}

/** Takes nothing below `version` from now on. @throws {@link RecoveryError} `USAGE` when it is absurdly far. */
export async function raiseFloor(pinned: PinnedTpm, floor: Floor, version: number): Promise<void> {
  const nvIndex = await openCounter(pinned, floor.name)
  const missing = version - Number((await readCounter(pinned, nvIndex)) - floor.base)
  if (missing > RAISE_MAX) {
    throw new RecoveryError('USAGE', {
      message: `The ${floor.name} counter would be raised by ${missing} steps; at most ${RAISE_MAX} are taken.`,
      hint: 'Number versions one by one.',
    })
  }
  for (let i = 0; i < missing; i++) await pinned.tpm.execute(NvIncrement({ authHandle: nvIndex, nvIndex }))
  if (missing > 0) await pinned.persist()
}
