/**
 * How the host went down, as facts with their sources. Everything of the system comes through {@link SystemFiles}. Rules: spec/release.md §12.
 *
 * Source: utmp(5) (glibc, 64-bit); Linux, Documentation/filesystems/ext4/super.rst; Documentation/ABI/testing/pstore;
 * systemd.special(7) (shutdown.target).
 */

import { type BootStatement, decodeStartupClear, decodeTpmsAttest, fromHex, type TpmsClockInfo } from '@reprise/core'
import type { Fact, FactSource, PriorShutdown } from '../types.ts'

/** The system, as far as it is asked. Undefined: not there, or not for us. */
export interface SystemFiles {
  /** The first `lengthBytes` from `position` on; a negative position counts from the end. Fewer where the file is shorter. */
  readonly read: (path: string, lengthBytes: number, position?: number) => Promise<Uint8Array | undefined>
  readonly list: (path: string) => Promise<readonly string[] | undefined>
  /** The last lines of the journal of the boot before this one. */
  readonly journalBefore: () => Promise<string | undefined>
}

/** What the TPM's counts were when the last heartbeat was signed. */
export type HeartbeatClock = Pick<TpmsClockInfo, 'clock' | 'resetCount' | 'restartCount'>

export interface PriorShutdownSources {
  readonly files: SystemFiles
  /** Of this boot. */
  readonly boot: Pick<BootStatement, 'startup'>
  readonly heartbeat: HeartbeatClock | undefined
  /** Whether there is a marker that holds, by `checkCleanMarker`. */
  readonly marker: boolean
  /** Block device of a file system that is not mounted yet. */
  readonly device?: string
}

/** Never throws for what is missing: a fact that cannot be found out is undefined. */
export async function readPriorShutdown(sources: PriorShutdownSources): Promise<PriorShutdown> {
  const { files, boot, heartbeat, marker, device } = sources
  const unsigned = <T>(source: FactSource, value: T | undefined): Fact<T> => ({ value, source, signed: false })
  return {
    ...tpmFacts(boot, heartbeat),
    cleanMarker: { value: marker, source: 'marker', signed: marker },
    bootId: unsigned('kernel', await readBootId(files)),
    journalShutdown: unsigned('journal', journalShutdown(await files.journalBefore())),
    wtmpShutdown: unsigned('wtmp', await wtmpShutdown(files)),
    kernelCrash: unsigned('pstore', await kernelCrash(files)),
    fileSystemClean: unsigned('file-system', device === undefined ? undefined : await ext4Clean(files, device)),
  }
}

type TpmFacts = Pick<PriorShutdown, 'orderly' | 'resetIncrease' | 'restartIncrease' | 'poweredMs'>

function tpmFacts({ startup }: PriorShutdownSources['boot'], heartbeat: HeartbeatClock | undefined): TpmFacts {
  const signed = <T>(value: T | undefined): Fact<T> => ({ value, source: 'tpm', signed: true })
  const now = decodeTpmsAttest(fromHex(startup.attest)).clockInfo
  const orderly = decodeStartupClear(fromHex(startup.response)).orderly
  const told = { orderly: signed(now.restartCount === 0 ? orderly : undefined) }
  const resets = heartbeat === undefined ? -1 : now.resetCount - heartbeat.resetCount
  if (heartbeat === undefined || resets < 0) {
    const unknown = signed<number>(undefined)
    return { ...told, resetIncrease: unknown, restartIncrease: unknown, poweredMs: unknown }
  }
  const restarts = resets === 0 ? now.restartCount - heartbeat.restartCount : now.restartCount
  const powered = now.clock - heartbeat.clock
  return {
    ...told,
    resetIncrease: signed(resets),
    restartIncrease: signed(restarts < 0 ? undefined : restarts),
    poweredMs: signed(powered < 0n ? undefined : Number(powered)),
  }
}

const BOOT_ID_BYTES_MAX = 64

