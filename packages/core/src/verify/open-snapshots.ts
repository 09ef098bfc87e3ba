/** Reads snapshots.jsonl and the manifests that are attached. Format: spec/record.md §1.5, §3.2, §8. */
import {
  blobEntryName,
  decodeManifestBytes,
  decodeSnapshotLine,
  manifestBlobs,
  MANIFEST_BYTES_MAX,
  readLines,
  SNAPSHOTS_ENTRY,
  useBlob,
  type BlobUses,
  type Snapshot,
  type SnapshotManifest,
  type ZipEntry,
} from '../record/index.ts'
import type { Findings } from './findings.ts'

export interface OpenedSnapshots {
  readonly lines: readonly Snapshot[]
  /** They could not be read to the end. */
  readonly isBroken: boolean
  /** What attached manifests say, by their digest, which is not checked yet. */
  readonly manifests: ReadonlyMap<string, ManifestFacts>
  /** Attached manifests, and what they name of the blobs that are attached. */
  readonly blobs: BlobUses
}

export interface ManifestFacts extends Pick<SnapshotManifest, 'phase' | 'position'> {
  /** Digest of the frames, hex. */
  readonly frames: string
  /** All that it names is attached. */
  readonly isWhole: boolean
}

export const NO_SNAPSHOTS: OpenedSnapshots = { lines: [], isBroken: true, manifests: new Map(), blobs: new Map() }

export async function openSnapshots(
  entries: ReadonlyMap<string, ZipEntry>,
  findings: Findings,
): Promise<OpenedSnapshots> {
  const { lines, isBroken } = await readSnapshots(entries.get(SNAPSHOTS_ENTRY), findings)
  const manifests = new Map<string, ManifestFacts>()
  const blobs: BlobUses = new Map()
  for (const { manifest } of lines) {
    const name = blobEntryName(manifest)
    const entry = entries.get(name)
    if (entry === undefined || manifests.has(manifest)) continue
    try {
      const decoded = decodeManifestBytes(await entry.bytes(MANIFEST_BYTES_MAX), name)
      const { frames, phase, position } = decoded
      const isWhole = manifestBlobs(decoded).every(({ sha256 }) => entries.has(blobEntryName(sha256)))
      manifests.set(manifest, { frames: frames.sha256, phase, position, isWhole })
      useBlob(blobs, { sha256: manifest, lengthBytes: entry.lengthBytes }, { path: name })
      // Of millions of names in a hostile manifest, only as many are kept as there are entries.
      for (const ref of manifestBlobs(decoded))
        if (entries.has(blobEntryName(ref.sha256))) useBlob(blobs, ref, { path: name })
    } catch (error) {
      findings.addError(error, 'SCHEMA', name)
    }
  }
  return { lines, isBroken, manifests, blobs }
}

async function readSnapshots(
  entry: ZipEntry | undefined,
  findings: Findings,
): Promise<Pick<OpenedSnapshots, 'lines' | 'isBroken'>> {
  const lines: Snapshot[] = []
  if (entry === undefined) return { lines, isBroken: true }
  try {
    for await (const texts of readLines(entry.chunks(), entry.name))
      for (const text of texts) lines.push(decodeSnapshotLine(text, `${entry.name}:${lines.length + 1} $`))
    return { lines, isBroken: false }
  } catch (error) {
    findings.addError(error, 'SCHEMA', entry.name)
    return { lines, isBroken: true }
  }
}
