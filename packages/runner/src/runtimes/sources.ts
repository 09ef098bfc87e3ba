/**
 * Source archives of Debian packages, by pinned digest: from a folder, from the cache, or from the pool of the machine's
 * mirrors. apt's own downloader takes them, with its proxies and settings; nothing of apt's state is read or changed, and no
 * package lists are needed, because the digest stands in the recipe.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { copyWithDigest, digestFile, temporaryName } from '../durable.ts'
import { RunnerError, systemCode, writeFailure } from '../error.ts'
import type { Recipe } from './recipe.ts'
import type { SourceFile } from './manifest.ts'

const APT_HELPER = '/usr/lib/apt/apt-helper'
/** Asked last: what every Debian machine may ask. */
const DEBIAN = 'http://deb.debian.org/debian'
const MIRRORS_MAX = 16

export interface SourcesRequest {
  readonly recipe: Recipe
  /** Where they are kept, by digest. */
  readonly cache: string
  /** A folder of the user's that may have them, under any name that the recipe gives. */
  readonly given: string | undefined
  /** Gets links to all of them. */
  readonly target: string
  readonly signal: AbortSignal
  readonly onStep: (step: string) => void
}

/** @throws RunnerError `RUNTIME_SOURCES` naming file, digest and what to do; `WRITE`, `DISK_FULL`. */
export async function fetchSources(request: SourcesRequest): Promise<void> {
  const { recipe, cache, target, signal } = request
  try {
    await mkdir(cache, { recursive: true, mode: 0o700 })
    await rm(target, { recursive: true, force: true })
    await mkdir(target)
  } catch (error) {
    throw writeFailure(error, target, 'the sources')
  }
  let mirrors: readonly string[] | undefined
  for (const source of recipe.sources) {
    for (const file of source.files) {
      signal.throwIfAborted()
      const kept = join(cache, `${file.sha256}-${file.name}`)
      if (!(await isThere(kept, file)) && !(await takeGiven(request, file, kept))) {
        mirrors ??= await mirrorsOf(signal)
        request.onStep(`fetching ${file.name}`)
        await fetchFile({ file, kept, mirrors, pool: poolPath(source.package, file.name), signal })
      }
      await symlink(resolve(kept), join(target, file.name))
    }
  }
}

/** Debian's pool has folders by first letter, of libraries by the first four. */
export function poolPath(source: string, file: string): string {
  const prefix = source.startsWith('lib') ? source.slice(0, 4) : source[0]
  return `pool/main/${prefix}/${source}/${file}`
}

async function isThere(path: string, { bytes, sha256 }: SourceFile): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() === true && found.size === bytes && (await digestFile(path)).sha256 === sha256
}

async function takeGiven({ given }: SourcesRequest, file: SourceFile, kept: string): Promise<boolean> {
  if (given === undefined) return false
  const path = join(given, file.name)
  const found = await stat(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (found === undefined) return false
  const temporary = temporaryName(join(kept, '..'))
  const copied = await copyWithDigest({ source: path, target: temporary, mode: 0o444 }).catch((error: unknown) => {
    throw writeFailure(error, kept, 'a source')
  })
  if (copied.sha256 !== file.sha256) {
    await rm(temporary, { force: true })
    throw wrongDigest(path, file, copied.sha256)
  }
  await rename(temporary, kept)
  return true
}

function wrongDigest(where: string, { name, sha256 }: SourceFile, found: string): RunnerError {
  return new RunnerError('RUNTIME_SOURCES', {
    message: `${where} is not the ${name} of the recipe: its sha256 is ${found}, the recipe says ${sha256}`,
    hint: 'nothing was built; a changed source is either damaged or not what was reviewed',
    data: { name, expected: sha256, actual: found },
  })
}

interface Download {
  readonly file: SourceFile
  readonly kept: string
  readonly mirrors: readonly string[]
  readonly pool: string
  readonly signal: AbortSignal
}

async function fetchFile({ file, kept, mirrors, pool, signal }: Download): Promise<void> {
  // One name for each: what an interrupted download left is gone on with.
  const partial = `${kept}.part`
  const failures: string[] = []
  for (const mirror of mirrors) {
    const url = `${mirror.replace(/\/+$/, '')}/${pool}`
    const { code, output } = await run(
      APT_HELPER,
      ['-q', '-o', 'APT::Sandbox::User=', 'download-file', url, partial],
      signal,
    )
    signal.throwIfAborted()
    const found = await stat(partial).catch(() => undefined)
    if (code !== 0 || found === undefined) {
      const reason = output.split('\n').find((line) => line.startsWith('E:')) ?? `apt-helper ended with ${code}`
      failures.push(`  ${url}: ${reason.trim()}`)
      continue
    }
    const { sha256 } = await digestFile(partial)
    if (sha256 === file.sha256) return await rename(partial, kept)
    await rm(partial, { force: true })
    failures.push(`  ${url}: sha256 ${sha256}, and the recipe says ${file.sha256}`)
  }
  throw new RunnerError('RUNTIME_SOURCES', {
    message: `${file.name} could not be had:\n${failures.join('\n')}`,
    hint: `get a file with sha256 ${file.sha256} and name its folder: --sources FOLDER`,
    data: { name: file.name, sha256: file.sha256 },
  })
}

/** Where this machine gets its own packages from, then Debian's own address. */
async function mirrorsOf(signal: AbortSignal): Promise<readonly string[]> {
  const { code, output } = await run(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'],
    signal,
  )
  const own = code === 0 ? output.split('\n').filter((line) => /^https?:\/\/\S+\/debian\S*$/.test(line)) : []
  return [...new Set([...own.map((uri) => uri.replace(/\/+$/, '')), DEBIAN])].slice(0, MIRRORS_MAX)
}

async function run(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      if (output.length < 1 << 20) output += text
    })
  }
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, output }
  } catch (error) {
    signal.throwIfAborted()
    if (systemCode(error) !== 'ENOENT') throw error
    throw new RunnerError('RUNTIME_SOURCES', {
      message: `${program} is not here: sources can only be fetched on a Debian-like machine`,
      hint: 'get the files that the recipe names and give their folder: --sources FOLDER',
    })
  }
}
