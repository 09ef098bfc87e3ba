/**
 * Starts and stops the swtpm of a folder. swtpm outlives whoever started it: the PCRs and the clock of
 * a TPM do not begin anew because a process ended.
 *
 * A lock says who serves a folder: flock(1) takes it and becomes swtpm, so that it is held exactly as
 * long as swtpm lives. Only its holder removes a stale socket.
 *
 * Source: swtpm(8), flock(1).
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { TPM_SU } from '@reprise/core'
import { ReadClock, Shutdown } from '../commands/general.ts'
import { TpmError } from '../error.ts'
import { connect, type Tpm } from '../tpm.ts'
import { openSocketTransport } from '../transport/socket.ts'
import type { Transport, TransportLimits } from '../transport/transport.ts'
import { isManufactured, persist, stateMissing, type SwtpmPaths, swtpmPaths } from './folder.ts'
import { findPrograms } from './programs.ts'

export interface Swtpm {
  readonly folder: string
  readonly socketPath: string
  readonly pid: number
  /** False when a swtpm that was already running serves the folder. */
  readonly started: boolean
  /** A connection. swtpm serves one at a time; a second one waits until the first is closed. */
  open(limits?: TransportLimits): Promise<Transport>
}

export interface StartOptions {
  readonly searchPath?: string
}

/** Exit code by which flock(1) says that somebody else holds the lock. */
const LOCKED = 75
const READY_TIMEOUT_MS = 20_000
const PROBE_TIMEOUT_MS = 2_000
const STOP_TIMEOUT_MS = 5_000
const POLL_MS = 5

/**
 * Starts the swtpm of `folder`, with TPM2_Startup(CLEAR), or finds the one that runs.
 *
 * @throws {@link TpmError} `STATE_MISSING` when nothing was manufactured there (swtpm would silently make a new
 *   TPM), `SWTPM_FAILED` with the end of its log, `SWTPM_MISSING`, `PATH_TOO_LONG`.
 */
export async function start(folder: string, options: StartOptions = {}): Promise<Swtpm> {
  const paths = swtpmPaths(folder)
  if (!(await isManufactured(paths.folder))) throw stateMissing(paths.folder)
  const [swtpm, flock] = await findPrograms(['swtpm', 'flock'], options.searchPath ?? process.env['PATH'] ?? '')
  const deadline = Date.now() + READY_TIMEOUT_MS
  for (;;) {
    const pid = await serveOurselves(paths, { swtpm, flock, deadline })
    if (pid !== undefined) return describe(paths, { pid, started: true })
    // Whoever holds the lock serves, or is about to, or is dying: its lock goes a moment after its memory.
    const other = await readPid(paths)
    if (other !== undefined && (await serves(other, paths))) return describe(paths, { pid: other, started: false })
    if (Date.now() > deadline) throw await failed(paths, 'holds its lock but does not come up')
    await sleepMs(POLL_MS)
  }
}

/** Pid of a swtpm that was started and answers; undefined when another one holds the lock. */
async function serveOurselves(
  paths: SwtpmPaths,
  using: { readonly swtpm: string; readonly flock: string; readonly deadline: number },
): Promise<number | undefined> {
  const child = await launch(paths, using.swtpm, using.flock)
  while (child.exitCode === null && child.signalCode === null) {
    // The pid is in the file only once this child holds the lock: before, the socket is another swtpm's.
    const pid = await readPid(paths)
    if (pid !== undefined && pid === child.pid && (await answers(paths))) return pid
    if (Date.now() > using.deadline) child.kill('SIGKILL')
    await sleepMs(POLL_MS)
  }
  if (child.exitCode === LOCKED) return undefined
  throw await failed(paths, `ended with ${child.signalCode ?? `code ${child.exitCode}`}`)
}

