/** The runtimes that are installed below `$REPRISE_HOME`: `runtimes/<id>/`. Format: spec/runtime.md §2.3 and §4. */
import { readFileSync, statSync } from 'node:fs'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { compareText, EvidenceError, type BlobRef } from '@reprise/core'
import { digestFile, isTemporaryName, syncFile, syncFolder, temporaryName, writeSynced } from '../durable.ts'
import { RunnerError, systemCode, writeFailure } from '../error.ts'
import { runnerFolders } from '../home.ts'
import {
  decodeRuntimeManifest,
  encodeRuntimeManifest,
  RUNTIME_MANIFEST_BYTES_MAX,
  runtimeId,
  type RuntimeManifest,
} from './manifest.ts'

export const MANIFEST_FILE = 'manifest.json'
export const MODULE_FILE = 'runtime.wasm'
export const LIBRARY_FILE = 'library.tar.gz'
export const LICENCES_FILE = 'licences.tar.gz'

export interface InstalledRuntime {
  readonly id: string
  readonly folder: string
  readonly manifest: RuntimeManifest
  /** Milliseconds since 1970. */
  readonly installedAtMs: number
}

/** What lies in the place of a runtime and is none. */
export interface DamagedRuntime {
  readonly id: string
  readonly folder: string
  readonly why: string
}

export interface RuntimesHere {
  /** The best of each name first: by name, then version, then time. */
  readonly runtimes: readonly InstalledRuntime[]
  readonly damaged: readonly DamagedRuntime[]
}

/** The files of a runtime besides its manifest, with what must be in them. */
export function runtimeParts({ module, library, licences }: RuntimeManifest): readonly (readonly [string, BlobRef])[] {
  return [
    [MODULE_FILE, module],
    ...(library === null ? [] : [[LIBRARY_FILE, library] as const]),
    [LICENCES_FILE, licences],
  ]
}

/** Reads manifests alone; what the other files hold, {@link verifyRuntime} says. */
export async function listRuntimes(home: string): Promise<RuntimesHere> {
  const root = runnerFolders(home).runtimes
  const names = await readdir(root).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  })
  const found = names.filter((name) => !isTemporaryName(name)).map((name) => readInstalled(join(root, name), name))
  return {
    runtimes: found.filter((each) => 'manifest' in each).toSorted(bestFirst),
    damaged: found.filter((each) => 'why' in each),
  }
}

function readInstalled(folder: string, id: string): InstalledRuntime | DamagedRuntime {
  try {
    const path = join(folder, MANIFEST_FILE)
    // At once: each way to another thread and back takes longer than a manifest does.
    const { mtimeMs, size } = statSync(path)
    if (size > RUNTIME_MANIFEST_BYTES_MAX) return { id, folder, why: 'its manifest is too long' }
    const bytes = new Uint8Array(readFileSync(path))
    if (runtimeId(bytes) !== id) return { id, folder, why: 'its manifest is that of another runtime' }
    return { id, folder, manifest: decodeRuntimeManifest(bytes), installedAtMs: mtimeMs }
  } catch (error) {
    if (error instanceof EvidenceError || systemCode(error) !== undefined)
      return { id, folder, why: (error as Error).message }
    throw error
  }
}

function bestFirst(a: InstalledRuntime, b: InstalledRuntime): number {
  return (
    compareText(a.manifest.name, b.manifest.name) ||
    compareVersions(b.manifest.version, a.manifest.version) ||
    b.installedAtMs - a.installedAtMs
  )
}

/** Number by number: 3.9 comes before 3.13. What compares in a language's way takes as long to load as ten runtimes to read. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.match(/\d+|\D+/g) ?? [])
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const [x, y] = [left.at(i) ?? '', right.at(i) ?? '']
    const difference = Number(x) - Number(y) || compareText(x, y)
    if (difference !== 0) return difference
  }
  return 0
}

/** Names a runtime by the beginning of its id, at least eight digits. */
export function isRuntimeId(word: string): boolean {
  return /^[0-9a-f]{8,64}$/.test(word)
}

/**
 * The runtime that a word means: a name, and then the best one, or the beginning of an id.
 *
 * @throws RunnerError `RUNTIME_UNKNOWN` when there is none, or two ids begin so.
 */
export async function findRuntime(home: string, word: string): Promise<InstalledRuntime> {
  const { runtimes } = await listRuntimes(home)
  const named = runtimes.find(({ manifest }) => manifest.name === word)
  const begun = isRuntimeId(word) ? runtimes.filter(({ id }) => id.startsWith(word)) : []
  const found = named ?? (begun.length === 1 ? begun[0] : undefined)
  if (found !== undefined) return found
  const names = [...new Set(runtimes.map(({ manifest }) => manifest.name))]
  throw new RunnerError('RUNTIME_UNKNOWN', {
    message:
      begun.length > 1
        ? `the ids of ${begun.length} runtimes begin with ${word}`
        : `no runtime ${JSON.stringify(word)} is installed here`,
    hint:
      begun.length > 1
        ? 'give more digits'
        : `${names.length === 0 ? 'none was built yet' : `there are: ${names.join(', ')}`}; build one with reprise runtime build ${isRuntimeId(word) ? 'NAME' : word}, or import it: reprise runtime import FILE`,
  })
}

/**
 * Installs a runtime whose parts lie in a folder of the same file system as the home, under their own names. The folder is
 * used up. Digests were checked, or made, by whoever calls.
 *
 * @throws RunnerError `WRITE`, `DISK_FULL`.
 */
export async function installRuntime(
  home: string,
  manifest: RuntimeManifest,
  folder: string,
): Promise<InstalledRuntime> {
  const bytes = encodeRuntimeManifest(manifest)
  const id = runtimeId(bytes)
  const root = runnerFolders(home).runtimes
  const target = join(root, id)
  try {
    await writeSynced(join(folder, MANIFEST_FILE), bytes)
    for (const [name] of runtimeParts(manifest)) await syncFile(join(folder, name))
    await syncFolder(folder)
    await rename(folder, target).catch(async (error: unknown) => {
      // The same runtime, by whoever was first; a damaged one makes place.
      if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
      const before = readInstalled(target, id)
      if ('manifest' in before && (await verifyRuntime(before)).length === 0)
        return await rm(folder, { recursive: true })
      await rename(target, temporaryName(root))
      await rename(folder, target)
    })
    await syncFolder(root)
  } catch (error) {
    throw writeFailure(error, target, 'the runtime')
  }
  return { id, folder: target, manifest, installedAtMs: (await stat(join(target, MANIFEST_FILE))).mtimeMs }
}

/** An empty folder in which a runtime is put together; what a kill leaves of it is taken away by {@link planRuntimeCollection}. */
export async function stagingFolder(home: string): Promise<string> {
  const folder = temporaryName(runnerFolders(home).runtimes)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw writeFailure(error, folder, 'the runtime')
  }
  return folder
}

/** What is wrong with the files of a runtime, one line each; nothing when all is as its manifest says. */
export async function verifyRuntime({ folder, manifest }: InstalledRuntime): Promise<readonly string[]> {
  const lines = await Promise.all(
    runtimeParts(manifest).map(async ([name, { lengthBytes, sha256 }]) => {
      const path = join(folder, name)
      try {
        const found = await digestFile(path)
        if (found.sha256 === sha256) return []
        return [
          `${path} has ${found.lengthBytes} bytes, sha256 ${found.sha256}; the manifest says ${lengthBytes}, ${sha256}`,
        ]
      } catch (error) {
        return [`${path} cannot be read: ${(error as Error).message}`]
      }
    }),
  )
  return lines.flat()
}
