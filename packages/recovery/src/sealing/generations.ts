/**
 * The generations of a host's secret: at most two at a time, in one file, so that at every moment one of them opens.
 * Rules: spec/release.md §8.
 */

import { equal } from '@reprise/core'
import type { NvIndex } from '@reprise/tpm'
import { RecoveryError } from '../error.ts'
import type { HostId, PlanMode, Share } from '../types.ts'
import type { BootState, Register } from './boot-state.ts'
import { HALF_BYTES, rootOf, type RootScope, unwrapContentKey, wrapContentKey, type WrappedKey } from './content-key.ts'
import { decodeGenerations, encodeGenerations } from './generations-json.ts'
import { type CounterName, leaseHandle, openCounter, readCounter, removeIndex } from './indexes.ts'
import { leaseKey } from './keys.ts'
import {
  confirmedResetCount,
  heldLease,
  leasePolicy,
  type LeaseTerms,
  type Renewal,
  requireLeases,
  writeLease,
} from './lease.ts'
import { type EscrowedShare, escrowHalf, splitHalf } from './quorum-half.ts'
import { Secret } from './secret.ts'
import type { Opened, PinnedTpm } from './storage.ts'
import { openByLease, sealHalf, type TpmHalf } from './tpm-half.ts'

/** One generation; nothing in it is secret. */
export interface Generation {
  readonly mode: PlanMode
  readonly half: TpmHalf
  readonly imageBase: bigint
  readonly rosterBase: bigint
  readonly approvalsBase: bigint
  /** Leases that the index may hold, newest first: a crash may have come before or after the TPM took the newest. */
  readonly leases: readonly LeaseTerms[]
  /** None in mode `tpm-only`. */
  readonly threshold: number
  readonly shareDigests: readonly Uint8Array[]
  readonly escrow: readonly EscrowedShare[]
  readonly keys: readonly WrappedKey[]
}

/** `current` is what the host opens; `next` is prepared, and its shares are not with the witnesses yet; `previous` still opens. */
export interface Generations {
  readonly current?: Generation
  readonly next?: Generation
  readonly previous?: Generation
}

/** What happens in order; tests crash after each. */
export type GenerationStep =
  | 'cleared'
  | 'sealed'
  | 'written'
  | 'committed'
  | 'index gone'
  | 'retired'
  | 'lease noted'
  | 'lease written'

