/**
 * The folder of one software TPM, and making it outlast a loss of power.
 *
 *     tpm2-00.permall    the TPM's whole non-volatile state, secrets included
 *     ca/                certificates of the authority that signed its endorsement keys
 *     backup/            a copy of the state
 *     tpm.sock, swtpm.pid, swtpm.lock, swtpm.log    while it runs
 */

import { chmodSync, closeSync, copyFileSync, fsyncSync, mkdirSync, openSync, renameSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { TpmError } from '../error.ts'
import { checkSocketPath } from '../transport/socket.ts'

export const STATE_FILE = 'tpm2-00.permall'

export interface SwtpmPaths {
  readonly folder: string
  readonly state: string
  readonly socket: string
  readonly pid: string
  readonly lock: string
  readonly log: string
}

/** @throws {@link TpmError} `PATH_TOO_LONG` when the socket's path would not fit. */
export function swtpmPaths(folder: string): SwtpmPaths {
  const whole = resolve(folder)
  const socket = join(whole, 'tpm.sock')
  checkSocketPath(socket)
  return {
    folder: whole,
    state: join(whole, STATE_FILE),
    socket,
    pid: join(whole, 'swtpm.pid'),
    lock: join(whole, 'swtpm.lock'),
    log: join(whole, 'swtpm.log'),
  }
}

/** Whether the folder holds a TPM. */
export async function isManufactured(folder: string): Promise<boolean> {
  try {
    await stat(join(folder, STATE_FILE))
    return true
  } catch {
    return false
  }
}

/**
 * Makes what the TPM has acknowledged outlast a loss of power: swtpm writes its state by renaming,
 * without fsync. Call it after commands that change non-volatile state and before relying on them.
 *
 * This and {@link backup} hold the thread: whoever counts an attempt waits for them, and twenty ways to another thread and back take
 * longer than the disk does.
 */
export async function persist(folder: string): Promise<void> {
  syncNow(join(folder, STATE_FILE))
  syncNow(folder)
}

/**
 * Copies the state into `backup/`. A TPM that goes back to it forgets every increment since: restoring is for
 * somebody to decide, and nothing here does it.
 *
 * @returns Path of the copy.
 */
export async function backup(folder: string): Promise<string> {
  if (!(await isManufactured(folder))) throw stateMissing(folder)
  const target = join(folder, 'backup')
  mkdirSync(target, { recursive: true, mode: 0o700 })
  const making = join(target, `${STATE_FILE}.new`)
  // swtpm renames whole files into place, so that a copy is never torn.
  copyFileSync(join(folder, STATE_FILE), making)
  chmodSync(making, 0o600)
  syncNow(making)
  renameSync(making, join(target, STATE_FILE))
  syncNow(target)
  return join(target, STATE_FILE)
}

function syncNow(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

export function stateMissing(folder: string): TpmError {
  return new TpmError('STATE_MISSING', {
    message: `There is no TPM in ${folder}: ${STATE_FILE} is missing.`,
    hint: `Manufacture one, or bring the old one back: cp ${join(folder, 'backup', STATE_FILE)} ${folder}`,
  })
}

/** fsync of a file or a folder. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
