/** What a host measures of itself: the files of the engine, Node, the kernel, the CPU. Format: spec/host.md §2. */
import { createHash, hash, randomBytes } from 'node:crypto'
import { createReadStream, globSync, readdirSync, readFileSync, statSync, type Stats } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { arch, cpus, platform, release } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareText, engineDigest, type EngineFile, type OwnMeasurement } from '@reprise/core'
import { sha256 } from '../hashing.ts'
import { readBootId } from '../power/boot-id.ts'

export interface MeasureOptions {
  /** Versions of Reprise and of its rewriter. */
  readonly reprise: string
  readonly rewriter: string
  /** Where digests of files are kept, which take a while to make. */
  readonly cacheFolder: string
}

export async function measureHost({
  reprise,
  rewriter,
  cacheFolder,
}: MeasureOptions): Promise<readonly OwnMeasurement[]> {
  const [node, files, bootId, features] = await Promise.all([
    nodeDigest(cacheFolder),
    engineFiles(cacheFolder),
    readBootId(),
    cpuFeatures(),
  ])
  return [
    {
      kind: 'host',
      architecture: arch(),
      bootId,
      cpu: { features, model: cpus()[0]?.model ?? 'unknown' },
      kernel: release(),
      platform: platform(),
    },
    { kind: 'engine', ...files, sha256: engineDigest(files.files, sha256), version: reprise },
    { kind: 'node', sha256: node, v8: process.versions.v8, version: process.versions.node },
    { kind: 'rewriter', version: rewriter },
  ]
}

const SOURCES = ['packages/*/src/**/*.ts', 'packages/*/package.json', 'package-lock.json', 'tsconfig.base.json']

interface EngineFiles {
  readonly form: 'bundle' | 'source'
  readonly files: readonly EngineFile[]
}

/**
 * All that a build consists of, or the sources with the lockfile that names what they use.
 *
 * @param here - This file, as its own address.
 */
export async function engineFiles(cacheFolder: string, here = fileURLToPath(import.meta.url)): Promise<EngineFiles> {
  const form = here.endsWith('.ts') ? 'source' : 'bundle'
  // packages/host/src/environment/measure-host.ts; a build is one folder.
  const root = form === 'source' ? join(dirname(here), '../../../..') : dirname(here)
  const names = namesOf(form, root).toSorted(compareText)
  // At once: a hundred small files one after the other, each by way of other threads, take longer than a small program runs.
  const stats = names.map((name) => statSync(join(root, name)))
  const text = await digestsOnce(
    { cached: join(cacheFolder, `${form}.sha256`), key: [root, ...names.map((name, i) => sameness(name, stats[i]))] },
    async () => names.map((name) => hash('sha256', readFileSync(join(root, name)))).join(' '),
  )
  const digests = text.split(' ')
  return { form, files: names.map((name, i) => ({ name, sha256: digests[i] })) }
}

function namesOf(form: 'bundle' | 'source', root: string): readonly string[] {
  // Without a pattern, for which Node loads as much as all else that a run needs.
  if (form === 'bundle') return readdirSync(root).filter((name) => name.endsWith('.js'))
  return globSync(SOURCES, { cwd: root }).filter((name) => !name.endsWith('.test.ts'))
}

async function nodeDigest(cacheFolder: string): Promise<string> {
  const path = process.execPath
  const key = [sameness(path, await stat(path))]
  return await digestsOnce({ cached: join(cacheFolder, 'node.sha256'), key }, async () => {
    const hashing = createHash('sha256')
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hashing.update(chunk as Uint8Array)
    return hashing.digest('hex')
  })
}

function sameness(name: string, { dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [name, dev, ino, size, mtimeMs, ctimeMs].join(' ')
}

/**
 * A file with the same place, size and times is taken for the same file: what is measured here is the host's own word anyway.
 *
 * @param key - What says that the files are the same.
 * @param make - Their digests, with spaces between.
 */
async function digestsOnce(
  { cached, key }: { readonly cached: string; readonly key: readonly string[] },
  make: () => Promise<string>,
): Promise<string> {
  const wanted = key.join('\n')
  const known = await readFile(cached, 'utf8').catch(() => '')
  const lineEnd = known.indexOf('\n')
  const digests = known.slice(0, lineEnd)
  if (known.slice(lineEnd + 1) === wanted && /^[0-9a-f]{64}(?: [0-9a-f]{64})*$/.test(digests)) return digests
  const made = await make()
  await keep(cached, `${made}\n${wanted}`)
  return made
}

/** Without it the next run only hashes again, so nothing is synced and a failure is none. */
async function keep(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFile(temporary, text, { mode: 0o600 })
    await rename(temporary, path)
  } catch {
    // A full disk shows where something is lost by it.
  }
}

/** As Linux names them, of the first processor; none elsewhere. */
async function cpuFeatures(): Promise<readonly string[]> {
  const text = await readFile('/proc/cpuinfo', 'utf8').catch(() => '')
  const [, words = ''] = /^(?:flags|Features)\s*: (.*)$/m.exec(text) ?? []
  return words
    .split(' ')
    .filter((word) => word !== '')
    .toSorted()
}
