/** What a host does with an image besides decrypting it: floors below which it takes none, and the measurement. Rules: spec/release.md §11.4. */

import { PcrExtend, type Tpm } from '@reprise/tpm'
import type { Generation } from '../generations.ts'
import { type CounterName, raiseFloor, readFloor } from '../indexes.ts'
import type { PinnedTpm } from '../storage.ts'
import { sha256 } from '../words.ts'
import { type ImageFloors, type ImageManifest, manifestMessage } from './manifest.ts'

/** Measured into before any credential of the image counts; no register of an approved boot. */
export const IMAGE_PCR = 15

/** The floors of this host, out of its TPM. */
export async function readImageFloors(pinned: PinnedTpm, generation: Generation): Promise<ImageFloors> {
  const floor = (name: CounterName, base: bigint): Promise<number> => readFloor(pinned, { name, base })
  return {
    version: await floor('image', generation.imageBase),
    roster: await floor('roster', generation.rosterBase),
    approvals: await floor('approvals', generation.approvalsBase),
  }
}

/**
 * Takes no image older than this one from now on; to be called when the image is known to work. The counter of approvals is
 * raised where approvals are taken back, not here.
 */
export async function raiseImageFloors(
  pinned: PinnedTpm,
  generation: Generation,
  { version, roster }: Pick<ImageManifest, 'version' | 'roster'>,
): Promise<void> {
  await raiseFloor(pinned, { name: 'image', base: generation.imageBase }, version)
  await raiseFloor(pinned, { name: 'roster', base: generation.rosterBase }, roster)
}

/** What stands for an image in registers and logs. */
export function imageDigest(manifest: ImageManifest): Uint8Array {
  return sha256(manifestMessage(manifest))
}

export async function measureImage(tpm: Tpm, manifest: ImageManifest): Promise<void> {
  await tpm.execute(PcrExtend({ pcrHandle: IMAGE_PCR, digests: { sha256: imageDigest(manifest) } }))
}
