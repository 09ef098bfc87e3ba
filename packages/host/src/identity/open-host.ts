/** Opens the TPM of a host, with its identity: what the signer works with. */

import { constants } from 'node:fs'
import { access, rm } from 'node:fs/promises'
import { hostId, OWN_LOG_PCR, TPM_ALG, TPM_PT } from '@reprise/core'
import {
  connect,
  DEVICE_PATH,
  flushAll,
  openDeviceTransport,
  PcrExtend,
  ReadClock,
  readPcrs,
  readProperties,
  swtpm,
  type Tpm,
  TpmError,
} from '@reprise/tpm'
import { OwnLogKeeper, type OwnRegister } from '../environment/own-log.ts'
import { keepEnrolment, readEnrolment } from '../enrolment/kept.ts'
import { HostError } from '../error.ts'
import { syncFolder } from '../files.ts'
import { sha256 } from '../hashing.ts'
import type { HostPaths } from '../home.ts'
import { BatchSeq } from '../signer/batch-seq.ts'
import type { Enrolment, HostFacts } from '../signer/protocol.ts'
import type { SigningHost } from '../signer/server.ts'
import type { TpmChoice } from '../signer/start.ts'
import { proveEnrolment, readEndorsement } from './enrolment.ts'
import { evictIdentity, type IdentityStep, openIdentity, type OpenTpm } from './identity.ts'
import { Quoter } from './quote.ts'
import { reportHost } from './report.ts'
import { readIdentity, type Stored } from './stored.ts'
import { readBootId } from '../power/boot-id.ts'
import { Power, type PowerStep } from '../power/power.ts'

export interface OpenHostOptions {
  readonly paths: HostPaths
  readonly tpm: TpmChoice
  readonly devicePath?: string
  /** For tests. */
  readonly afterStep?: (step: IdentityStep | PowerStep) => void | Promise<void>
}

interface ClosableTpm extends OpenTpm {
  /** For messages. */
  readonly where: string
  readonly notices: readonly string[]
  close(): Promise<void>
}

const NO_EK_CERTIFICATE = 'The TPM carries no certificate that fits its endorsement key: nobody vouches for its make.'

/**
 * @throws {@link HostError} `TPM_MISSING`, `TPM_UNFIT`, `TPM_LOCKED`, `TPM_CHANGED`, `TPM_ROLLED_BACK`, `IDENTITY_DAMAGED`;
 *   {@link TpmError} when the TPM fails.
 */
export async function openHost(options: OpenHostOptions): Promise<SigningHost> {
  const { paths } = options
  const stored = await readIdentity(paths.identity)
  const open = await openTpm(options, stored)
  try {
    const identity = await openIdentity(open, stored, paths, options.afterStep)
    const batchSeq = await BatchSeq.open(paths.batchSeq)
    const { raw: akPublic } = identity.ak.public
    let enrolment = await readEnrolment(paths.enrolment, akPublic)
    const own: Omit<HostFacts, 'certificates'> = {
      hostId: hostId(identity.akName, sha256),
      akPublic,
      akName: identity.akName,
      ekCertificate: identity.ekCertificate,
      tpm: { transport: open.transport, ...(await readMaker(open.tpm)) },
      notices: identity.ekCertificate === null ? [...open.notices, NO_EK_CERTIFICATE] : open.notices,
    }
    const facts = (): HostFacts => ({ ...own, certificates: enrolment?.certificates ?? [] })
    const power = await Power.open({
      tpm: open.tpm,
      ak: identity.ak,
      counter: identity.counter,
      hostId: own.hostId,
      bootId: await readBootId(),
      path: paths.power,
      where: open.where,
      persist: () => open.persist(),
      ...(options.afterStep !== undefined && { afterStep: options.afterStep }),
    })
    const quoter = new Quoter(open.tpm, identity.ak)
    const ownLog = new OwnLogKeeper(paths.ownLog, ownRegister(open.tpm))
    const quote: SigningHost['quote'] = (qualifyingData, pcrs) => quoter.quote(qualifyingData, pcrs)
    return {
      get facts() {
        return facts()
      },
      quote,
      measure: (measured) => ownLog.measure(measured),
      nextBatchSeq: () => batchSeq.next(),
      clock: async () => (await open.tpm.execute(ReadClock())).currentTime.clockInfo,
      boot: () => power.boot(),
      count: (count) => power.count(count),
      report: () => reportHost(open.tpm, { facts: facts(), identity, paths, enrolment }),
      endorsement: () => readEndorsement(open.tpm, identity),
      prove: (asked) => proveEnrolment(open.tpm, { identity, hostId: own.hostId, quote }, asked),
      async keep({ root, certificates }: Enrolment) {
        await keepEnrolment(paths.enrolment, { root, certificates }, akPublic)
        enrolment = { root, certificates }
      },
      async close() {
        // Without the note the next start compares with the one before: nothing is lost but a little watchfulness.
        await power.leave().catch(() => undefined)
        await open.close()
      },
    }
  } catch (error) {
    await open.close().catch(() => undefined)
    throw error
  }
}

