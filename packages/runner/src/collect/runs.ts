/** The runs that a home knows, and which blobs each of them needs. */
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { blobsOf, decodeManifestBytes, manifestBlobs, type Snapshot } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError, systemCode } from '../error.ts'
import { logsOf } from '../host/index.ts'
import { isLocked, keptSnapshots, readRun, resumePoint, type JournalRun } from '../journal/index.ts'

/**
 * `running`: a process writes its journal. `resumable`: it was cut off or interrupted and can be gone on with. `ended`: it
 * came to its end. `lost`: it did not, and cannot be gone on with.
 */
export type RunState = 'running' | 'resumable' | 'ended' | 'lost'

export interface KnownRun {
  readonly run: string
  readonly state: RunState
  /** When its journal was written to last, in milliseconds since 1970. */
  readonly writtenAtMs: number
  readonly journalBytes: number
  /** Digests of program, inputs and logs of hosts, of outputs, and by snapshot its manifest and all that this names. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly snapshots: readonly KnownSnapshot[]
}

export interface KnownSnapshot extends Snapshot {
  /** Its manifest among them; only that when the manifest is not there. */
  readonly blobs: readonly string[]
}

/** What was read before and has not changed since. */
export interface RunCache {
  readonly journals: Map<string, { readonly key: string; readonly run: JournalRun | undefined }>
  readonly manifests: Map<string, readonly string[]>
}

export function createRunCache(): RunCache {
  return { journals: new Map(), manifests: new Map() }
}

/**
 * Journals are read after the pins (see blobs/pins.ts): what a process has journalled it need not pin any longer.
 *
 * @throws RunnerError `JOURNAL_DAMAGED`: nobody knows what that run needs. `BLOB_CORRUPT` for a manifest.
 */
export async function readRuns(folder: string, store: BlobStore, cache: RunCache): Promise<readonly KnownRun[]> {
  const runs: KnownRun[] = []
  for (const name of await readdir(folder)) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue
    const known = await knownRun(join(folder, name), store, cache)
    if (known !== undefined) runs.push(known)
  }
  return runs.toSorted((a, b) => b.writtenAtMs - a.writtenAtMs)
}

/** Undefined when it is not there any more. */
async function knownRun(folder: string, store: BlobStore, cache: RunCache): Promise<KnownRun | undefined> {
  const path = join(folder, 'journal')
  try {
    const { size, mtimeMs } = await stat(path)
    const journal = await journalOf(path, `${size} ${mtimeMs}`, cache)
    const facts = { run: basename(folder), writtenAtMs: mtimeMs, journalBytes: size }
    if (journal === undefined) return { ...facts, ...NOTHING, state: (await isLocked(path)) ? 'running' : 'lost' }
    // Asked after the content was read: what has ended since, is taken for one that did not.
    const isRunning = journal.ended !== 'finished' && (await isLocked(path))
    const unsigned = journal.snapshots.filter(({ seq }) => seq > journal.signedSeq)
    // Whoever writes it may still sign those that are not signed.
    const snapshots = [...keptSnapshots(journal), ...(isRunning ? unsigned : [])]
    return {
      ...facts,
      state: stateOf(journal, isRunning),
      inputs: [...blobsOf({ computation: journal.computation, outcome: null }).keys(), ...logsOf(journal)],
      outputs: (journal.outcome?.outputs ?? []).map(({ sha256 }) => sha256),
      snapshots: await Promise.all(snapshots.map((snapshot) => knownSnapshot(snapshot, store, cache))),
    }
  } catch (error) {
    if (isGone(error)) return await withoutJournal(folder)
    if (!(error instanceof RunnerError) || error.code !== 'JOURNAL_DAMAGED') throw error
    throw new RunnerError('JOURNAL_DAMAGED', {
      message: `nobody knows what a run needs: ${path}: ${error.message}`,
      hint: `restore it from a copy, or delete its folder when that run is not wanted any more`,
      cause: error,
    })
  }
}

const NOTHING = { inputs: [], outputs: [], snapshots: [] } as const

const isGone = (error: unknown): boolean =>
  systemCode(error) === 'ENOENT' || (error instanceof RunnerError && error.code === 'INPUT_MISSING')

/** A kill may leave a folder before there is a journal, or when that was deleted. */
async function withoutJournal(folder: string): Promise<KnownRun | undefined> {
  try {
    const { mtimeMs } = await stat(folder)
    return { run: basename(folder), state: 'lost', writtenAtMs: mtimeMs, journalBytes: 0, ...NOTHING }
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** Whether a process has the journal of a run. */
export async function isWritten(folder: string, { run }: KnownRun): Promise<boolean> {
  return await isLocked(join(folder, run, 'journal')).catch((error: unknown) => {
    if (isGone(error)) return false
    throw error
  })
}

async function journalOf(path: string, key: string, { journals }: RunCache): Promise<JournalRun | undefined> {
  const cached = journals.get(path)
  if (cached?.key === key) return cached.run
  // Undefined for one that was cut off before its first line was on disk.
  const { run } = await readRun(path)
  journals.set(path, { key, run })
  return run
}

function stateOf(run: JournalRun, isRunning: boolean): RunState {
  if (isRunning) return 'running'
  if (run.ended === 'finished') return 'ended'
  return resumePoint(run) === undefined ? 'lost' : 'resumable'
}

async function knownSnapshot(snapshot: Snapshot, store: BlobStore, { manifests }: RunCache): Promise<KnownSnapshot> {
  const { manifest } = snapshot
  const blobs = manifests.get(manifest) ?? (await blobsOfManifest(manifest, store))
  if (blobs !== undefined) manifests.set(manifest, blobs)
  return { ...snapshot, blobs: [manifest, ...(blobs ?? [])] }
}

/** Undefined when it is not there. */
export async function blobsOfManifest(manifest: string, store: BlobStore): Promise<readonly string[] | undefined> {
  if ((await store.find(manifest)) === undefined) return undefined
  try {
    return manifestBlobs(decodeManifestBytes(await store.read(manifest))).map(({ sha256 }) => sha256)
  } catch (error) {
    // Somebody else may have collected it just now.
    if (error instanceof RunnerError && error.code === 'BLOB_MISSING') return undefined
    throw error
  }
}