async function launch(paths: SwtpmPaths, swtpm: string, flock: string): Promise<ChildProcess> {
  const served = [swtpm, 'socket', '--tpm2', '--tpmstate', `dir=${paths.folder},mode=0600`]
  const channel = ['--server', `type=unixio,path=${paths.socket},mode=0600`, '--flags', 'not-need-init,startup-clear']
  const files = ['--pid', `file=${paths.pid}`, '--log', `file=${paths.log},truncate`]
  // The shell runs under the lock: what it removes belongs to nobody.
  const shell = ['/bin/sh', '-c', 'rm -f "$1" "$2"; shift 2; exec "$@"', 'swtpm', paths.socket, paths.pid]
  const lock = ['--nonblock', '--conflict-exit-code', String(LOCKED), '--no-fork', paths.lock]
  const child = spawn(flock, [...lock, ...shell, ...served, ...channel, ...files], { detached: true, stdio: 'ignore' })
  await once(child, 'spawn')
  child.unref()
  return child
}

/** Whether a command is answered. A socket that takes a connection and is silent serves somebody else, so it serves. */
async function answers(paths: SwtpmPaths): Promise<boolean> {
  try {
    await using tpm = connect(await openSocketTransport({ path: paths.socket }, { timeoutMs: PROBE_TIMEOUT_MS }))
    await tpm.execute(ReadClock())
    return true
  } catch (error) {
    if (!(error instanceof TpmError) || (error.code !== 'TRANSPORT' && error.code !== 'TIMEOUT')) throw error
    return error.code === 'TIMEOUT'
  }
}

async function readPid(paths: SwtpmPaths): Promise<number | undefined> {
  try {
    const pid = Number.parseInt(await readFile(paths.pid, 'latin1'), 10)
    return pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}

/** Whether that process is the swtpm of this folder and not somebody else with the same number. */
async function serves(pid: number, paths: Pick<SwtpmPaths, 'socket'>): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'latin1')).includes(paths.socket)
  } catch {
    return false
  }
}

async function failed(paths: SwtpmPaths, what: string): Promise<TpmError> {
  const log = await readFile(paths.log, 'utf8').catch(() => '')
  const said = log.trim().split('\n').slice(-4).join('\n')
  return new TpmError('SWTPM_FAILED', {
    message: `swtpm for ${paths.folder} ${what}.${said === '' ? '' : `\n${said}`}`,
    hint: `If its state was damaged by a loss of power, the copy in ${paths.folder}/backup may help; it forgets later increments.`,
  })
}

function describe(paths: SwtpmPaths, running: { readonly pid: number; readonly started: boolean }): Swtpm {
  const open = (limits?: TransportLimits): Promise<Transport> => openSocketTransport({ path: paths.socket }, limits)
  return { folder: paths.folder, socketPath: paths.socket, ...running, open }
}

/**
 * Stops swtpm in an orderly way: TPM2_Shutdown(CLEAR), which swtpm does not send by itself, then SIGTERM.
 * Does nothing when it is not running.
 *
 * @param options.tpm - The connection that is open, if there is one; it is closed.
 * @throws {@link TpmError} `TIMEOUT` when another connection is in the way; then swtpm goes on.
 */
export async function stop(swtpm: Swtpm, options: { readonly tpm?: Tpm } = {}): Promise<void> {
  const paths = swtpmPaths(swtpm.folder)
  if (await serves(swtpm.pid, paths)) {
    const tpm = options.tpm ?? connect(await swtpm.open({ timeoutMs: STOP_TIMEOUT_MS }))
    try {
      await tpm.execute(Shutdown({ shutdownType: TPM_SU.CLEAR }))
    } finally {
      await tpm.close()
    }
    await persist(swtpm.folder)
    await terminate(swtpm.pid, paths)
  }
}

async function terminate(pid: number, paths: SwtpmPaths): Promise<void> {
  const deadline = Date.now() + STOP_TIMEOUT_MS
  process.kill(pid, 'SIGTERM')
  while (await serves(pid, paths)) {
    if (Date.now() > deadline) process.kill(pid, 'SIGKILL')
    await sleepMs(POLL_MS)
  }
}
