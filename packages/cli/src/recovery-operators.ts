/** What the commands of operators share: keys and their passphrases, plans and statements in files. */
import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { hex } from '@reprise/core'
import { RecoveryError, type Plan } from '@reprise/recovery'
import {
  isEncryptedKey,
  KEY_BYTES_MAX,
  type PersonKey,
  readKey,
  readSignedPlan,
  SIGNED_PLAN_BYTES_MAX,
  type SignedPlan,
} from '@reprise/recovery/operators'
import { readFailure, RunnerError } from '@reprise/runner'
import { readPassphrase } from './authority-context.ts'
import { promptPassphrase } from './passphrase.ts'
import { readAtMost } from './read-at-most.ts'

export interface KeyOptions {
  readonly key?: string
  readonly passphraseFile?: string
}

/** @throws RecoveryError `KEY`; RunnerError for a file that cannot be read. */
export async function openKeyFile({ key, ...options }: KeyOptions & { readonly key: string }): Promise<PersonKey> {
  const pem = await readWhole(key, KEY_BYTES_MAX)
  const isTyped = isEncryptedKey(pem) && options.passphraseFile === undefined && process.stdin.isTTY
  const passphrase = isTyped ? await promptPassphrase(`passphrase of ${key}`) : await readPassphrase(options)
  return readKey(pem, key, isEncryptedKey(pem) ? passphrase : undefined)
}

/** As {@link readAtMost}, of what is a file. */
export async function readWhole(path: string, lengthBytesMax: number): Promise<Uint8Array> {
  try {
    if (!(await stat(path)).isFile())
      throw new RunnerError('INPUT_UNREADABLE', { message: `${path} is not a file`, hint: 'name a file' })
    return await readAtMost(path, lengthBytesMax)
  } catch (error) {
    throw error instanceof RunnerError ? error : readFailure(error, path)
  }
}

export async function readIfThere(path: string, lengthBytesMax: number): Promise<Uint8Array | undefined> {
  const isThere = await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  )
  return isThere ? await readWhole(path, lengthBytesMax) : undefined
}

/** Files of a folder with that ending, by name. */
export async function filesOf(folder: string, ending: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw readFailure(error, folder)
  })
  return names
    .filter((name) => name.endsWith(ending))
    .toSorted()
    .map((name) => join(folder, name))
}

/** @throws RecoveryError `SIGNED_PLAN` when too few signed it. */
export async function readSignedPlanFile(path: string): Promise<SignedPlan> {
  return naming(path, await readWhole(path, SIGNED_PLAN_BYTES_MAX), (content) => readSignedPlan(content))
}

/** Errors of the content with the name of the file before them. */
export async function naming<T>(
  path: string,
  content: Uint8Array,
  read: (content: Uint8Array) => T | Promise<T>,
): Promise<T> {
  try {
    return await read(content)
  } catch (error) {
    if (!(error instanceof RecoveryError)) throw error
    const { code, message, hint, data } = error
    throw new RecoveryError(code, {
      message: `${path}: ${message}`,
      data,
      cause: error,
      ...(hint !== undefined && { hint }),
    })
  }
}

/** The whole file or none, on disk. @param mode - 0600 for what is secret. */
export async function writeFileWhole(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const unfinished = join(dirname(path), `.${basename(path)}.unfinished-${process.pid}`)
  try {
    {
      await using file = await open(unfinished, 'wx', mode)
      await file.writeFile(content)
      await file.sync()
    }
    await rename(unfinished, path)
    await using folder = await open(dirname(path), 'r')
    await folder.sync()
  } catch (cause) {
    await rm(unfinished, { force: true }).catch(() => undefined)
    throw new RunnerError('WRITE', { message: `${path} cannot be written: ${(cause as Error).message}`, cause })
  }
}

/** @throws RunnerError `USAGE` when something is there already. */
export async function refuseExisting(path: string, hint: string): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  )
  if (isThere) throw new RunnerError('USAGE', { message: `${path} is there already`, hint })
}

/** Who can still sign, in words. */
export function signersWords(
  { needed, keys }: Plan['breakGlass'],
  signatures: readonly { readonly operator: string }[],
): string {
  const signed = signatures.map(({ operator }) => operator)
  const others = keys.map(({ name }) => name).filter((name) => !signed.includes(name))
  const missing = needed - signed.length
  const by = signed.length === 0 ? 'nobody' : signed.join(', ')
  return missing > 0
    ? `signed by ${by}: ${missing} more of ${others.join(', ')} must sign`
    : `signed by ${by}: enough, ${needed} of ${keys.length} are needed`
}

export function planWords({ plan, digest }: Pick<SignedPlan, 'plan' | 'digest'>): string {
  const text = hex(digest)
  return `${plan.fleet}   version ${plan.roster.version}   ${text.slice(0, 4)}…${text.slice(-4)}`
}
