/** What the commands of an authority share: its folder, its passphrase, its policy, and files of messages. */
import { type Authority, nodeWorld, openAuthority, type Policy, readEkRoot } from '@reprise/host/authority'
import { repriseHome } from '@reprise/host'
import { readFailure, RunnerError } from '@reprise/runner'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface AuthorityOptions {
  readonly home?: string
  readonly passphraseFile?: string
  readonly approve?: Policy['approve']
  readonly minTier?: Policy['minTier']
  readonly names?: string
  readonly sameEk?: Policy['sameEk']
  readonly certificateDays?: number
  readonly challengeSeconds?: number
  readonly ekRoot?: readonly string[]
  readonly json?: boolean
}

export function authorityHome({ home }: AuthorityOptions): string {
  return home ?? join(repriseHome(), 'authority')
}

/** The first line of the file. */
export async function readPassphrase({ passphraseFile }: AuthorityOptions): Promise<string | undefined> {
  if (passphraseFile === undefined) return undefined
  const [line = ''] = (await readInput(passphraseFile)).toString().split('\n')
  if (line !== '') return line
  throw new RunnerError('USAGE', { message: `${passphraseFile} begins with an empty line: that is no passphrase` })
}

export async function openItsAuthority(options: AuthorityOptions): Promise<Authority> {
  const passphrase = await readPassphrase(options)
  const home = authorityHome(options)
  return await openAuthority({ home, ...(passphrase !== undefined && { passphrase }), world: nodeWorld })
}

/** What is given of a policy, and nothing else. */
export async function readPolicy(options: AuthorityOptions): Promise<Partial<Policy>> {
  const { approve, minTier, names, sameEk, certificateDays, challengeSeconds, ekRoot } = options
  const given = { approve, minTier, names, sameEk, certificateDays, challengeSeconds }
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ...(ekRoot !== undefined && { ekRoots: await Promise.all(ekRoot.map(readEkRoot)) }),
  }
}

export async function readInput(path: string): Promise<Buffer> {
  return await readFile(path).catch((error: unknown) => {
    throw readFailure(error, path)
  })
}

/** The whole file or none. */
export async function writeOutput(path: string, content: string | Uint8Array): Promise<void> {
  const unfinished = `${path}.unfinished-${process.pid}`
  try {
    await writeFile(unfinished, content, { flush: true })
    await rename(unfinished, path)
  } catch (cause) {
    throw new RunnerError('WRITE', { message: `${path} cannot be written: ${(cause as Error).message}`, cause })
  }
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function sayJson(answer: object): void {
  say(JSON.stringify(answer))
}
