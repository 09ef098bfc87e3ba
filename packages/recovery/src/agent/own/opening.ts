/** From the shares of witnesses to the root of a generation. Rules: spec/agent.md §7. */

import { equal } from '@reprise/core'
import { registerValue } from '../../plan/boots.ts'
import { capBoot, readBootState } from '../../sealing/boot-state.ts'
import {
  type Generation,
  generationRoot,
  type Keeper,
  openTpmHalf,
  readGenerations,
  revertGeneration,
} from '../../sealing/generations.ts'
import { combineShares } from '../../sealing/quorum-half.ts'
import type { Secret } from '../../sealing/secret.ts'
import type { Opened } from '../../sealing/storage.ts'
import type { Share } from '../../types.ts'
import { RecoveryError } from '../../error.ts'
import type { Ground } from '../ground.ts'
import type { OwnerMemory } from './owner-memory.ts'
import { cappedValue, type Roots } from './roots.ts'

export interface OwnParts {
  readonly ground: Ground
  readonly keeper: Keeper
  readonly roots: Roots
  /** For whatever reads the file of generations and then writes it. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>
}

/** Of whoever opens a secret: what came out wants new halves, whatever happens then. */
export interface OpeningParts extends OwnParts {
  readonly memory: OwnerMemory
}

export type Opening =
  | { readonly kind: 'released'; readonly epoch: number }
  /** By the own TPM. */
  | (Opened & { readonly kind: 'refused' })

/**
 * Opens what the shares are of. Mode `tpm-only` has none.
 *
 * @throws RecoveryError `SHARES`, `GENERATION`, `PIN`.
 */
export async function openByShares(
  parts: OpeningParts,
  { epoch, shares }: { readonly epoch: number; readonly shares: readonly Share[] },
): Promise<Opening> {
  const generation = await generationOf(parts.keeper, epoch)
  const opened = await openTpmHalf(parts.ground.pinned, generation)
  if (opened.kind === 'refused') return opened
  using tpm = opened.secret
  using quorum = await quorumHalf(generation, shares)
  return await openByHalves(parts, generation, { tpm, quorum })
}

/** The same, where operators opened the TPM half. */
export async function openByHalves(
  { ground, keeper, roots, inTurn, memory }: OpeningParts,
  generation: Generation,
  { tpm, quorum }: { readonly tpm: Secret; readonly quorum: Secret | undefined },
): Promise<Opening> {
  const { epoch } = generation.half
  const root = generationRoot(generation, quorum === undefined ? { tpm } : { tpm, quorum })
  // Before anything is used: a crash or a full disk must not leave halves that were out as they are.
  await memory.change(() => ({ basis: null }))
  // What is kept opens only once the register is extended, so a crash in between costs nothing but a second release.
  await roots.keep(epoch, root)
  await capOnce(ground)
  await inTurn(async () => {
    const { previous } = await readGenerations(keeper)
    if (previous?.half.epoch === epoch) await revertGeneration(keeper)
  })
  return { kind: 'released', epoch }
}

async function quorumHalf(generation: Generation, shares: readonly Share[]): Promise<Secret | undefined> {
  const { mode, half, threshold, shareDigests: digests } = generation
  if (mode === 'tpm-only') return undefined
  return await combineShares(shares, { host: half.host, epoch: half.epoch, threshold, digests })
}

/** @throws RecoveryError `GENERATION` */
export async function generationOf(keeper: Keeper, epoch: number): Promise<Generation> {
  const { current, previous } = await readGenerations(keeper)
  const found = [current, previous].find((each) => each?.half.epoch === epoch)
  if (found !== undefined) return found
  throw new RecoveryError('GENERATION', {
    message: `There is no generation of epoch ${epoch}.`,
    hint: 'Ask again: another one took its place.',
  })
}

/** Extends the cap register, unless it was in this boot. */
export async function capOnce({ pinned, fleet }: Pick<Ground, 'pinned' | 'fleet'>): Promise<void> {
  const cap = registerValue(fleet().plan.cap)
  const [{ value }] = await readBootState(pinned.tpm, [cap.pcr])
  if (equal(value, cap.value)) await capBoot(pinned.tpm, cap.pcr)
}

/** How the cap register stands; `other`: neither untouched nor extended by this program. */
export async function capState({
  pinned,
  fleet,
}: Pick<Ground, 'pinned' | 'fleet'>): Promise<'untouched' | 'capped' | 'other'> {
  const cap = registerValue(fleet().plan.cap)
  const [{ value }] = await readBootState(pinned.tpm, [cap.pcr])
  if (equal(value, cap.value)) return 'untouched'
  return equal(value, cappedValue(cap)) ? 'capped' : 'other'
}