async function readBootId(files: SystemFiles): Promise<string | undefined> {
  const text = latin1(await files.read('/proc/sys/kernel/random/boot_id', BOOT_ID_BYTES_MAX))?.trim()
  return text !== undefined && /^[0-9a-f-]{36}$/.test(text) ? text : undefined
}

function latin1(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1')
}

/** Both spellings: before systemd 250 without the unit's name. */
const SHUTDOWN_TARGET = /Reached target (\S+ - )?(System )?(Shutdown|Power[ -]Off|Reboot|Halt)\b/i

function journalShutdown(tail: string | undefined): boolean | undefined {
  return tail === undefined || tail.trim() === '' ? undefined : SHUTDOWN_TARGET.test(tail)
}

const UTMP = { bytes: 384, type: 0, user: 44, userBytes: 32, seconds: 340 } as const
const RUN_LVL = 1
const BOOT_TIME = 2
/** The last records, some 2,700 of them. */
const WTMP_BYTES_MAX = UTMP.bytes * 2730
/** Between the kernel's begin and the record of it. */
const BOOT_RECORD_S_MAX = 600
const PROC_STAT_BYTES_MAX = 1 << 20

async function wtmpShutdown(files: SystemFiles): Promise<boolean | undefined> {
  const tail = await files.read('/var/log/wtmp', WTMP_BYTES_MAX, -WTMP_BYTES_MAX)
  if (tail === undefined || tail.length === 0 || tail.length % UTMP.bytes !== 0) return undefined
  const bootS = await kernelBootS(files)
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length)
  for (let at = tail.length - UTMP.bytes; at >= 0; at -= UTMP.bytes) {
    const type = view.getInt16(at + UTMP.type, true)
    const user = latin1(tail.subarray(at + UTMP.user, at + UTMP.user + UTMP.userBytes))?.replace(/\0.*$/s, '')
    if (type === RUN_LVL && user === 'shutdown') return true
    if (type !== BOOT_TIME) continue
    const seconds = view.getUint32(at + UTMP.seconds, true)
    // Without the time of this boot nobody knows whether the newest record is of it.
    if (bootS === undefined) return undefined
    if (Math.abs(seconds - bootS) > BOOT_RECORD_S_MAX) return false
  }
  return undefined
}

async function kernelBootS(files: SystemFiles): Promise<number | undefined> {
  const stat = latin1(await files.read('/proc/stat', PROC_STAT_BYTES_MAX))
  const found = stat === undefined ? undefined : /^btime (\d{1,12})$/m.exec(stat)?.[1]
  return found === undefined ? undefined : Number(found)
}

async function kernelCrash(files: SystemFiles): Promise<boolean | undefined> {
  return (await files.list('/sys/fs/pstore'))?.some((name) => name.startsWith('dmesg-'))
}

const SUPERBLOCK = { at: 1024, bytes: 1024, magic: 0x38, state: 0x3a, incompat: 0x60 } as const
const EXT_MAGIC = 0xef53
const STATE_CLEAN = 1
const STATE_ERRORS = 2
const INCOMPAT_RECOVER = 4

async function ext4Clean(files: SystemFiles, device: string): Promise<boolean | undefined> {
  const block = await files.read(device, SUPERBLOCK.bytes, SUPERBLOCK.at)
  if (block === undefined || block.length < SUPERBLOCK.bytes) return undefined
  const view = new DataView(block.buffer, block.byteOffset, block.length)
  if (view.getUint16(SUPERBLOCK.magic, true) !== EXT_MAGIC) return undefined
  const state = view.getUint16(SUPERBLOCK.state, true)
  const needsRecovery = (view.getUint32(SUPERBLOCK.incompat, true) & INCOMPAT_RECOVER) !== 0
  return (state & (STATE_CLEAN | STATE_ERRORS)) === STATE_CLEAN && !needsRecovery
}