function ownRegister(tpm: Tpm): OwnRegister {
  return {
    read: async () => {
      const { resetCount, restartCount } = (await tpm.execute(ReadClock())).currentTime.clockInfo
      const { sha256: bank } = await readPcrs(tpm, [{ hash: TPM_ALG.SHA256, pcrs: [OWN_LOG_PCR] }])
      return { value: bank?.[OWN_LOG_PCR] ?? new Uint8Array(), resetCount, restartCount }
    },
    extend: (digest) => tpm.execute(PcrExtend({ pcrHandle: OWN_LOG_PCR, digests: { sha256: digest } })),
  }
}

/**
 * Takes a host's identity away. Its key goes out of the TPM when that can be reached; otherwise it stays there, where
 * nobody has its authValue any more.
 */
export async function retireHost(paths: HostPaths): Promise<void> {
  const stored = await readIdentity(paths.identity).catch(() => undefined)
  if (stored !== undefined) {
    const tpm = stored.transport === 'device' ? 'device' : 'software'
    const open = await openTpm({ paths, tpm }, stored).catch(() => undefined)
    if (open !== undefined) {
      await evictIdentity(open.tpm, stored).catch(() => undefined)
      await open.close().catch(() => undefined)
    }
  }
  for (const path of [paths.enrolment, paths.pending, paths.identity, paths.akAuth, paths.power])
    await rm(path, { force: true })
  await syncFolder(paths.tpm)
}

async function readMaker(tpm: Tpm): Promise<{ readonly manufacturer: string; readonly firmware: string }> {
  const first = TPM_PT.MANUFACTURER
  const properties = await readProperties(tpm, first, TPM_PT.FIRMWARE_VERSION_2 - first + 1)
  const bytes = (property: number): Buffer => {
    const value = Buffer.alloc(4)
    value.writeUInt32BE(properties.get(property) ?? 0)
    return value
  }
  return {
    // Registered names are padded with zeros or spaces (TCG TPM Vendor ID Registry).
    manufacturer: bytes(TPM_PT.MANUFACTURER)
      .toString('latin1')
      .replace(/[\0 ]+$/, ''),
    firmware: Buffer.concat([bytes(TPM_PT.FIRMWARE_VERSION_1), bytes(TPM_PT.FIRMWARE_VERSION_2)]).toString('hex'),
  }
}

async function openTpm(options: OpenHostOptions, stored: Stored | undefined): Promise<ClosableTpm> {
  const { paths, devicePath = DEVICE_PATH } = options
  const bound = stored?.transport
  const asked = options.tpm === 'auto' ? undefined : options.tpm === 'device' ? 'device' : 'swtpm'
  if (bound !== undefined && asked !== undefined && bound !== asked) {
    throw new HostError('TPM_CHANGED', {
      message: `The identity in ${paths.tpm} is in a TPM of the kind ${bound}; ${asked} is asked for.`,
      hint: 'Leave REPRISE_TPM out, use another REPRISE_HOME, or make a new identity: reprise host init --new',
    })
  }
  const wanted = bound ?? asked
  const device = wanted === 'swtpm' ? 'missing' : await findDevice(devicePath)
  if (wanted === 'device' || (wanted === undefined && device === 'usable')) return openDevice(devicePath)
  const notices =
    device === 'forbidden' ? [`${devicePath} is there, but you may not use it; a software TPM signs. ${JOIN_TSS}`] : []
  return openSoftware(paths, { notices, mayMake: stored?.state !== 'complete' })
}

const JOIN_TSS = 'To use it: sudo usermod -aG tss "$USER", then log in again.'

async function findDevice(path: string): Promise<'usable' | 'forbidden' | 'missing'> {
  try {
    await access(path, constants.R_OK | constants.W_OK)
    return 'usable'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'missing' : 'forbidden'
  }
}

/** A hardware TPM is never shut down: other programs use it, and the kernel sees to it. */
async function openDevice(path: string): Promise<ClosableTpm> {
  try {
    const tpm = connect(await openDeviceTransport(path))
    return {
      tpm,
      transport: 'device',
      where: `the TPM at ${path}`,
      notices: [],
      persist: async () => undefined,
      close: () => tpm.close(),
    }
  } catch (cause) {
    if (!(cause instanceof TpmError)) throw cause
    const hint = cause.hint ?? JOIN_TSS
    throw new HostError('TPM_MISSING', { message: cause.message, hint, cause })
  }
}

async function openSoftware(
  paths: HostPaths,
  { notices, mayMake }: { readonly notices: readonly string[]; readonly mayMake: boolean },
): Promise<ClosableTpm> {
  const folder = paths.swtpm
  if (!(await swtpm.isManufactured(folder))) {
    if (!mayMake) {
      throw new HostError('TPM_CHANGED', {
        message: `The software TPM of this host's identity is gone: ${folder} holds none.`,
        hint: 'Bring the folder back from a backup, or become a new host: reprise host init --new',
      })
    }
    await swtpm.manufacture(folder)
  }
  const running = await swtpm.start(folder)
  const tpm = connect(await running.open())
  // A signer that was killed may have left objects behind.
  await flushAll(tpm)
  return {
    tpm,
    transport: 'swtpm',
    where: `the software TPM in ${folder}`,
    notices,
    persist: async () => {
      await swtpm.persist(folder)
      await swtpm.backup(folder)
    },
    close: () => swtpm.stop(running, { tpm }),
  }
}
