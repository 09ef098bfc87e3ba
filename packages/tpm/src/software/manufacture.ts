/**
 * Makes a software TPM with endorsement keys and their certificates: RSA-2048 (persistent at 0x81010001,
 * certificate in NV 0x01c00002) and P-384 (0x81010016, 0x01c00016).
 *
 * Source: swtpm_setup(8), swtpm-localca(8).
 */

import { execFile } from 'node:child_process'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { TpmError } from '../error.ts'
import { isManufactured, STATE_FILE, swtpmPaths, syncPath } from './folder.ts'
import { findPrograms } from './programs.ts'

export interface ManufactureOptions {
  /**
   * Folder of a certificate authority that makes several TPMs; it is made when it is not there. Without it, one
   * is made for this TPM alone and forgets its private keys.
   */
  readonly caFolder?: string
  readonly searchPath?: string
}

const SETUP_TIMEOUT_MS = 120_000
/** What swtpm_localca calls the certificates and the keys of its authority. */
const CA_CERTIFICATES = ['issuercert.pem', 'swtpm-localca-rootca-cert.pem']

/**
 * Either the whole TPM is in `folder` afterwards or nothing is: it is made in a folder beside it and renamed.
 * Takes a second or two.
 *
 * @throws {@link TpmError} `STATE_EXISTS` when `folder` is there and not empty, `SWTPM_MISSING`, `SWTPM_FAILED`, `PATH_TOO_LONG`.
 */
export async function manufacture(folder: string, options: ManufactureOptions = {}): Promise<void> {
  const target = swtpmPaths(folder).folder
  if (await isManufactured(target)) throw stateExists(target)
  const searchPath = options.searchPath ?? process.env['PATH'] ?? ''
  const [, setup, localca] = await findPrograms(['swtpm', 'swtpm_setup', 'swtpm_localca'], searchPath)
  await mkdir(dirname(target), { recursive: true })
  await removeAbandoned(target)

  const making = `${target}.making-${process.pid}`
  await rm(making, { recursive: true, force: true })
  await mkdir(making, { mode: 0o700 })
  try {
    const ca = join(making, 'ca')
    const authority = resolve(options.caFolder ?? ca)
    await mkdir(authority, { recursive: true, mode: 0o700 })
    await runSetup(setup, { state: making, config: await writeConfig(making, authority, localca) })
    if (options.caFolder === undefined) await forgetKeys(ca)
    await rm(join(making, 'setup'), { recursive: true })
    for (const path of [join(making, STATE_FILE), making, dirname(target)]) await syncPath(path)
    await renameOnto(making, target)
  } finally {
    await rm(making, { recursive: true, force: true })
  }
  await syncPath(dirname(target))
}

/** The configuration that swtpm_setup brings along names folders of another user. */
async function writeConfig(making: string, authority: string, localca: string): Promise<string> {
  const folder = join(making, 'setup')
  await mkdir(folder)
  const paths = { setup: join(folder, 'setup.conf'), ca: join(folder, 'ca.conf'), options: join(folder, 'ca.options') }
  const at = (name: string): string => join(authority, name)
  const caLines = [
    `statedir = ${authority}`,
    `signingkey = ${at('signkey.pem')}`,
    `issuercert = ${at(CA_CERTIFICATES[0])}`,
    `certserial = ${at('certserial')}`,
  ]
  const setupLines = [
    `create_certs_tool = ${localca}`,
    `create_certs_tool_config = ${paths.ca}`,
    `create_certs_tool_options = ${paths.options}`,
    'active_pcr_banks = sha256',
  ]
  await writeFile(paths.ca, `${caLines.join('\n')}\n`)
  await writeFile(paths.options, '--platform-manufacturer Reprise\n--platform-version 1\n--platform-model swtpm\n')
  await writeFile(paths.setup, `${setupLines.join('\n')}\n`)
  return paths.setup
}

async function runSetup(program: string, paths: { readonly state: string; readonly config: string }): Promise<void> {
  const given = ['--tpm2', '--tpmstate', paths.state, '--config', paths.config]
  const wanted = ['--create-ek-cert', '--lock-nvram', '--pcr-banks', 'sha256']
  try {
    await promisify(execFile)(program, [...given, ...wanted], { timeout: SETUP_TIMEOUT_MS })
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string }
    const said = `${stdout}${stderr}`.trim().split('\n').slice(-6).join('\n')
    throw new TpmError('SWTPM_FAILED', { message: `swtpm_setup failed: ${said || (cause as Error).message}`, cause })
  }
}

/** Whoever has the keys can certify endorsement keys that no TPM holds; this authority's work is done. */
async function forgetKeys(ca: string): Promise<void> {
  for (const name of await readdir(ca)) if (!CA_CERTIFICATES.includes(name)) await rm(join(ca, name))
  for (const name of CA_CERTIFICATES) await syncPath(join(ca, name))
  await syncPath(ca)
}

async function renameOnto(making: string, target: string): Promise<void> {
  try {
    await rename(making, target)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') throw stateExists(target)
    throw cause
  }
}

function stateExists(target: string): TpmError {
  return new TpmError('STATE_EXISTS', {
    message: `${target} is in use: a new TPM would replace what is there.`,
    hint: 'Use another folder.',
  })
}

/** Removes what processes that are gone were making. */
async function removeAbandoned(target: string): Promise<void> {
  const prefix = `${basename(target)}.making-`
  for (const name of await readdir(dirname(target))) {
    if (!name.startsWith(prefix)) continue
    if (!isRunning(Number(name.slice(prefix.length))))
      await rm(join(dirname(target), name), { recursive: true, force: true })
  }
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
