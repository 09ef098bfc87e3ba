/** What a host measures of itself: the files of the engine, Node, the kernel, the CPU. Format: spec/host.md §2. */
import { createHash, hash } from 'node:crypto'
import { createReadStream, globSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { arch, cpus, platform, release } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compare, engineDigest, type EngineFile, type OwnMeasurement, utf8 } from '@reprise/core'
import { sha256 } from '../hashing.ts'
import { readBootId } from '../power/boot-id.ts'

export interface MeasureOptions {
  /** Versions of Reprise and of its rewriter. */
  readonly reprise: string
  readonly rewriter: string
  /** Where the digest of the Node binary is kept, which takes a while to make. */
  readonly cacheFolder: string
}

export async function measureHost({
  reprise,
  rewriter,
  cacheFolder,
}: MeasureOptions): Promise<readonly OwnMeasurement[]> {
  const [node, bootId, features] = await Promise.all([nodeDigest(cacheFolder), readBootId(), cpuFeatures()])
  const files = engineFiles()
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

/** All that a build consists of, or the sources with the lockfile that names what they use. */
function engineFiles(): { readonly form: 'bundle' | 'source'; readonly files: readonly EngineFile[] } {
  const here = fileURLToPath(import.meta.url)
  const form = here.endsWith('.ts') ? 'source' : 'bundle'
  // packages/host/src/environment/measure-host.ts; a build is one folder.
  const root = form === 'source' ? join(dirname(here), '../../../..') : dirname(here)
  const sorted = namesOf(form, root).toSorted((a, b) => compare(utf8(a), utf8(b)))
  // At once: a hundred small files one after the other, each by way of other threads, take longer than a small program runs.
  return { form, files: sorted.map((name) => ({ name, sha256: hash('sha256', readFileSync(join(root, name))) })) }
}

function namesOf(form: 'bundle' | 'source', root: string): readonly string[] {
  // Without a pattern, for which Node loads as much as all else that a run needs.
  if (form === 'bundle') return readdirSync(root).filter((name) => name.endsWith('.js'))
  return globSync(SOURCES, { cwd: root }).filter((name) => !name.endsWith('.test.ts'))
}

/** A file with the same place, size and times is taken for the same file: what is measured here is the host's own word anyway. */
async function nodeDigest(cacheFolder: string): Promise<string> {
  const path = process.execPath
  const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path)
  const key = [path, dev, ino, size, mtimeMs, ctimeMs].join('\n')
  const cached = join(cacheFolder, 'node.sha256')
  const known = await readFile(cached, 'utf8').catch(() => '')
  const [digest = '', ...rest] = known.split('\n')
  if (rest.join('\n') === key && /^[0-9a-f]{64}$/.test(digest)) return digest
  const hashing = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hashing.update(chunk as Uint8Array)
  const made = hashing.digest('hex')
  await keep(cached, `${made}\n${key}`)
  return made
}

/** Without it the next run only hashes again, so nothing is synced and a failure is none. */
async function keep(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}`
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
