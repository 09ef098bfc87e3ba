/** Records of runs with snapshots: as they should be, exchanged afterwards, or wrong and signed so. */
import { blobEntryName, decodeManifestBytes, encodeManifest, utf8, type SnapshotManifest } from '@reprise/core'
import { blobRef, type Draft, type Mutable, type Signed } from '../sample.ts'
import { END_FRAMES, SHARED_PACK, takeSnapshot } from '../snapshot.ts'
import { entryOf, refuted, unverifiable, verified, type RecordCase } from './case.ts'
import { stopAfter } from './held.ts'

const BATCH = ['BATCH'] as const
const SNAPSHOT = ['SNAPSHOT'] as const
const SCHEMA = ['SCHEMA'] as const

/** At checkpoints 1 and 3 and at the end, all attached. */
function threeSnapshots(draft: Draft): void {
  for (const seq of [1, 3, 4]) takeSnapshot(draft, seq)
}

function changed(name: string, why: string, change: (signed: Signed) => void): RecordCase {
  return refuted(name, why, BATCH, { draft: threeSnapshots, signed: change })
}

function lie(name: string, why: string, change: (manifest: Mutable<SnapshotManifest>) => void): RecordCase {
  return refuted(name, `${why} An honest TPM signed it.`, SNAPSHOT, {
    draft: (draft) => takeSnapshot(draft, 3, change),
  })
}

/** An attached manifest that no decoder takes, measured and signed. */
function malformed(name: string, why: string, change: (text: string) => string): RecordCase {
  return refuted(name, why, SCHEMA, {
    draft(draft) {
      takeSnapshot(draft, 3)
      const [snapshot] = draft.snapshots
      const at = draft.contents.findIndex((bytes) => blobRef(bytes).sha256 === snapshot.manifest)
      const bytes = utf8(change(Buffer.from(draft.contents[at]).toString()))
      draft.contents.splice(at)
      draft.contents.push(bytes)
      snapshot.manifest = blobRef(bytes).sha256
    },
  })
}

function replaced(from: string, to: string): (text: string) => string {
  return (text) => {
    if (!text.includes(from)) throw new Error(`the manifest does not hold ${from}`)
    return text.replace(from, to)
  }
}

