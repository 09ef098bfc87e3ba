/**
 * A software TPM with seeds of its own and nothing else: no endorsement keys, no certificates. It takes a hundredth of the
 * time that {@link manufacture} takes, and is for fleets that live for minutes.
 *
 * Source: swtpm(8): without a state it makes a TPM, and writes it when it is shut down.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleepMs } from 'node:timers/promises'
import { TPM_SU } from '@reprise/core'
import { Shutdown } from '../commands/general.ts'
import { TpmError } from '../error.ts'
import { connect, type Tpm } from '../tpm.ts'
import { openSocketTransport } from '../transport/socket.ts'
import { isManufactured, STATE_FILE, swtpmPaths, syncPath } from './folder.ts'
import { findPrograms } from './programs.ts'

const READY_TIMEOUT_MS = 20_000
const POLL_MS = 2

/**
 * Either the whole TPM is in `folder` afterwards or nothing is.
 *
 * @throws {@link TpmError} `STATE_EXISTS` when there is a TPM, `SWTPM_MISSING`, `SWTPM_FAILED`, `PATH_TOO_LONG`.
 */
export async function manufactureBare(folder: string, searchPath = process.env['PATH'] ?? ''): Promise<void> {
  const paths = swtpmPaths(folder)
  if (await isManufactured(paths.folder))
    throw new TpmError('STATE_EXISTS', { message: `There is a TPM in ${paths.folder}.`, hint: 'Use another folder.' })
  const [program] = await findPrograms(['swtpm'], searchPath)
  const making = join(paths.folder, 'making')
  await rm(making, { recursive: true, force: true })
  await mkdir(making, { recursive: true, mode: 0o700 })
  await makeState(program, making)
  await syncPath(join(making, STATE_FILE))
  await rename(join(making, STATE_FILE), paths.state)
  for (const path of [paths.folder, dirname(paths.folder)]) await syncPath(path)
  await rm(making, { recursive: true })
}

async function makeState(program: string, making: string): Promise<void> {
  const path = join(making, 's')
  const log = join(making, 'log')
  const words = ['socket', '--tpm2', '--tpmstate', `dir=${making},mode=0600`, '--log', `file=${log},truncate`]
  const served = ['--server', `type=unixio,path=${path},mode=0600`, '--flags', 'not-need-init,startup-clear']
  const child = spawn(program, [...words, ...served], { stdio: 'ignore' })
  const ended = once(child, 'exit')
  try {
    await using tpm = await whenItAnswers(path, child)
    await tpm.execute(Shutdown({ shutdownType: TPM_SU.CLEAR }))
  } catch (cause) {
    const said = await readFile(log, 'utf8').catch(() => '')
    throw new TpmError('SWTPM_FAILED', { message: `swtpm makes no TPM in ${making}. ${said.trim()}`, cause })
  } finally {
    child.kill('SIGTERM')
    await ended
  }
}

async function whenItAnswers(path: string, child: ChildProcess): Promise<Tpm> {
  const deadline = Date.now() + READY_TIMEOUT_MS
  for (;;) {
    try {
      return connect(await openSocketTransport({ path }))
    } catch (error) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) throw error
      await sleepMs(POLL_MS)
    }
  }
}
