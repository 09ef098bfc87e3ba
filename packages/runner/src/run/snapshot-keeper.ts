/** Lets the bytes of a run's snapshots go that it was not asked to keep, while it goes on and at its end. */
import type { Snapshot } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { blobsOfManifest, collectAmong, createRunCache } from '../collect/index.ts'
import { keptSnapshots, type JournalRun, type JournalWriter, type KeepSnapshots } from '../journal/index.ts'

/** Letting go takes at most this share of the time, and happens at most once a second. */
const COST_FACTOR = 50
const INTERVAL_MS_MIN = 1000

type Named = Pick<Snapshot, 'manifest' | 'seq'>

export interface SnapshotKeeper {
  /** A snapshot was taken and stands in the journal; its position is that of its checkpoint. */
  note(snapshot: Named, position: bigint): void
  /** Lets go what is due, behind the run. To be called now and then. */
  look(signedSeq: number): void
  /** Lets go all that is not kept of a run that has come to its end or was interrupted, and waits for it. */
  end(written: JournalRun): Promise<void>
}

export interface KeeperOptions {
  readonly keep: KeepSnapshots
  readonly home: string
  readonly store: BlobStore
  readonly journal: JournalWriter
  /** What stood in the journal when this attempt began. */
  readonly before: JournalRun | undefined
  /** The position of the snapshot that this attempt goes on from. */
  readonly from: bigint
  readonly onTrouble?: (message: string) => void
}

export function createSnapshotKeeper({
  keep,
  home,
  store,
  journal,
  before,
  from,
  onTrouble,
}: KeeperOptions): SnapshotKeeper {
  const cache = createRunCache()
  const signedBefore = before?.signedSeq ?? -1
  /** Those of which there may be bytes, by seq. */
  let there: Named[] = (before?.snapshots ?? []).filter(({ seq }) => seq <= signedBefore)
  let position = from
  let nextMs = 0
  let working: Promise<void> | undefined

  const letGo = async (dropped: readonly Named[]): Promise<void> => {
    const candidates = new Set<string>()
    for (const { manifest } of dropped) {
      for (const digest of [manifest, ...((await blobsOfManifest(manifest, store)) ?? [])]) candidates.add(digest)
    }
    const named = position
    // Only what is on disk there can be told from what nobody needs.
    await journal.sync()
    const isDone = await collectAmong({ home, store, candidates, named, cache })
    if (isDone) there = there.filter((snapshot) => !dropped.includes(snapshot))
  }

  const work = async (dropped: readonly Named[]): Promise<void> => {
    if (dropped.length === 0) return
    const startedMs = performance.now()
    await letGo(dropped).catch((error: unknown) => {
      onTrouble?.(`snapshots that are not kept stay for now: ${(error as Error).message}`)
    })
    const nowMs = performance.now()
    nextMs = nowMs + Math.max(INTERVAL_MS_MIN, COST_FACTOR * (nowMs - startedMs))
  }

  return {
    note(snapshot, at) {
      there.push(snapshot)
      position = at
    },
    look(signedSeq) {
      if (keep === 'all' || working !== undefined || performance.now() < nextMs) return
      const signed = there.filter(({ seq }) => seq <= Math.max(signedSeq, signedBefore))
      const dropped = signed.slice(0, -(keep === 'none' ? 1 : keep))
      if (dropped.length > 0) working = work(dropped).finally(() => (working = undefined))
    },
    async end(written) {
      await working
      if (keep === 'all') return
      const kept = new Set(keptSnapshots(written).map(({ seq }) => seq))
      await work(there.filter(({ seq }) => !kept.has(seq)))
    },
  }
}
