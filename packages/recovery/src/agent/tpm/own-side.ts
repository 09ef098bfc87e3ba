/** This host's TPM and keys, opened, with what is known of this boot. */

import { hostTpm } from '../../channel/host-tpm.ts'
import type { HostTpm } from '../../channel/channel.ts'
import type { HeartbeatClock, SystemFiles } from '../../sealing/prior-shutdown.ts'
import { inTurn, type PinnedTpm } from '../../sealing/storage.ts'
import type { StatePaths } from '../state/folder.ts'
import type { HostFile } from '../state/host-file.ts'
import { type BootFacts, type BootOf, readBootFacts } from './boot-facts.ts'
import { openAk } from './identity.ts'
import { openTpm, type OwnTpm } from './open-tpm.ts'

export interface OwnSide extends AsyncDisposable {
  readonly own: OwnTpm
  readonly pinned: PinnedTpm
  readonly hostTpm: HostTpm
  readonly boot: BootOf
  readonly facts: BootFacts
}

/** @throws RecoveryError `PIN`; TpmError. */
export async function openOwnSide(
  paths: StatePaths,
  hostFile: HostFile,
  { files, heartbeat }: { readonly files: SystemFiles; readonly heartbeat: HeartbeatClock | null },
): Promise<OwnSide> {
  const { host, storageKey } = hostFile
  const own = await openTpm(hostFile.tpm)
  try {
    const pinned: PinnedTpm = { tpm: own.tpm, storageKey, persist: own.persist }
    const ak = await openAk(own.tpm, paths, hostFile)
    const quoting = hostTpm(own.tpm, { host, ak })
    const boot: BootOf = {
      ...{ host, pinned, ak, akPublic: hostFile.ak.public, markerPath: paths.cleanMarker, files },
      heartbeat: heartbeat ?? undefined,
    }
    return {
      own,
      pinned,
      // A key that is persistent takes one of the TPM's three places while it signs.
      hostTpm: { ...quoting, quote: (statement, pcrs) => inTurn(pinned, () => quoting.quote(statement, pcrs)) },
      boot,
      facts: await readBootFacts(boot),
      [Symbol.asyncDispose]: () => own.release(),
    }
  } catch (error) {
    await own.release()
    throw error
  }
}
