/**
 * What processes at work rely on, so that collecting beside them never takes it.
 *
 * Each process has a file below `blobs/pins` that it holds a shared flock(2) on; there it names a blob *before* it looks
 * whether the store has it. Whoever collects puts up a mark, *then* reads these files, and deletes what none of them
 * names. So of the two at least one sees the other: a process that sees the mark waits until that is gone. What a journal
 * names needs no pin; a file whose process is dead counts for nothing.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fstatSync, openSync, rmSync, writeSync } from 'node:fs'
import { open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'
import { RunnerError, systemCode, writeFailure } from '../error.ts'
import { flock } from '@reprise/host/flock'
import type { RunnerFolders } from '../home.ts'

/** Of a collection; it deletes some ten thousand files a second. */
const COLLECTION_SECONDS_MAX = 600
const LOCK_SECONDS_MAX = 30
/** Under which threads of a process find the name of their file. */
const FILE_NAME = 'reprise.pins'

/** What a process pins by a position of its run stays until a journal names a snapshot there; other pins as long as the process. */
export type PinTag = bigint | undefined

export interface Pins {
  /** Begins what the first pin waits for. */
  begin(): void
  /** To be called before anything rests on the blobs being there. Throws RunnerError `DISK_FULL` or `WRITE`. */
  pin(digests: readonly string[], tag: PinTag): Promise<void>
}

export function openPins(folders: Pick<RunnerFolders, 'pins' | 'lock' | 'collecting'>): Pins {
  // Now, not when the first one is pinned: the threads of this process that begin later are to find the name.
  const path = pinFile(folders.pins)
  const pinned = new Set<string>()
  let opened: Promise<number> | undefined
  return {
    begin() {
      opened ??= openFile(path)
      // Whoever pins sees it.
      opened.catch(() => {})
    },
    async pin(digests, tag) {
      const lines = digests.map((digest) => (tag === undefined ? digest : `${digest} ${tag}`))
      const added = tag === undefined ? lines.filter((line) => !pinned.has(line)) : lines
      if (added.length === 0) return
      const descriptor = await (opened ??= openFile(path))
      try {
        // The line feed before them ends a line that a full disk has cut.
        writeSync(descriptor, `\n${added.join('\n')}\n`)
      } catch (error) {
        throw writeFailure(error, folders.pins, 'what this command needs')
      }
      while (existsSync(folders.collecting)) await waitForCollection(folders)
      if (tag === undefined) for (const line of added) pinned.add(line)
    },
  }
}

/** Files to remove when this process ends by itself; those of a killed one stay until somebody collects. */
const own = new Set<string>()

/** The same in all threads of a process: they share what they lock. */
function pinFile(folder: string): string {
  const path = join(folder, fileName())
  own.add(path)
  return path
}

function fileName(): string {
  const known = getEnvironmentData(FILE_NAME)
  if (typeof known === 'string') return known
  const name = `${process.pid}-${randomBytes(8).toString('hex')}`
  setEnvironmentData(FILE_NAME, name)
  // In this thread alone: the others end before the process does.
  process.once('exit', () => {
    for (const path of own) rmSync(path, { force: true })
  })
  return name
}

/** The descriptor stays open until the process ends, and the lock with it. */
async function openFile(path: string): Promise<number> {
  for (;;) {
    const descriptor = await lockedFile(path).catch((error: unknown) => {
      throw new RunnerError('WRITE', {
        message: `${path} cannot be made and locked: ${(error as Error).message}`,
        hint: 'let this user write there, and install util-linux, which has flock',
        cause: error,
      })
    })
    if (descriptor !== undefined) return descriptor
  }
}

/** Undefined when somebody took it for the file of a dead process, between the making and the locking, and removed it. */
async function lockedFile(path: string): Promise<number | undefined> {
  const descriptor = openSync(path, 'a', 0o600)
  const isOurs = await flock(descriptor, { mode: 'shared', waitSeconds: LOCK_SECONDS_MAX })
  if (isOurs && fstatSync(descriptor).nlink > 0) return descriptor
  closeSync(descriptor)
  return undefined
}

async function waitForCollection({ lock, collecting }: Pick<RunnerFolders, 'lock' | 'collecting'>): Promise<void> {
  const file = await open(lock, 'a', 0o600)
  try {
    if (!(await flock(file.fd, { mode: 'shared', waitSeconds: COLLECTION_SECONDS_MAX }))) throw storeBusy()
    // Nobody collects while this is held: whoever put the mark up was killed.
    await rm(collecting, { force: true })
  } finally {
    await file.close()
  }
}

export function storeBusy(): RunnerError {
  return new RunnerError('STORE_BUSY', {
    message: 'another process collects what nothing needs, and does not end',
    hint: 'wait until that has ended, or stop it: reprise store gc',
  })
}

/** One pinned blob, and by which position of the run. */
export interface Pin {
  readonly sha256: string
  readonly tag: PinTag
}

export interface LivePins {
  readonly isOwn: boolean
  readonly pins: readonly Pin[]
}

/** What every living process has pinned; the files of dead ones are removed. To be asked by whoever holds the lock. */
export async function readPins({ pins: folder }: Pick<RunnerFolders, 'pins'>): Promise<readonly LivePins[]> {
  const live: LivePins[] = []
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const isOwn = name === getEnvironmentData(FILE_NAME)
    if (!isOwn && (await removeDead(path))) continue
    const text = await readFile(path, 'latin1').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return ''
      throw error
    })
    live.push({ isOwn, pins: text.split('\n').flatMap(pinOf) })
  }
  return live
}

function pinOf(line: string): readonly Pin[] {
  const [, sha256, position] = /^([0-9a-f]{64})(?: (\d{1,20}))?$/.exec(line) ?? []
  return sha256 === undefined ? [] : [{ sha256, tag: position === undefined ? undefined : BigInt(position) }]
}

async function removeDead(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return true
  try {
    if (!(await flock(file.fd, { mode: 'exclusive', waitSeconds: 0 }))) return false
    await rm(path, { force: true })
    return true
  } finally {
    await file.close()
  }
}
