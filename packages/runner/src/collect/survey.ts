/** What lies in a home, and who needs it. */
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { onDiskBytes, type BlobStore } from '../blobs/index.ts'
import { isTemporaryName } from '../durable.ts'
import { systemCode } from '../error.ts'
import { runnerFolders } from '../home.ts'
import { mapLimited } from '../parallel.ts'
import type { LivePins } from '../blobs/index.ts'
import type { KnownRun } from './runs.ts'

/** Who needs a blob; of several, the first one here. `pinned`: a command that is at work. */
export type BlobUse =
  | { readonly kind: 'input' }
  | { readonly kind: 'output' }
  | { readonly kind: 'snapshot'; readonly run: string }
  | { readonly kind: 'pinned' }

/** All that is needed, by digest; a blob of several snapshots counts for the newest run. */
export function neededBlobs(runs: readonly KnownRun[], pins: readonly LivePins[]): ReadonlyMap<string, BlobUse> {
  const needed = new Map<string, BlobUse>()
  const need = (digests: readonly string[], use: BlobUse): void => {
    for (const digest of digests) if (!needed.has(digest)) needed.set(digest, use)
  }
  for (const { inputs } of runs) need(inputs, { kind: 'input' })
  for (const { outputs } of runs) need(outputs, { kind: 'output' })
  for (const { run, snapshots } of runs) for (const { blobs } of snapshots) need(blobs, { kind: 'snapshot', run })
  for (const { pins: some } of pins)
    need(
      some.map(({ sha256 }) => sha256),
      { kind: 'pinned' },
    )
  return needed
}

export interface StoredFile {
  readonly path: string
  readonly storedBytes: number
}

export interface TemporaryFile extends StoredFile {
  readonly writtenAtMs: number
}

export interface StoredBlob extends StoredFile {
  readonly sha256: string
  readonly lengthBytes: number
}

const LOOKS_AT_ONCE = 16

/** Every blob of the store. */
export async function storedBlobs(home: string, store: BlobStore): Promise<readonly StoredBlob[]> {
  const entries = await filesBelow(runnerFolders(home).blobs)
  const digests = new Set(entries.flatMap((path) => digestOf(path)))
  const found = await mapLimited([...digests], LOOKS_AT_ONCE, async (sha256) => {
    const kept = await store.find(sha256)
    return kept === undefined ? [] : [{ sha256, ...kept }]
  })
  return found.flat()
}

function digestOf(path: string): readonly string[] {
  const [, folder, name] = /\/([0-9a-f]{2})\/([0-9a-f]{62})(?:\.zst)?$/.exec(path) ?? []
  return folder === undefined || name === undefined ? [] : [folder + name]
}

/** What writers began and did not end, whether or not they still live. */
export async function temporaryFiles(home: string): Promise<readonly TemporaryFile[]> {
  const { blobs, runs, cache } = runnerFolders(home)
  const isTemporary = (path: string): boolean => isTemporaryName(basename(path))
  const paths = (await Promise.all([blobs, runs, cache].map(filesBelow))).flat().filter(isTemporary)
  const found = await mapLimited(paths, LOOKS_AT_ONCE, async (path) => {
    const facts = await stat(path).catch(() => undefined)
    return facts === undefined ? [] : [{ path, storedBytes: onDiskBytes(facts), writtenAtMs: facts.mtimeMs }]
  })
  return found.flat()
}

/** Of a folder and all below it. */
export async function sizeOf(folder: string): Promise<{ readonly files: number; readonly storedBytes: number }> {
  const paths = await filesBelow(folder)
  const sizes = await mapLimited(paths, LOOKS_AT_ONCE, async (path) => {
    const facts = await stat(path).catch(() => undefined)
    return facts === undefined ? 0 : onDiskBytes(facts)
  })
  return { files: paths.length, storedBytes: sizes.reduce((sum, bytes) => sum + bytes, 0) }
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  let entries: Dirent[]
  try {
    entries = await readdir(folder, { recursive: true, withFileTypes: true })
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
