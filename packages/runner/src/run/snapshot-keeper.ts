/** Keeps of a run's snapshots the bytes that were asked for, and lets those of others go while it goes on. */
import { CHECKPOINT_FINAL, type Snapshot } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { blobsOfManifest, collectAmong, createRunCache } from '../collect/index.ts'
import type { JournalWriter, KeepSnapshots } from '../journal/index.ts'
import type { Evidence } from './evidence.ts'

/** Letting go takes at most this share of the time, and happens at most once a second. */
const COST_FACTOR = 50
const INTERVAL_MS_MIN = 1000

export interface SnapshotKeeper {
  /** Lets go what is due, behind the run. To be called now and then. */
  look(): void
  /** Those of which the bytes are kept when the run ends here. */
  kept(hasEnded: boolean): readonly Snapshot[]
  /** Lets go all that is not kept, and waits for it. */
  end(hasEnded: boolean): Promise<void>
}

export interface KeeperOptions {
  readonly keep: KeepSnapshots
  readonly home: string
  readonly store: BlobStore
  readonly evidence: Evidence
  readonly journal: JournalWriter
  readonly onTrouble: ((message: string) => void) | undefined
}

export function createSnapshotKeeper({
  keep,
  home,
  store,
  evidence,
  journal,
  onTrouble,
}: KeeperOptions): SnapshotKeeper {
  const cache = createRunCache()
  const letGo = new Set<Snapshot>()
  let nextMs = 0
  let working: Promise<void> | undefined

  const kept = (hasEnded: boolean): readonly Snapshot[] => {
    if (keep === 'all') return evidence.snapshots
    const { signedSeq } = evidence.state()
    // One of the last checkpoint is nothing to go on from.
    const isOpen = ({ seq }: Snapshot): boolean => evidence.checkpoints[seq]?.kind !== CHECKPOINT_FINAL
    const signed = evidence.snapshots.filter(({ seq }) => seq <= signedSeq)
    const newest = hasEnded ? [] : signed.filter(isOpen).slice(-1)
    const wanted = new Set([...newest, ...(keep === 'none' ? [] : signed.slice(-keep))])
    return evidence.snapshots.filter((snapshot) => wanted.has(snapshot) || (!hasEnded && snapshot.seq > signedSeq))
  }

  const letGoAllBut = async (wanted: readonly Snapshot[]): Promise<void> => {
    const dropped = evidence.snapshots.filter((snapshot) => !wanted.includes(snapshot) && !letGo.has(snapshot))
    const last = evidence.snapshots.at(-1)
    if (dropped.length === 0 || last === undefined) return
    const candidates = new Set<string>()
    for (const { manifest } of dropped) {
      for (const digest of [manifest, ...((await blobsOfManifest(manifest, store)) ?? [])]) candidates.add(digest)
    }
    const named = BigInt(evidence.checkpoints[last.seq].position)
    // Only what is on disk there can be told from what nobody needs.
    await journal.sync()
    const isDone = await collectAmong({ home, store, candidates, named, cache })
    if (isDone) for (const snapshot of dropped) letGo.add(snapshot)
  }

  const work = async (wanted: readonly Snapshot[]): Promise<void> => {
    const startedMs = performance.now()
    await letGoAllBut(wanted).catch((error: unknown) => {
      onTrouble?.(`snapshots that are not kept stay for now: ${(error as Error).message}`)
    })
    const nowMs = performance.now()
    nextMs = nowMs + Math.max(INTERVAL_MS_MIN, COST_FACTOR * (nowMs - startedMs))
  }

  return {
    look() {
      if (keep === 'all' || working !== undefined || performance.now() < nextMs) return
      working = work(kept(false)).finally(() => (working = undefined))
    },
    kept,
    async end(hasEnded) {
      await working
      if (keep !== 'all') await work(kept(hasEnded))
    },
  }
}
