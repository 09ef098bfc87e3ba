/**
 * The memory of a machine that goes on from a snapshot: packs are read here, several beside each other, into the shadow that
 * is hashed, and the engine's thread takes it from there. Rules: spec/record.md §8.7.
 */
import {
  PAGE_BYTES,
  type Checkpoint,
  type Measurement,
  type MachineState,
  type PageRun,
  type SnapshotManifest,
} from '@reprise/core'
import { corrupt, streamBlob } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { mapLimited } from '../parallel.ts'
import type { ByteRange } from './protocol.ts'

/** A snapshot that a machine begins with, and what was signed of the state that it gives. */
export interface SavedMachine {
  readonly manifest: SnapshotManifest
  readonly expected: Pick<Checkpoint, 'outputs' | 'position' | 'state'>
}

/** What a machine was restored to. */
export interface Restored {
  readonly measurement: Measurement
  /** Where it stood before it went on; valid as long as the machine is there, when it is not the expected one. */
  readonly state: MachineState
  /** Nothing comes out of a machine that is not the one that was saved: it is stopped. */
  readonly isExpected: boolean
}

/** Packs have up to 64 MiB, and each is inflated by a thread of its own; of small ones another is looked for meanwhile. */
const READ_AT_ONCE = 4

export interface Packs {
  readonly manifest: SnapshotManifest
  /** Paths of its blobs by SHA-256. */
  readonly blobs: Readonly<Record<string, string>>
}

/**
 * Fills a shadow of zeros. Packs are not checked by their digests here: the shadow is hashed as a whole.
 *
 * @param onFilled - Told what is there, as it gets there.
 * @throws RunnerError `BLOB_MISSING`; `BLOB_CORRUPT` for a pack that cannot be read or has another length.
 */
export async function fillShadow(
  { manifest, blobs }: Packs,
  shadow: Uint8Array,
  onFilled: (ranges: readonly ByteRange[]) => void,
): Promise<void> {
  const byPack = Map.groupBy(manifest.pages, ([, , pack]) => pack)
  await mapLimited([...byPack], READ_AT_ONCE, async ([pack, runs]) => {
    const { sha256, lengthBytes } = manifest.packs[pack]
    const place = placer(runs, shadow)
    const endBytes = Math.max(...runs.map(endOf))
    let at = 0
    for await (const piece of streamBlob(blobs[sha256], sha256, { trusted: true })) {
      onFilled(place(piece, at))
      at += piece.length
      // What follows was written anew since.
      if (at >= endBytes) break
    }
    if (at < endBytes || at > lengthBytes) throw corrupt(blobs[sha256], sha256)
  })
}

/** @returns Puts a piece of a pack, from its byte `at` on, where its pages belong; pieces come in order. */
function placer(runs: readonly PageRun[], shadow: Uint8Array): (piece: Uint8Array, at: number) => readonly ByteRange[] {
  const sorted = runs.toSorted(([, , , a], [, , , b]) => a - b)
  let next = 0
  return (piece, at) => {
    const ranges: ByteRange[] = []
    while (next < sorted.length && endOf(sorted[next]) <= at) next += 1
    for (let i = next; i < sorted.length; i++) {
      const [first, , , inPack] = sorted[i]
      const begin = inPack * PAGE_BYTES
      if (begin >= at + piece.length) break
      const [from, to] = [Math.max(begin, at), Math.min(endOf(sorted[i]), at + piece.length)]
      // A page may stand in the memory more than once, so one that ended before may come after one that has not.
      if (from >= to) continue
      const offset = first * PAGE_BYTES + from - begin
      shadow.set(piece.subarray(from - at, to - at), offset)
      ranges.push([offset, to - from])
    }
    return ranges
  }
}

function endOf([, count, , inPack]: PageRun): number {
  return (inPack + count) * PAGE_BYTES
}

/** Names the pack that does not hold what its digest says. @throws RunnerError `BLOB_CORRUPT`, `BLOB_MISSING`. */
export async function checkPacks({ manifest, blobs }: Packs): Promise<void> {
  for (const { sha256 } of manifest.packs) for await (const _ of streamBlob(blobs[sha256], sha256));
}

export function notTheSavedMachine({ position }: SavedMachine['expected']): RunnerError {
  return new RunnerError('NOT_THE_SNAPSHOT', {
    message: `the snapshot at position ${position} does not give the state that was signed`,
    hint: 'it was made by another version, or of other parts; run or repeat the computation from its start',
  })
}
