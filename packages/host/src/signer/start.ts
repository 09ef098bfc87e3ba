/**
 * Finds the signer of a home, or starts it.
 *
 * There is one signer per home because it lives under flock(2): the kernel gives the lock to one
 * process and takes it back when that dies, however it dies. Only its holder touches the socket.
 */

import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { HostError } from '../error.ts'
import { type HostPaths, prepareHome } from '../home.ts'
import { pause } from './within.ts'

/** Which TPM a host uses: the machine's, a software one, or the first of them that can be used. */
export type TpmChoice = 'auto' | 'device' | 'software'

/** @throws {@link HostError} `TPM_MISSING` for any other word. */
export function parseTpmChoice(word: string): TpmChoice {
  if (word === 'auto' || word === 'device' || word === 'software') return word
  throw new HostError('TPM_MISSING', {
    message: `There is no TPM of the kind ${word}.`,
    hint: 'REPRISE_TPM is auto, device or software.',
  })
}

export interface SignerSettings {
  readonly home: string
  /** `$REPRISE_TPM`, else `auto`. Once a host has its identity, `auto` is the TPM that holds it. */
  readonly tpm?: TpmChoice
  /** For a signer that has to be started; 10 by default, null for as many as the TPM can. */
  readonly batchesPerSecond?: number | null
  /** For a signer that has to be started: how long it stays without clients; 60,000 by default. */
  readonly idleMs?: number
  /** Until then none is started, only one that runs is connected to; what fails there is what fails here. */
  readonly startAfter?: Promise<unknown>
}

/** Manufacturing a software TPM takes seconds, a chip's RSA key up to a minute. */
const START_MS = 120_000
const LEAVE_MS = 15_000
const POLL_MS = 15
/** Exit code by which flock(1) says that another process holds the lock. */
const EXIT_LOCKED = 75

/**
 * Connects to the signer, which it starts when there is none.
 *
 * @throws {@link HostError} `SIGNER_START` when it ends at once or does not listen in time, `HOME`; the signal's reason.
 */
export async function reachSigner(settings: SignerSettings, signal?: AbortSignal): Promise<Socket> {
  const paths = prepareHome(settings.home)
  if (settings.startAfter !== undefined) {
    const socket = await tryConnect(paths.socket, signal)
    if (socket !== undefined) return socket
    await settings.startAfter
  }
  const deadline = performance.now() + START_MS
  while (performance.now() < deadline) {
    const socket =
      (await tryConnect(paths.socket, signal)) ?? (await startAndConnect(paths, settings, deadline, signal))
    if (socket !== undefined) return socket
    // Another signer is just beginning to listen, or just leaving.
    await pause(POLL_MS, signal)
  }
  throw await startError(paths, 'that holds the lock does not listen')
}

async function startAndConnect(
  paths: HostPaths,
  settings: SignerSettings,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<Socket | undefined> {
  const ended = startSigner(paths, settings)
  let exit: SignerExit | undefined
  ended.then((how) => (exit = how)).catch(() => undefined)
  for (;;) {
    const socket = await tryConnect(paths.socket, signal)
    if (socket !== undefined) return socket
    if (exit?.code === EXIT_LOCKED) return undefined
    if (exit !== undefined) throw await startError(paths, exit.why)
    if (performance.now() > deadline) throw await startError(paths, `did not listen within ${START_MS / 1000} s`)
    await pause(POLL_MS, signal)
  }
}

interface SignerExit {
  readonly code: number | null
  readonly why: string
}

function startSigner(paths: HostPaths, settings: SignerSettings): Promise<SignerExit> {
  const choice = settings.tpm ?? parseTpmChoice(process.env['REPRISE_TPM'] ?? 'auto')
  const args = ['--tpm', choice]
  if (settings.batchesPerSecond !== undefined)
    args.push('--batches-per-second', String(settings.batchesPerSecond ?? 'any'))
  if (settings.idleMs !== undefined) args.push('--idle-ms', String(settings.idleMs))
  return runUnderLock(paths, args)
}

/** Starts the program of the signer; it lives on when this process ends. */
function runUnderLock(paths: HostPaths, args: readonly string[]): Promise<SignerExit> {
  const source = import.meta.url.endsWith('.ts')
  const program = fileURLToPath(new URL(source ? './signer.daemon.ts' : './signer.daemon.js', import.meta.url))
  const log = openSync(paths.log, 'a', 0o600)
  try {
    // Without --no-fork a second process would stand between us and the signer. Node marks the lock's
    // descriptor as close-on-exec, so a software TPM that outlives the signer does not keep the lock.
    const flock = ['--nonblock', '--no-fork', '--conflict-exit-code', String(EXIT_LOCKED), paths.lock]
    const child = spawn('flock', [...flock, process.execPath, program, '--home', paths.home, ...args], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', log],
      env: { ...process.env, NODE_OPTIONS: '', REPRISE_HOME: paths.home },
    })
    child.unref()
    return new Promise((resolve) => {
      child.once('error', (error) => resolve({ code: null, why: `cannot be started: ${error.message}` }))
      child.once('exit', (code, killedBy) => resolve({ code, why: `ended with ${code ?? killedBy}` }))
    })
  } finally {
    closeSync(log)
  }
}

/**
 * Takes a host's identity away, so that the next signer makes a new one. There must be no signer, or
 * one that is leaving.
 *
 * @throws {@link HostError} `BUSY` when a signer stays.
 */
export async function retireIdentity(settings: SignerSettings, signal?: AbortSignal): Promise<void> {
  const paths = prepareHome(settings.home)
  const deadline = performance.now() + LEAVE_MS
  for (;;) {
    const { code, why } = await runUnderLock(paths, ['--retire'])
    if (code === 0) return
    if (code !== EXIT_LOCKED) throw await startError(paths, why)
    if (performance.now() > deadline) {
      throw new HostError('BUSY', {
        message: 'Another program keeps starting the signer of this host.',
        hint: 'Let its runs end, then try again.',
      })
    }
    await pause(POLL_MS, signal)
  }
}

async function startError(paths: HostPaths, why: string): Promise<HostError> {
  const log = await readFile(paths.log, 'utf8').catch(() => '')
  const last = log.trimEnd().split('\n').slice(-5).join('\n')
  const hint = why.includes('ENOENT')
    ? 'Install flock(1): sudo apt-get install util-linux'
    : `The end of ${paths.log}:\n${last}`
  return new HostError('SIGNER_START', { message: `The signer ${why}.`, hint })
}

/** @returns Undefined when nobody listens. */
export function tryConnect(path: string, signal: AbortSignal | undefined): Promise<Socket | undefined> {
  signal?.throwIfAborted()
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // EAGAIN: more wait to be accepted than the socket takes.
      if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EAGAIN'].includes(error.code ?? '')) resolve(undefined)
      else reject(new HostError('SIGNER_START', { message: `${path}: ${error.message}`, cause: error }))
    })
  })
}
