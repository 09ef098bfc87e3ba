/**
 * Software TPMs for tests, as they left their factory. Each is made once on this machine and copied from then on: to make
 * one keeps a processor busy for a second and a half, and a run of all tests needs a hundred. Tests of the making make their own.
 */

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { manufacture } from './manufacture.ts'

/** Until the npm packages are installed anew. */
const POOL = join(import.meta.dirname, '../../../../node_modules/.cache/tpms')
/** What decides how a TPM is made. */
const MAKER = join(import.meta.dirname, 'manufacture.ts')

/**
 * Lays a TPM into a folder that is not there yet.
 *
 * @param which - Those of one number are the same TPM, with the same keys; others are others.
 */
export async function layTpm(folder: string, which = 0): Promise<void> {
  const maker = createHash('sha256').update(await readFile(MAKER))
  const made = join(POOL, `${maker.digest('hex').slice(0, 16)}-${which}`)
  if (!existsSync(made)) await make(made)
  await mkdir(dirname(folder), { recursive: true, mode: 0o700 })
  await cp(made, folder, { recursive: true, errorOnExist: true, force: false })
}

async function make(made: string): Promise<void> {
  // The path of a TPM's socket must be short.
  const scratch = await mkdtemp(join(tmpdir(), 'reprise-tpm-'))
  const own = `${made}.${basename(scratch)}`
  try {
    await manufacture(join(scratch, 'tpm'))
    await cp(join(scratch, 'tpm'), own, { recursive: true })
    await rename(own, made)
  } catch (error) {
    // Another process was quicker.
    if (!existsSync(made)) throw error
  } finally {
    for (const folder of [own, scratch]) await rm(folder, { recursive: true, force: true })
  }
}
