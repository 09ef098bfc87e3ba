/** What `reprise runtime gc` deletes: older builds, what was begun and not ended, and what building left behind. */
import { lstat, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isTemporaryName } from '../durable.ts'
import { systemCode } from '../error.ts'
import { runnerFolders } from '../home.ts'
import { buildFolders } from './folders.ts'
import { withLock } from './lock.ts'
import { listRuntimes, type DamagedRuntime, type InstalledRuntime } from './store.ts'

export interface RuntimeCollection {
  /** Another one of the same name is better. */
  readonly older: readonly InstalledRuntime[]
  readonly damaged: readonly DamagedRuntime[]
  /** Folders of builds, fetched sources, and what a kill left. */
  readonly leftovers: readonly string[]
  readonly storedBytes: number
}

/** A runtime is put together in minutes. */
const ABANDONED_AFTER_MS = 24 * 3600 * 1000

/**
 * @param keepBuilds - Leaves sources and the folders of builds, from which an interrupted or a dependent build goes on.
 * @param nowMs - Since 1970.
 */
export async function planRuntimeCollection(
  home: string,
  { keepBuilds, nowMs }: { readonly keepBuilds: boolean; readonly nowMs: number },
): Promise<RuntimeCollection> {
  const { runtimes, damaged } = await listRuntimes(home)
  const older = runtimes.filter(({ manifest }, i) => runtimes[i - 1]?.manifest.name === manifest.name)
  const leftovers = [...(await abandoned(home, nowMs)), ...(keepBuilds ? [] : await buildLeftovers(home))]
  const folders = [...older.map(({ folder }) => folder), ...damaged.map(({ folder }) => folder), ...leftovers]
  const sizes = await Promise.all(folders.map(storedBytesOf))
  return { older, damaged, leftovers, storedBytes: sizes.reduce((sum, size) => sum + size, 0) }
}

/** Deletes it; a folder in which a build is at work stays. */
export async function collectRuntimes(
  home: string,
  options: { readonly keepBuilds: boolean; readonly nowMs: number },
): Promise<RuntimeCollection> {
  const plan = await planRuntimeCollection(home, options)
  for (const folder of [...plan.older, ...plan.damaged].map((each) => each.folder)) await remove(folder)
  const { builds } = buildFolders(home)
  for (const folder of plan.leftovers) {
    if (folder.startsWith(builds)) await withLock(folder, () => remove(folder))
    else await remove(folder)
  }
  return plan
}

async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
}

async function abandoned(home: string, nowMs: number): Promise<readonly string[]> {
  const root = runnerFolders(home).runtimes
  const old = await Promise.all(
    (await namesIn(root)).filter(isTemporaryName).map(async (name) => {
      const path = join(root, name)
      return nowMs - (await lstat(path)).mtimeMs > ABANDONED_AFTER_MS ? [path] : []
    }),
  )
  return old.flat()
}

async function buildLeftovers(home: string): Promise<readonly string[]> {
  const { builds, sources } = buildFolders(home)
  const folders = (await namesIn(builds)).map((name) => join(builds, name))
  return (await namesIn(sources)).length > 0 ? [...folders, sources] : folders
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  })
}

async function storedBytesOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  let bytes = 0
  for (const entry of entries)
    if (entry.isFile())
      bytes += await lstat(join(entry.parentPath, entry.name)).then(
        (found) => found.blocks * 512,
        () => 0,
      )
  return bytes
}