export const snapshotCases: readonly RecordCase[] = [
  verified('snapshots', 'Three snapshots, one of them at the end; all that they are restored from is attached.', {
    draft: threeSnapshots,
  }),
  verified('snapshots-not-attached', 'Three snapshots, named by digest only.', {
    draft(draft) {
      threeSnapshots(draft)
      draft.contents.length = 5
    },
  }),
  verified('snapshots-partly-attached', 'The manifest of one snapshot, and some of what it names.', {
    draft(draft) {
      threeSnapshots(draft)
      const manifest = draft.snapshots[1].manifest
      draft.contents = draft.contents.filter(
        (bytes, i) => i < 5 || bytes === SHARED_PACK || blobRef(bytes).sha256 === manifest,
      )
    },
  }),
  unverifiable(
    'snapshot-unsigned',
    'No attestation covers the second snapshot: it counts for nothing.',
    ['INCOMPLETE', 'UNSIGNED_TAIL'],
    {
      draft(draft) {
        threeSnapshots(draft)
        draft.snapshots.length = 2
        draft.contents.length = 5
        stopAfter(draft, 3)
      },
    },
  ),
  changed('snapshot-exchanged', 'The root of another snapshot.', ({ snapshots, blobs }) => {
    snapshots[1].root = '9'.repeat(64)
    blobs.length = 5
  }),
  changed('snapshot-frames-exchanged', 'The digest of another stack.', ({ snapshots, blobs }) => {
    snapshots[1].frames = '9'.repeat(64)
    blobs.length = 5
  }),
  changed('snapshot-left-out', 'A snapshot is missing in the middle.', (signed) => {
    signed.snapshots.splice(1, 1)
    signed.blobs.length = 5
  }),
  changed('snapshots-left-out', 'All snapshots are missing.', (signed) => {
    signed.snapshots.length = 0
    signed.blobs.length = 5
  }),
  refuted('snapshot-added', 'A snapshot that nobody signed, where others could go on from it.', BATCH, {
    draft: (draft) => takeSnapshot(draft, 1),
    signed({ blobs, snapshots }) {
      snapshots.push({ ...snapshots[0], seq: 3 })
      blobs.length = 5
    },
  }),
  changed('manifest-exchanged', 'A manifest that restores another global, attached.', (signed) => {
    const [snapshot] = signed.snapshots
    const at = signed.blobs.findIndex(({ sha256 }) => sha256 === snapshot.manifest)
    const manifest = decodeManifestBytes(signed.blobs[at].bytes) as Mutable<SnapshotManifest>
    manifest.globals[0].bits = '00020000'
    const bytes = encodeManifest(manifest)
    signed.blobs[at] = { ...blobRef(bytes), bytes, open: () => [bytes] }
    snapshot.manifest = blobRef(bytes).sha256
  }),
  refuted('snapshots-swapped', 'Two snapshots in the wrong order.', ['BATCH', 'SNAPSHOT'], {
    draft: threeSnapshots,
    signed: ({ snapshots }) => void snapshots.splice(0, 2, snapshots[1], snapshots[0]),
  }),
  refuted('snapshots-forged', 'The TPM was told another S than the snapshots of the record give.', BATCH, {
    draft(draft) {
      threeSnapshots(draft)
      draft.quotes[1].told = { snapshots: new Uint8Array(32).fill(7) }
    },
  }),
  refuted('snapshot-not-on-grid', 'A snapshot at a requested checkpoint. An honest TPM signed it.', SNAPSHOT, {
    draft: (draft) => takeSnapshot(draft, 2),
  }),
  refuted(
    'snapshot-at-start',
    'A snapshot at checkpoint 0, where the run begins anyway. An honest TPM signed it.',
    SNAPSHOT,
    {
      draft: (draft) => takeSnapshot(draft, 0),
    },
  ),
  refuted('snapshot-twice', 'The line of a snapshot stands there twice.', ['BATCH', 'SNAPSHOT'], {
    draft: threeSnapshots,
    signed: ({ snapshots }) => void snapshots.splice(1, 0, { ...snapshots[0] }),
  }),
  refuted('snapshot-upper-case', 'A root in upper case: one value, two texts.', SCHEMA, {
    draft: threeSnapshots,
    signed: ({ snapshots }) => (snapshots[1].root = snapshots[1].root.toUpperCase()),
  }),
  refuted('snapshots-missing-of-some', 'No snapshots.jsonl, and snapshots were signed.', SCHEMA, {
    draft: threeSnapshots,
    entries: (entries) => void entries.splice(3, 1),
  }),
  refuted('snapshot-beyond-end', 'A snapshot of a checkpoint that is not there.', SNAPSHOT, {
    draft: threeSnapshots,
    signed(signed) {
      signed.snapshots.push({ ...signed.snapshots[2], seq: 5 })
    },
  }),
  refuted(
    'snapshot-beyond-first',
    'A snapshot of checkpoint 1, and the run has checkpoint 0 alone.',
    ['INCOMPLETE', 'SNAPSHOT'],
    {
      draft(draft) {
        takeSnapshot(draft, 1)
        stopAfter(draft, 0)
      },
    },
  ),
  lie('manifest-of-other-position', 'A manifest of another position than its checkpoint.', (manifest) => {
    manifest.position = '2001'
  }),
  lie(
    'manifest-after-end',
    'A manifest that says that the guest has ended, at a checkpoint before the end.',
    (manifest) => {
      manifest.phase = 'ended'
    },
  ),
  refuted('manifest-of-other-frames', 'A manifest that names another stack than the snapshot does.', SNAPSHOT, {
    draft(draft) {
      takeSnapshot(draft, 3, (manifest) => (manifest.frames = blobRef(END_FRAMES)))
      draft.snapshots[0].frames = blobRef(utf8('frames at 2000')).sha256
      draft.contents.splice(
        draft.contents.findIndex((bytes) => Buffer.from(bytes).toString() === 'frames at 2000'),
        1,
      )
    },
  }),
  refuted('root-of-other-frames', 'Attached frames that do not give the root. An honest TPM signed it.', SNAPSHOT, {
    draft(draft) {
      takeSnapshot(draft, 3)
      draft.snapshots[0].root = '9'.repeat(64)
    },
  }),
  malformed('manifest-not-canonical', 'A manifest with a blank in it.', replaced(',', ', ')),
  malformed('manifest-beyond-memory', 'Pages beyond the memory.', replaced('[16,1,', '[32,1,')),
  malformed('manifest-pages-overlap', 'A page twice.', replaced('[16,1,', '[1,1,')),
  malformed('manifest-beyond-pack', 'Pages beyond their pack.', replaced('[1,1,1,0]', '[1,1,1,1]')),
  malformed(
    'manifest-global-too-wide',
    'A global with more bits than its type.',
    replaced('"00010000"', '"0000010000"'),
  ),
  malformed(
    'manifest-unknown-field',
    'A field that says nothing to anybody.',
    replaced('"packs"', '"note":"","packs"'),
  ),
  refuted('pack-content', 'An attached pack with other pages.', ['BLOB'], {
    draft: threeSnapshots,
    entries(entries) {
      const pack = entryOf(entries, blobEntryName(blobRef(SHARED_PACK).sha256))
      pack.content = Buffer.from(pack.content).fill(0x12)
    },
  }),
  refuted('pack-without-manifest', 'A pack is attached, and no manifest that names it.', SCHEMA, {
    draft(draft) {
      threeSnapshots(draft)
      draft.contents = draft.contents.filter((bytes, i) => i < 5 || bytes === SHARED_PACK)
    },
  }),
]
