/**
 * Collecting what nothing needs, at any moment, beside whatever is at work: see blobs/pins.ts for why it takes nothing that
 * is. One at a time. What is deleted was needed by nothing before, so a collection that is killed leaves a good store.
 */
import { open, rm, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { COMPRESSED, readPins, storeBusy, type BlobStore, type LivePins } from '../blobs/index.ts'
import { writeFailure } from '../error.ts'
import { flock } from '@reprise/host/flock'
import { createHome, type RunnerFolders } from '../home.ts'
import { mapLimited } from '../parallel.ts'
import { createRunCache, isWritten, readRuns, type KnownRun, type RunCache } from './runs.ts'
import {
  neededBlobs,
  storedBlobs,
  temporaryFiles,
  type BlobUse,
  type StoredBlob,
  type TemporaryFile,
} from './survey.ts'

const DELETIONS_AT_ONCE = 16
const LOCK_SECONDS_MAX = 30
/** While others are at work, a temporary file may be one that they write. */
const ABANDONED_AFTER_MS = 24 * 3600 * 1000

/** Which runs that have come to their end are forgotten, and their blobs with them. Without either, none. */
export interface CollectionPolicy {
  /** All but so many, the newest ones. */
  readonly keepRuns?: number | undefined
  /** Those that ended before that, in milliseconds since 1970. */
  readonly endedBeforeMs?: number | undefined
}

export interface CollectionPlan {
  /** Runs to forget: they have ended, or cannot be gone on with. */
  readonly runs: readonly KnownRun[]
  readonly blobs: readonly StoredBlob[]
  readonly temporaries: readonly TemporaryFile[]
  /** What their files take on the disk. */
  readonly storedBytes: number
}

export interface CollectRequest {
  readonly home: string
  readonly store: BlobStore
  readonly policy: CollectionPolicy
  /** Milliseconds since 1970. */
  readonly nowMs: number
}

/** What a collection would delete now. */
export async function planCollection(request: CollectRequest): Promise<CollectionPlan> {
  return await locked(request.home, async (folders) =>
    planOf(await survey(request, folders, createRunCache()), request),
  )
}

/**
 * Deletes what nothing needs.
 *
 * @returns What it has deleted.
 * @throws RunnerError `STORE_BUSY`, `JOURNAL_DAMAGED`, `BLOB_CORRUPT` for the manifest of a snapshot; nothing was deleted then.
 */
export async function collect(request: CollectRequest): Promise<CollectionPlan> {
  return await locked(request.home, async (folders) => {
    const cache = createRunCache()
    const before = await survey(request, folders, cache)
    return await marked(folders, async () => {
      // Whoever began since the first look is seen now, or waits. What it takes long to list is listed already.
      const needs = await needsOf(request, folders, cache)
      const plan = planOf({ ...before, ...needs }, request)
      // First what names blobs, then the blobs: nothing that is still named ever misses any.
      await mapLimited(plan.runs, DELETIONS_AT_ONCE, ({ run }) =>
        rm(join(folders.runs, run), { force: true, recursive: true }),
      )
      await deleteBlobs(request.store, plan.blobs)
      await mapLimited(plan.temporaries, DELETIONS_AT_ONCE, ({ path }) => rm(path, { force: true }))
      return plan
    })
  })
}

/**
 * Deletes of these blobs those that nothing needs.
 *
 * @param request.named - What this process has pinned for a position up to this one, its journal names by now.
 * @returns False when somebody else collects: to be tried again.
 */
export async function collectAmong(request: {
  readonly home: string
  readonly store: BlobStore
  readonly candidates: ReadonlySet<string>
  readonly named: bigint
  readonly cache: RunCache
}): Promise<boolean> {
  const { home, store, candidates, named, cache } = request
  const folders = createHome(home)
  const lock = await tryLock(folders, 0)
  if (lock === undefined) return false
  try {
    await marked(folders, async () => {
      const others = (await readPins(folders)).map((live) =>
        live.isOwn ? { ...live, pins: live.pins.filter(({ tag }) => tag === undefined || tag > named) } : live,
      )
      const needed = neededBlobs(await readRuns(folders.runs, store, cache), others)
      const unneeded = [...candidates].filter((sha256) => !needed.has(sha256))
      await deleteBlobs(
        store,
        unneeded.map((sha256) => ({ sha256 })),
      )
    })
    return true
  } finally {
    await lock.close()
  }
}

interface Needs {
  readonly pins: readonly LivePins[]
  readonly forgotten: readonly KnownRun[]
  readonly needed: ReadonlyMap<string, BlobUse>
}

interface Survey extends Needs {
  readonly blobs: readonly StoredBlob[]
  readonly temporaries: readonly TemporaryFile[]
}

async function survey(request: CollectRequest, folders: RunnerFolders, cache: RunCache): Promise<Survey> {
  const [needs, blobs, temporaries] = [
    await needsOf(request, folders, cache),
    await storedBlobs(request.home, request.store),
    await temporaryFiles(request.home),
  ]
  return { ...needs, blobs, temporaries }
}

async function needsOf(request: CollectRequest, folders: RunnerFolders, cache: RunCache): Promise<Needs> {
  const pins = await readPins(folders)
  const runs = await readRuns(folders.runs, request.store, cache)
  const forgotten: KnownRun[] = []
  // One that has ended may still be writing its record.
  for (const run of forgettable(runs, pins, request)) if (!(await isWritten(folders.runs, run))) forgotten.push(run)
  const others = runs.filter((run) => !forgotten.includes(run))
  return { pins, forgotten, needed: neededBlobs(others, pins) }
}

function planOf({ pins, forgotten, needed, ...found }: Survey, { nowMs }: CollectRequest): CollectionPlan {
  const blobs = found.blobs.filter(({ sha256 }) => !needed.has(sha256))
  const temporaries = found.temporaries.filter(({ writtenAtMs }) => isAbandoned(writtenAtMs, pins, nowMs))
  const journalBytes = forgotten.reduce((sum, run) => sum + run.journalBytes, 0)
  const storedBytes = [...blobs, ...temporaries].reduce((sum, file) => sum + file.storedBytes, journalBytes)
  return { runs: forgotten, blobs, temporaries, storedBytes }
}

/** @param runs - The newest first. */
function forgettable(
  runs: readonly KnownRun[],
  pins: readonly LivePins[],
  { policy: { keepRuns, endedBeforeMs }, nowMs }: CollectRequest,
): readonly KnownRun[] {
  const over = runs.filter(({ state }) => state === 'ended' || state === 'lost')
  // What was cut off before its first line was there names nothing.
  const empty = over.filter(({ inputs, writtenAtMs }) => inputs.length === 0 && isAbandoned(writtenAtMs, pins, nowMs))
  const named = over.filter(({ inputs }) => inputs.length > 0)
  const tooMany = keepRuns === undefined ? [] : named.slice(keepRuns)
  const tooOld = endedBeforeMs === undefined ? [] : named.filter(({ writtenAtMs }) => writtenAtMs < endedBeforeMs)
  return [...new Set([...empty, ...tooMany, ...tooOld])]
}

/** Whether what somebody has begun can be nobody's work any more: whoever is at work has pinned something before. */
function isAbandoned(writtenAtMs: number, pins: readonly LivePins[], nowMs: number): boolean {
  return pins.every(({ isOwn }) => isOwn) || nowMs - writtenAtMs > ABANDONED_AFTER_MS
}

async function deleteBlobs(store: BlobStore, blobs: readonly { readonly sha256: string }[]): Promise<void> {
  await mapLimited(blobs, DELETIONS_AT_ONCE, async ({ sha256 }) => {
    for (const path of [store.path(sha256), store.path(sha256) + COMPRESSED]) {
      await rm(path, { force: true }).catch((error: unknown) => {
        throw writeFailure(error, path, 'that it is gone')
      })
    }
  })
}

async function locked<T>(home: string, work: (folders: RunnerFolders) => Promise<T>): Promise<T> {
  const folders = createHome(home)
  const lock = await tryLock(folders, LOCK_SECONDS_MAX)
  if (lock === undefined) throw storeBusy()
  try {
    return await work(folders)
  } finally {
    await lock.close()
  }
}

async function tryLock({ lock }: RunnerFolders, waitSeconds: number): Promise<FileHandle | undefined> {
  const file = await open(lock, 'a', 0o600).catch((error: unknown) => {
    throw writeFailure(error, lock, 'the lock of the store')
  })
  if (await flock(file.fd, { mode: 'exclusive', waitSeconds })) return file
  await file.close()
  return undefined
}

/** With the mark up, nobody begins to rely on a blob. */
async function marked<T>({ collecting }: RunnerFolders, work: () => Promise<T>): Promise<T> {
  await writeFile(collecting, '')
  try {
    return await work()
  } finally {
    await rm(collecting, { force: true })
  }
}
