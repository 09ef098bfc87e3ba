/** Where a host keeps its state: `$REPRISE_HOME`, and what lies in it for TPM and signer. */

import { mkdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { HostError } from './error.ts'

/** `sun_path` of Linux has 108 bytes, the last one zero. */
export const SOCKET_PATH_BYTES_MAX = 107

/** `$REPRISE_HOME`, else `reprise` in the XDG data folder. */
export function repriseHome(environment: NodeJS.ProcessEnv = process.env): string {
  const { REPRISE_HOME: home, XDG_DATA_HOME: data } = environment
  if (home !== undefined && home !== '') return resolve(home)
  // A relative XDG_DATA_HOME must be ignored (XDG Base Directory Specification 0.8).
  return join(data !== undefined && isAbsolute(data) ? data : join(homedir(), '.local', 'share'), 'reprise')
}

export interface HostPaths {
  readonly home: string
  /** The signer listens here. */
  readonly socket: string
  /** Held by flock(2) as long as a signer lives; never removed. */
  readonly lock: string
  /** Everything about the TPM: identity, secrets, log, and the state of a software TPM. */
  readonly tpm: string
  readonly log: string
  readonly identity: string
  /** What an authority issued to the identity. */
  readonly enrolment: string
  /** A request that an authority has not decided yet. */
  readonly pending: string
  readonly akAuth: string
  readonly lockoutAuth: string
  readonly batchSeq: string
  /** What was last seen of the TPM's power cycles and counter. */
  readonly power: string
  /** What the host measured of itself since its TPM was started. */
  readonly ownLog: string
  /** State of the software TPM. */
  readonly swtpm: string
}

/** @throws {@link HostError} `HOME` when the path is too long for a Unix socket. */
export function hostPaths(home: string): HostPaths {
  const tpm = join(home, 'tpm')
  const paths: HostPaths = {
    home,
    socket: join(home, 'signer.sock'),
    lock: join(tpm, 'signer.lock'),
    tpm,
    log: join(tpm, 'signer.log'),
    identity: join(tpm, 'identity.json'),
    enrolment: join(tpm, 'enrolment.json'),
    pending: join(tpm, 'enrolment-pending.json'),
    akAuth: join(tpm, 'ak.auth'),
    lockoutAuth: join(tpm, 'lockout.auth'),
    batchSeq: join(tpm, 'batch-seq'),
    power: join(tpm, 'power.json'),
    ownLog: join(tpm, 'own-log.json'),
    swtpm: join(tpm, 'swtpm'),
  }
  // The longest socket is that of swtpm, which lies in the folder of its state.
  const longest = join(paths.swtpm, 'tpm.sock')
  const lengthBytes = Buffer.byteLength(longest)
  if (lengthBytes > SOCKET_PATH_BYTES_MAX) {
    throw new HostError('HOME', {
      message: `${home} is too long: the socket ${longest} has ${lengthBytes} bytes, Linux takes ${SOCKET_PATH_BYTES_MAX}.`,
      hint: `Set REPRISE_HOME to a folder whose path is ${lengthBytes - SOCKET_PATH_BYTES_MAX} bytes shorter.`,
    })
  }
  return paths
}

/**
 * Makes the folders, open to their owner only.
 *
 * @throws {@link HostError} `HOME` when they cannot be made, or when somebody else could put a socket there.
 */
export function prepareHome(home: string): HostPaths {
  const paths = hostPaths(home)
  try {
    mkdirSync(paths.home, { recursive: true, mode: 0o700 })
    mkdirSync(paths.tpm, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new HostError('HOME', {
      message: `${home} cannot be made: ${(cause as Error).message}`,
      hint: 'Set REPRISE_HOME to a folder that you may write.',
      cause,
    })
  }
  for (const folder of [paths.home, paths.tpm]) {
    const { uid, mode } = statSync(folder)
    if (uid === process.getuid?.() && (mode & 0o022) === 0) continue
    throw new HostError('HOME', {
      message: `${folder} can be changed by others than you (owner ${uid}, mode ${(mode & 0o777).toString(8)}).`,
      hint: `Run: chmod 700 ${folder}, or set REPRISE_HOME to a folder of your own.`,
    })
  }
  return paths
}
