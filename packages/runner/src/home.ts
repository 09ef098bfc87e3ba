/** What a runner keeps below `$REPRISE_HOME`; where that is, and what a host keeps there, says `@reprise/host`. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeFailure } from './error.ts'

export interface RunnerFolders {
  /** Content-addressed files, see blobs/. */
  readonly blobs: string
  /** What processes at work rely on, one file each, see blobs/pins.ts. */
  readonly pins: string
  /** Held by whoever collects what nothing needs: one at a time. */
  readonly lock: string
  /** There while blobs are being deleted. */
  readonly collecting: string
  readonly runs: string
  /** Installed language runtimes, each in a folder named by its id: spec/runtime.md §2.3. */
  readonly runtimes: string
  /** May be deleted at any time. */
  readonly cache: string
}

export function runnerFolders(home: string): RunnerFolders {
  return {
    blobs: join(home, 'blobs', 'sha256'),
    pins: join(home, 'blobs', 'pins'),
    lock: join(home, 'blobs', 'lock'),
    collecting: join(home, 'blobs', 'collecting'),
    cache: join(home, 'cache'),
    runs: join(home, 'runs'),
    runtimes: join(home, 'runtimes'),
  }
}

/** Where rewritten modules are kept. */
export function moduleCache(home: string): string {
  return join(runnerFolders(home).cache, 'wasm')
}

/**
 * Makes the folders, for this user alone (0700).
 *
 * @throws RunnerError `WRITE` or `DISK_FULL`.
 */
export function createHome(home: string): RunnerFolders {
  const folders = runnerFolders(home)
  for (const folder of [folders.blobs, folders.pins, folders.runs, folders.cache]) {
    try {
      mkdirSync(folder, { mode: 0o700, recursive: true })
    } catch (error) {
      throw writeFailure(error, folder, 'state (REPRISE_HOME says where it is kept)')
    }
  }
  return folders
}
