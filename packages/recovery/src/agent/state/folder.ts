/** Where an agent keeps what it knows. Format: spec/agent.md §3. */

import { mkdir, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { canonical, fromUtf8, hex, utf8 } from '@reprise/core'
import { nodeCrypto } from '@reprise/host/crypto'
import { type Decode, toJson } from '@reprise/host/decode'
import { RecoveryError } from '../../error.ts'
import { readIfThere, syncFolder, writeAtomically } from '@reprise/host/files'

export const STATE_DEFAULT = '/var/lib/reprise/recovery'
/** `sun_path` of Linux has 108 bytes, the last one zero. */
const SOCKET_PATH_BYTES_MAX = 107

export interface StatePaths {
  readonly folder: string
  readonly host: string
  readonly akAuth: string
  readonly plan: string
  readonly statements: string
  readonly generations: string
  readonly owner: string
  readonly witness: string
  readonly thisBoot: string
  readonly credentials: string
  readonly cleanMarker: string
  readonly audit: string
  readonly lock: string
  readonly socket: string
  readonly log: string
}

/** @throws {@link RecoveryError} `STATE` when the path is too long for a Unix socket. */
export function statePaths(state: string): StatePaths {
  const folder = resolve(state)
  const at = (name: string): string => join(folder, name)
  const socket = at('agent.sock')
  const lengthBytes = Buffer.byteLength(socket)
  if (lengthBytes > SOCKET_PATH_BYTES_MAX)
    throw new RecoveryError('STATE', {
      message: `${socket} has ${lengthBytes} bytes; Linux takes ${SOCKET_PATH_BYTES_MAX} for a socket.`,
      hint: 'Take a state folder with a shorter path.',
    })
  return {
    folder,
    host: at('host.json'),
    akAuth: at('ak.auth'),
    plan: at('plan.json'),
    statements: at('statements.json'),
    generations: at('generations.json'),
    owner: at('owner.json'),
    witness: at('witness.json'),
    thisBoot: at('this-boot.json'),
    credentials: at('credentials.json'),
    cleanMarker: at('clean-marker.json'),
    audit: at('audit.jsonl'),
    lock: at('agent.lock'),
    socket,
    log: at('agent.log'),
  }
}

/** Makes the folder. @throws {@link RecoveryError} `STATE` when it cannot be made, or others may change it. */
export async function prepareFolder(paths: StatePaths): Promise<void> {
  const { folder } = paths
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw damaged(folder, `cannot be made: ${(cause as Error).message}`, 'Name one that you may write with --state.')
  }
  const { uid, mode } = await stat(folder)
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0)
    throw damaged(
      folder,
      `is open to others than you (owner ${uid}, mode ${(mode & 0o777).toString(8)})`,
      `Run: chmod 700 ${folder}, as the user that the agent runs as.`,
    )
}

const BROUGHT_BACK = 'Bring it back from a backup, or provision the host anew; the rest of the folder is as it was.'

function damaged(path: string, what: string, hint = BROUGHT_BACK, cause?: unknown): RecoveryError {
  return new RecoveryError('STATE', { message: `${path} ${what}.`, hint, data: { path }, cause })
}

/** How a file is read: exactly, and no more than so many bytes. */
export interface StateFile<T> {
  readonly schema: string
  readonly decode: Decode<T>
  readonly bytesMax: number
}

/** By which people tell whether a backup is the same damage. */
export function digestOf(content: Uint8Array): string {
  return hex(nodeCrypto.sha256(content))
}

/** @returns Undefined when there is no such file. @throws {@link RecoveryError} `STATE` with its path. */
export async function readState<T>(path: string, file: StateFile<T>): Promise<T | undefined> {
  const content = await readIfThere(path)
  return content === undefined ? undefined : decodeState(path, content, file)
}

/** @throws {@link RecoveryError} `STATE` with its path. */
export function decodeState<T>(path: string, content: Uint8Array, { decode, bytesMax }: StateFile<T>): T {
  if (content.length > bytesMax) throw damaged(path, `has ${content.length} bytes; at most ${bytesMax} are read`)
  try {
    return decode(JSON.parse(fromUtf8(content)), 'file')
  } catch (cause) {
    throw damaged(path, `is damaged (SHA-256 ${digestOf(content)}): ${(cause as Error).message}`, BROUGHT_BACK, cause)
  }
}

/** As {@link readState} for a file without which nothing goes. */
export async function readNeeded<T>(path: string, file: StateFile<T>, hint: string): Promise<T> {
  const content = await readState(path, file)
  if (content !== undefined) return content
  throw damaged(path, 'is missing', hint)
}

export function encodeState<T extends object>({ schema }: StateFile<T>, content: T): Uint8Array {
  return utf8(`${canonical(toJson({ ...content, schema }))}\n`)
}

export async function writeState<T extends object>(path: string, file: StateFile<T>, content: T): Promise<void> {
  await writeAtomically(path, encodeState(file, content))
}

/** Removes a file so that it does not come back with a crash. */
export async function removeState(path: string): Promise<void> {
  await rm(path, { force: true })
  await syncFolder(dirname(path))
}
