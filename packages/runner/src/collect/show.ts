/** How much of the disk a home takes, and for what. */
import { readPins, type BlobStore } from '../blobs/index.ts'
import { createHome } from '../home.ts'
import { createRunCache, readRuns, type RunState } from './runs.ts'
import { neededBlobs, sizeOf, storedBlobs, temporaryFiles, type StoredBlob } from './survey.ts'

export interface BlobSizes {
  readonly blobs: number
  readonly plainBytes: number
  /** What their files take on the disk. */
  readonly storedBytes: number
}

/** Each blob counts once: as an input, else as an output, else for the newest run whose snapshots need it. */
export interface StoreSizes {
  readonly inputs: BlobSizes
  readonly outputs: BlobSizes
  readonly snapshots: BlobSizes
  /** Of commands that are at work, and not yet named by a journal. */
  readonly inUse: BlobSizes
  readonly unneeded: BlobSizes
  /** The newest first. */
  readonly runs: readonly (BlobSizes & {
    readonly run: string
    readonly state: RunState
    /** ISO 8601, UTC. */
    readonly writtenAt: string
    readonly snapshots: number
  })[]
  readonly temporaries: { readonly files: number; readonly storedBytes: number }
  readonly cache: { readonly files: number; readonly storedBytes: number }
  /** All of it. */
  readonly storedBytes: number
}

/** @throws RunnerError `JOURNAL_DAMAGED`, `BLOB_CORRUPT` for the manifest of a snapshot. */
export async function storeSizes(home: string, store: BlobStore): Promise<StoreSizes> {
  const folders = createHome(home)
  // Without the lock: a picture that may be blurred, and keeps nobody waiting.
  const pins = await readPins(folders)
  const runs = await readRuns(folders.runs, store, createRunCache())
  const needed = neededBlobs(runs, pins)
  const blobs = await storedBlobs(home, store)
  const groups = Map.groupBy(blobs, ({ sha256 }) => needed.get(sha256)?.kind)
  const snapshots = groups.get('snapshot') ?? []
  const byRun = Map.groupBy(snapshots, ({ sha256 }) => {
    const use = needed.get(sha256)
    return use?.kind === 'snapshot' ? use.run : ''
  })
  const there = new Set(blobs.map(({ sha256 }) => sha256))
  const temporaries = await temporaryFiles(home)
  const [cache, all] = await Promise.all([sizeOf(folders.cache), sizeOf(folders.blobs)])
  const journalBytes = runs.reduce((sum, run) => sum + run.journalBytes, 0)
  return {
    inputs: sizesOf(groups.get('input')),
    outputs: sizesOf(groups.get('output')),
    snapshots: sizesOf(snapshots),
    inUse: sizesOf(groups.get('pinned')),
    unneeded: sizesOf(groups.get(undefined)),
    runs: runs.map((known) => ({
      run: known.run,
      state: known.state,
      writtenAt: new Date(known.writtenAtMs).toISOString(),
      snapshots: known.snapshots.filter(({ manifest }) => there.has(manifest)).length,
      ...sizesOf(byRun.get(known.run)),
    })),
    temporaries: {
      files: temporaries.length,
      storedBytes: temporaries.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    },
    cache,
    storedBytes: all.storedBytes + cache.storedBytes + journalBytes,
  }
}

function sizesOf(blobs: readonly StoredBlob[] = []): BlobSizes {
  return {
    blobs: blobs.length,
    plainBytes: blobs.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
    storedBytes: blobs.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
  }
}
