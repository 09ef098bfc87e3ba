/** The TPM that an agent owns: a chip behind the kernel's resource manager, or a software TPM in a folder. */

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { connect, DEVICE_PATH, flushAll, openDeviceTransport, swtpm, type Tpm } from '@reprise/tpm'
import { RecoveryError } from '../../error.ts'
import type { TpmPlace } from '../state/host-file.ts'

export interface OwnTpm {
  readonly tpm: Tpm
  /** Makes what the TPM has acknowledged outlast a loss of power; a chip does so by itself. */
  readonly persist: () => Promise<void>
  /** Lets go of the TPM, which goes on. */
  readonly release: () => Promise<void>
  /** Ends the use of it in an orderly way; a software TPM is shut down, a chip is the kernel's to shut down. */
  readonly shutDown: () => Promise<void>
}

/** What `--tpm` names: a character device, or a folder. @throws {@link RecoveryError} `USAGE` */
export async function tpmPlace(path: string = DEVICE_PATH): Promise<TpmPlace> {
  const whole = resolve(path)
  const found = await stat(whole).catch(() => undefined)
  if (found?.isCharacterDevice() === true) return { kind: 'device', path: whole }
  if (whole.startsWith('/dev/'))
    throw new RecoveryError('USAGE', {
      message: `${whole} is no device of a TPM.`,
      hint: 'See: dmesg | grep -i tpm. For a software TPM, name its folder: --tpm FOLDER',
    })
  if (found !== undefined && !found.isDirectory())
    throw new RecoveryError('USAGE', { message: `${whole} is neither a device nor a folder.` })
  return { kind: 'software', folder: whole }
}

/** Makes the software TPM where there is none; a chip is as it is. */
export async function makeTpm(place: TpmPlace): Promise<void> {
  if (place.kind === 'software' && !(await swtpm.isManufactured(place.folder))) await swtpm.manufacture(place.folder)
}

export async function openTpm(place: TpmPlace): Promise<OwnTpm> {
  if (place.kind === 'device') {
    const tpm = connect(await openDeviceTransport(place.path))
    const close = (): Promise<void> => tpm.close()
    return { tpm, persist: async () => undefined, release: close, shutDown: close }
  }
  const running = await swtpm.start(place.folder)
  const tpm = connect(await running.open())
  // An agent that was killed may have left objects and sessions behind.
  await flushAll(tpm)
  return {
    tpm,
    persist: () => swtpm.persist(place.folder),
    release: () => tpm.close(),
    shutDown: () => swtpm.stop(running, { tpm }),
  }
}
