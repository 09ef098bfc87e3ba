/** What is known of this boot before anybody is asked: the boot statement, and how the host went down. Rules: spec/release.md §12. */

import { bootDigest, type BootStatement, hostId } from '@reprise/core'
import { readBootId } from '@reprise/host'
import { nodeCrypto } from '@reprise/host/crypto'
import { quoteStartup } from '@reprise/host/startup'
import { type ObjectEntity, ReadClock } from '@reprise/tpm'
import { checkCleanMarker, signCleanMarker } from '../../sealing/clean-marker.ts'
import { type HeartbeatClock, readPriorShutdown, type SystemFiles } from '../../sealing/prior-shutdown.ts'
import { inTurn, type PinnedTpm } from '../../sealing/storage.ts'
import { sha256 } from '../../sealing/words.ts'
import type { HostId, PriorShutdown } from '../../types.ts'
import { readIfThere, writeAtomically } from '@reprise/host/files'
import { removeState } from '../state/folder.ts'

export interface BootFacts {
  readonly bootId: string
  readonly startup: BootStatement['startup']
  readonly prior: PriorShutdown
  /** Why the marker of a clean shutdown is none; undefined when it holds, and when there is none. */
  readonly markerRefused: string | undefined
  /** Of the TPM, just now. */
  readonly now: HeartbeatClock
}

export interface BootOf {
  readonly host: HostId
  readonly pinned: PinnedTpm
  readonly ak: ObjectEntity
  readonly akPublic: Uint8Array
  /** Where the marker of a clean shutdown lies; it is good for one boot, so it goes. */
  readonly markerPath: string
  readonly files: SystemFiles
  /** At the last heartbeat. */
  readonly heartbeat: HeartbeatClock | undefined
}

export async function readBootFacts(of: BootOf): Promise<BootFacts> {
  const { pinned, ak, host, files, heartbeat } = of
  const bootId = await bootIdNow()
  const about = bootDigest({ hostId: hostId(ak.name, sha256), bootId }, sha256)
  const startup = await inTurn(pinned, () => quoteStartup(pinned.tpm, ak, about))
  const now = await clockNow(pinned)
  const marker = await readIfThere(of.markerPath)
  const check = { host, akPublic: of.akPublic, now, crypto: nodeCrypto }
  const checked = marker === undefined ? undefined : checkCleanMarker(marker, check)
  if (marker !== undefined) await removeState(of.markerPath)
  const prior = await readPriorShutdown({ files, boot: { startup }, heartbeat, marker: checked?.kind === 'holds' })
  return { bootId, startup, prior, markerRefused: checked?.kind === 'refused' ? checked.why : undefined, now }
}

export async function clockNow({ tpm }: Pick<PinnedTpm, 'tpm'>): Promise<HeartbeatClock> {
  const { clock, resetCount, restartCount } = (await tpm.execute(ReadClock())).currentTime.clockInfo
  return { clock, resetCount, restartCount }
}

/** To be written when services are down, before the TPM is shut down. */
export async function writeCleanMarker({ host, pinned, ak, markerPath }: BootOf): Promise<void> {
  const bootId = await bootIdNow()
  await writeAtomically(markerPath, await inTurn(pinned, () => signCleanMarker(pinned.tpm, ak, { host, bootId })))
}

async function bootIdNow(): Promise<string> {
  return (await readBootId()) ?? ''
}
