/** Keeps of a run's snapshots the bytes that were asked for, and lets those of others go while it goes on. */
import type { Checkpoint, Snapshot } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { blobsOfManifest, collectAmong, createRunCache } from '../collect/index.ts'
import type { JournalRun, JournalWriter, KeepSnapshots } from '../journal/index.ts'
import type { Evidence } from './evidence.ts'

/** Letting go takes at most this share of the time, and happens at most once a second. */
const COST_FACTOR = 50
const INTERVAL_MS_MIN = 1000

type Named = Pick<Snapshot, 'manifest' | 'seq'>

export interface SnapshotKeeper {
  /** A new one is in the journal. @param position - Of its checkpoint. */
  note(snapshot: Snapshot, position: bigint): void
  /** Lets go what is due, behind the run. To be called now and then. */
  look(): void
  /** Lets go all but these, and waits for it. */
  end(kept: readonly Snapshot[]): Promise<void>
}

export interface KeeperOptions {
  readonly keep: KeepSnapshots
  readonly home: string
  readonly store: BlobStore
  readonly journal: JournalWriter
  /** What an earlier attempt has left, and where this one goes on. */
  readonly earlier:
    | { readonly run: Pick<JournalRun, 'signedSeq' | 'snapshots'>; readonly checkpoint: Pick<Checkpoint, 'position'> }
    | undefined
  readonly onTrouble: ((message: string) => void) | undefined
}

export function createSnapshotKeeper(options: KeeperOptions): SnapshotKeeper {
  const { keep, home, store, evidence, journal, earlier, onTrouble } = options
  const cache = createRunCache()
  /** Of which the bytes are there, or may be. */
  const held = new Set(earlier?.run.snapshots.filter(({ seq }) => seq <= earlier.run.signedSeq))
  let named = BigInt(earlier?.checkpoint.position ?? 0)
  let nextMs = 0
  let working: Promise<void> | undefined

  /** While the run goes on: those that were asked for, the newest one to go on from, and those that may still be signed. */
  const keptNow = (count: number): readonly Snapshot[] => {
    const { signedSeq } = evidence.state()
    const all = [...held]
    const signed = all.filter(({ seq }) => seq <= signedSeq)
    return [...signed.slice(-count), ...all.filter(({ seq }) => seq > signedSeq)]
  }

  const letGoAllBut = async (kept: readonly Snapshot[]): Promise<void> => {
    const manifests = new Set(kept.map(({ manifest }) => manifest))
    const dropped = [...held].filter(({ manifest }) => !manifests.has(manifest))
    if (dropped.length === 0) return
    const candidates = new Set<string>()
    for (const { manifest } of dropped) {
      for (const digest of [manifest, ...((await blobsOfManifest(manifest, store)) ?? [])]) candidates.add(digest)
    }
    const position = named
    // Only what is on disk there can be told from what nobody needs.
    await journal.sync()
    const isDone = await collectAmong({ home, store, candidates, named: position, cache })
    if (isDone) for (const snapshot of dropped) held.delete(snapshot)
  }

  const work = async (kept: readonly Snapshot[]): Promise<void> => {
    const startedMs = performance.now()
    await letGoAllBut(kept).catch((error: unknown) => {
      onTrouble?.(`snapshots that are not kept stay for now: ${(error as Error).message}`)
    })
    const nowMs = performance.now()
    nextMs = nowMs + Math.max(INTERVAL_MS_MIN, COST_FACTOR * (nowMs - startedMs))
  }

  return {
    note(snapshot, position) {
      if (keep !== 'all') held.add(snapshot)
      named = position
    },
    look() {
      if (keep === 'all' || working !== undefined || performance.now() < nextMs) return
      working = work(keptNow(keep === 'none' ? 1 : keep)).finally(() => (working = undefined))
    },
    async end(kept) {
      await working
      if (keep !== 'all') await work(kept)
    },
  }
}
