/** A new generation of this host, drawn and sealed by the newest plan. Rules: spec/agent.md §8. */

import { fromHex } from '@reprise/core'
import { RecoveryError } from '../../error.ts'
import { approvedBoots, registerValue } from '../../plan/boots.ts'
import {
  contentKey,
  prepareGeneration,
  type Prepared,
  type LeaseRequest,
  type PrepareRequest,
  readGenerations,
} from '../../sealing/generations.ts'
import { leaseKey } from '../../sealing/keys.ts'
import { SUCCESSION_MAX } from '../../channel/message-codec.ts'
import type { FleetView } from '../fleet-view.ts'
import { CREDENTIALS_VERSION } from './credentials.ts'
import { leasePoint, signSuccession } from '../proofs.ts'
import { capOnce, type OwnParts } from './opening.ts'
import type { OwnerMemory } from './owner-memory.ts'

export type ContentKeys = PrepareRequest['contentKeys']

/** A generation that is in the file as `next`, and what witnesses get of it. */
export interface Drawn extends Omit<Prepared, 'root'> {
  readonly leaseKey: Uint8Array
}

/** Image versions whose keys a generation has, besides that of the credentials. */
const IMAGE_KEYS_MAX = 63

/** @param added - Content keys of the first generation; later ones have those of the generation before besides. */
export function drawGeneration(parts: OwnParts, memory: OwnerMemory, added: ContentKeys): Promise<Drawn> {
  return parts.inTurn(() => draw(parts, memory, added))
}

async function draw({ keeper, roots, ground }: OwnParts, memory: OwnerMemory, added: ContentKeys): Promise<Drawn> {
  const { current } = await readGenerations(keeper)
  const root = current && roots.of(current.half.epoch)
  if (current !== undefined && root === undefined)
    throw new RecoveryError('NOT_NOW', {
      message: `${ground.host} has no root of its epoch ${current.half.epoch} in this boot: only a released host rotates.`,
      hint: 'switch it off and on; it is released when it comes back',
    })
  const before = current && root && { epoch: current.half.epoch, root }
  const isAdded = (version: number): boolean => added.some((each) => each.version === version)
  const kept: ContentKeys = before
    ? current.keys
        .filter(({ version }) => !isAdded(version))
        .map(({ version }) => ({ version, key: contentKey(current, before.root, version) }))
    : []
  try {
    const contentKeys = newestKeys([...kept, ...added])
    const { epoch, shares, root: next } = await prepareGeneration(keeper, requestBy(ground.fleet(), contentKeys))
    const point = leasePoint(leaseKey(next))
    const link = before && signSuccession(ground.host, before, { epoch, root: next })
    // Before it can be decided: whoever starts anew in this boot then has the root of whichever generation counts.
    await roots.keep(epoch, next, before?.epoch)
    // The first generation is never opened. What is kept of it opens only once the register is extended.
    if (before === undefined) await capOnce(ground)
    if (link !== undefined)
      await memory.change(({ succession }) => ({ succession: [...succession, link].slice(-SUCCESSION_MAX) }))
    return { epoch, shares, leaseKey: point }
  } finally {
    for (const { key } of kept) key[Symbol.dispose]()
  }
}

/** That of the credentials, and those of the newest images. */
export function newestKeys(keys: ContentKeys): ContentKeys {
  return keys
    .toSorted((a, b) => a.version - b.version)
    .filter(({ version }, i) => version === CREDENTIALS_VERSION || keys.length - i <= IMAGE_KEYS_MAX)
}

/** What a lease of this host says by the plan. */
export function leaseRequest({ plan, own }: FleetView): LeaseRequest {
  return {
    boots: approvedBoots(plan, own.id).map(({ registers }) => registers),
    cap: registerValue(plan.cap),
    resetBudget: plan.policy.resetBudget,
  }
}

function requestBy(fleet: FleetView, contentKeys: ContentKeys): PrepareRequest {
  const { plan, own, witnesses } = fleet
  const { keys, needed } = plan.breakGlass
  return {
    host: own.id,
    mode: plan.mode,
    lease: leaseRequest(fleet),
    witnesses: witnesses.length,
    threshold: plan.policy.threshold,
    operators: {
      needed,
      signing: keys.map(({ publicKey }) => fromHex(publicKey)),
      escrow: keys.flatMap(({ escrow }) => (escrow === undefined ? [] : [fromHex(escrow)])),
    },
    contentKeys,
  }
}