/** Where generations are kept, and what they need. */
export interface Keeper {
  readonly pinned: PinnedTpm
  readonly read: () => Promise<Uint8Array | undefined>
  /** Replaces the file, so that after a crash there is the old content or the new one. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  readonly random: (lengthBytes: number) => Uint8Array
  readonly afterStep?: (step: GenerationStep) => void | Promise<void>
}

/** @throws {@link RecoveryError} `GENERATION` when the file is damaged. */
export async function readGenerations(keeper: Keeper): Promise<Generations> {
  const bytes = await keeper.read()
  return bytes === undefined ? {} : decodeGenerations(bytes)
}

async function write(keeper: Keeper, generations: Generations): Promise<void> {
  await keeper.write(encodeGenerations(generations))
}

async function after(keeper: Keeper, step: GenerationStep): Promise<void> {
  await keeper.afterStep?.(step)
}

export interface LeaseRequest {
  readonly boots: readonly BootState[]
  readonly cap: Register
  /** B. */
  readonly resetBudget: number
}

export interface PrepareRequest {
  readonly host: HostId
  readonly mode: PlanMode
  readonly lease: LeaseRequest
  /** For chips without PolicyAuthorizeNV: uncompressed point of the fleet's approver. */
  readonly approver?: Uint8Array
  /** N and K; not used in mode `tpm-only`. */
  readonly witnesses: number
  readonly threshold: number
  readonly operators: {
    readonly needed: number
    /** Keys that sign, and keys that shares in escrow are encrypted to; uncompressed points of P-256, in one order. */
    readonly signing: readonly Uint8Array[]
    readonly escrow: readonly Uint8Array[]
  }
  /** Content keys of the image versions that this generation opens. */
  readonly contentKeys: readonly { readonly version: number; readonly key: Secret }[]
}

/** A generation that is sealed, and in the file as `next`. */
export interface Prepared {
  readonly epoch: number
  /** For the witnesses; the caller's to wipe. Once they are there, {@link commitGeneration}. */
  readonly shares: readonly Share[]
  /** Of the new generation: whoever renews its lease needs it, and a host whose cap register is extended opens it no more. */
  readonly root: Secret
}

/**
 * Draws new halves and seals them beside the current generation.
 *
 * @throws {@link RecoveryError} `GENERATION` while an older generation has not been retired; `PIN`, `TPM`, `USAGE`.
 */
export async function prepareGeneration(keeper: Keeper, request: PrepareRequest): Promise<Prepared> {
  const { signing, escrow } = request.operators
  if (request.mode === 'quorum' && signing.length !== escrow.length) {
    throw new RecoveryError('USAGE', {
      message: `${signing.length} operators sign, and ${escrow.length} have a key for a share in escrow.`,
      hint: 'Name both keys of each operator, in one order.',
    })
  }
  const known = await readGenerations(keeper)
  if (known.previous !== undefined) {
    throw new RecoveryError('GENERATION', {
      message: `Epoch ${known.previous.half.epoch} of ${request.host} is still there: the TPM has room for two.`,
      hint: 'Retire it first; once the witnesses hold the shares of the newer one nobody needs it.',
    })
  }
  // Shares of a prepared generation may be with some witnesses already, so its number is not used again; and the number's
  // parity, by which it has its lease index, is another one than the current generation's.
  const epoch = known.next === undefined ? (known.current?.half.epoch ?? 0) + 1 : known.next.half.epoch + 2
  // What an attempt that was cut off left, in the TPM and in the file.
  await removeIndex(keeper.pinned, leaseHandle(epoch))
  await after(keeper, 'cleared')
  using tpm = Secret.owning(keeper.random(HALF_BYTES))
  using quorum = Secret.owning(keeper.random(HALF_BYTES))
  const scope = { mode: request.mode, host: request.host, epoch, ...(await readBases(keeper)) }
  const root = rootOf(request.mode === 'quorum' ? { tpm, quorum } : { tpm }, scope)
  try {
    const { generation, shares } = await drawGeneration(keeper, { scope, tpm, quorum, root }, request)
    await after(keeper, 'sealed')
    await write(keeper, { ...known, next: generation })
    await after(keeper, 'written')
    return { epoch, shares, root }
  } catch (error) {
    root[Symbol.dispose]()
    throw error
  }
}

interface Drawn {
  readonly scope: RootScope
  readonly tpm: Secret
  readonly quorum: Secret
  readonly root: Secret
}

async function drawGeneration(
  { pinned, random }: Keeper,
  { scope, tpm, quorum, root }: Drawn,
  request: PrepareRequest,
): Promise<{ readonly generation: Generation; readonly shares: readonly Share[] }> {
  const { operators, threshold } = request
  const { mode, host, epoch } = scope
  const terms = await termsOf(pinned, request.lease)
  const lease = await choosePlace(pinned, request, () => ({ kind: 'index', key: leaseKey(root), terms }) as const)
  const half = await sealHalf(pinned, {
    host,
    epoch,
    secret: tpm,
    lease,
    operators: operators.signing,
    needed: operators.needed,
    random,
  })
  await pinned.persist()
  const isQuorum = mode === 'quorum'
  const shares = isQuorum ? await splitHalf(quorum, { host, epoch, count: request.witnesses, threshold }) : []
  const escrowing = { host, epoch, operators: operators.escrow, threshold: operators.needed }
  const generation: Generation = {
    mode,
    half,
    imageBase: scope.imageBase,
    rosterBase: scope.rosterBase,
    approvalsBase: scope.approvalsBase,
    leases: [terms],
    threshold: isQuorum ? threshold : 0,
    shareDigests: shares.map(({ digest }) => digest),
    escrow: isQuorum ? await escrowHalf(quorum, escrowing) : [],
    keys: request.contentKeys.map((content) => wrapContentKey(root, content, random)),
  }
  return { generation, shares }
}

async function choosePlace<Index>(
  pinned: PinnedTpm,
  { host, approver }: PrepareRequest,
  index: () => Index,
): Promise<Index | { readonly kind: 'approvals'; readonly approver: Uint8Array }> {
  if (approver !== undefined) return { kind: 'approvals', approver }
  await requireLeases(pinned.tpm, host)
  return index()
}

async function readBases({
  pinned,
  read,
}: Keeper): Promise<Pick<RootScope, 'imageBase' | 'rosterBase' | 'approvalsBase'>> {
  const bytes = await read()
  const known = bytes === undefined ? undefined : decodeGenerations(bytes).current
  if (known !== undefined) {
    const { imageBase, rosterBase, approvalsBase } = known
    return { imageBase, rosterBase, approvalsBase }
  }
  const value = async (name: CounterName): Promise<bigint> => readCounter(pinned, await openCounter(pinned, name))
  return {
    imageBase: await value('image'),
    rosterBase: await value('roster'),
    approvalsBase: await value('approvals'),
  }
}

async function termsOf(pinned: PinnedTpm, { boots, cap, resetBudget }: LeaseRequest): Promise<LeaseTerms> {
  return { boots, cap, resetCountMax: (await confirmedResetCount(pinned)) + resetBudget }
}

function generationMissing(which: string): RecoveryError {
  return new RecoveryError('GENERATION', {
    message: `There is no ${which} generation.`,
    hint: 'Provision the host, or prepare a generation first.',
  })
}

/** The prepared generation is the current one from now on; to be called once its shares are with the witnesses. */
export async function commitGeneration(keeper: Keeper): Promise<void> {
  const { current, next } = await readGenerations(keeper)
  if (next === undefined) throw generationMissing('prepared')
  await write(keeper, { current: next, ...(current !== undefined && { previous: current }) })
  await after(keeper, 'committed')
}

/** Drops a prepared generation, whose shares never came to the witnesses. */
export async function abandonGeneration(keeper: Keeper): Promise<void> {
  const { next, ...rest } = await readGenerations(keeper)
  if (next === undefined) return
  await write(keeper, rest)
  if (next.half.lease.kind === 'index') await removeIndex(keeper.pinned, next.half.lease.index.handle)
}

/**
 * Goes back to the generation before, because too few witnesses have the newer one; its number is not used again. To be
 * called when the older one was opened.
 */
export async function revertGeneration(keeper: Keeper): Promise<void> {
  const { current, previous } = await readGenerations(keeper)
  if (current === undefined || previous === undefined) throw generationMissing('previous')
  await write(keeper, { current: previous, next: current })
}

/** Takes the older generation out of the TPM: from then on no copy of its blob opens, wherever it was kept. */
export async function retireGeneration(keeper: Keeper): Promise<void> {
  const { previous, ...rest } = await readGenerations(keeper)
  if (previous === undefined) return
  if (previous.half.lease.kind === 'index') {
    await removeIndex(keeper.pinned, previous.half.lease.index.handle)
    await keeper.pinned.persist()
  }
  await after(keeper, 'index gone')
  await write(keeper, rest)
  await after(keeper, 'retired')
}

/**
 * Opens the TPM half of a generation by its lease: every lease that the index may hold, every boot that it approves.
 *
 * @returns The half, or the last refusal of the newest lease.
 */
export async function openTpmHalf(pinned: PinnedTpm, { half, leases }: Generation): Promise<Opened> {
  let refused: Opened | undefined
  for (const terms of leases) {
    for (const boot of terms.boots.keys()) {
      const opened = await openByLease(pinned, half, terms, boot)
      if (opened.kind === 'opened') return opened
      // What comes furthest says most: a boot that is right and has too many resets is not another boot.
      if (refused === undefined || refused.kind === 'opened' || opened.position > refused.position) refused = opened
    }
  }
  if (refused === undefined) throw generationMissing('leased')
  return refused
}

/** The secret of a generation. @throws {@link RecoveryError} `USAGE` when the halves are not those of its mode. */
export function generationRoot(
  generation: Generation,
  halves: { readonly tpm: Secret; readonly quorum?: Secret },
): Secret {
  const { mode, imageBase, rosterBase, approvalsBase, half } = generation
  return rootOf(halves, { mode, host: half.host, epoch: half.epoch, imageBase, rosterBase, approvalsBase })
}

/** @throws {@link RecoveryError} `CONTENT_KEY` when there is none for this version, or it does not open. */
export function contentKey(generation: Generation, root: Secret, version: number): Secret {
  const wrapped = generation.keys.find((key) => key.version === version)
  if (wrapped !== undefined) return unwrapContentKey(root, wrapped)
  throw new RecoveryError('CONTENT_KEY', {
    message: `Epoch ${generation.half.epoch} of ${generation.half.host} has no content key of image version ${version}.`,
    hint: `It has ${generation.keys.map((key) => key.version).join(', ') || 'none'}. Prepare a generation with that version.`,
  })
}

/**
 * Renews the lease of the current generation: what every healthy heartbeat does. The new terms are in the file before they
 * are in the TPM, and the old ones stay beside them.
 *
 * @param root - Of the current generation: only a host that was released has it.
 */
export async function renewLease(keeper: Keeper, root: Secret, request: LeaseRequest): Promise<Renewal> {
  const known = await readGenerations(keeper)
  if (known.current === undefined) throw generationMissing('current')
  const { half, leases } = known.current
  if (half.lease.kind !== 'index') {
    throw new RecoveryError('USAGE', { message: `The leases of ${half.host} are signed by the fleet's approver.` })
  }
  const terms = await termsOf(keeper.pinned, request)
  const policy = leasePolicy(terms)
  if (!equal(leasePolicy(leases[0]).digest, policy.digest)) {
    // The one that the index holds, which need not be the newest: an earlier renewal may have come no further than the file.
    const held = (await heldLease(keeper.pinned, half.lease.index, leases)) ?? leases[0]
    await write(keeper, { ...known, current: { ...known.current, leases: [terms, held] } })
    await after(keeper, 'lease noted')
  }
  const index: NvIndex = half.lease.index
  const renewal = await writeLease(keeper.pinned, { host: half.host, index, key: leaseKey(root), policy })
  await after(keeper, 'lease written')
  return renewal
}
