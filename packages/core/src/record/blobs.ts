/** Which blobs a record refers to: the only ones that it may carry. Format: spec/record.md §1.5. */
import { wrong } from './shape.ts'
import type { BlobRef, MountSource, RecordDocument } from './types.ts'

export interface BlobUse {
  readonly lengthBytes: number
  /** Page root, hex, when the blob is an output. */
  readonly pages: string | null
}

/** By digest, in lower-case hex. One digest has one length and one page root wherever it stands. */
export type BlobUses = Map<string, BlobUse>

/**
 * @param at.path - Where it is named, for errors.
 * @throws {@link EvidenceError} `STRUCTURE` when the digest stood for another length or page root before.
 */
export function useBlob(
  uses: BlobUses,
  { sha256, lengthBytes }: BlobRef,
  { path, pages = null }: { readonly path: string; readonly pages?: string | null },
): void {
  const known = uses.get(sha256) ?? { lengthBytes, pages }
  if (known.lengthBytes !== lengthBytes || (pages ?? known.pages) !== (known.pages ?? pages))
    throw wrong(path, `names ${sha256} with another length or page root than before`)
  uses.set(sha256, { lengthBytes, pages: known.pages ?? pages })
}

/**
 * The blobs of computation and outcome.
 *
 * @throws {@link EvidenceError} `STRUCTURE` when one digest stands for two lengths or page roots.
 */
export function blobsOf(document: Pick<RecordDocument, 'computation' | 'outcome'>): BlobUses {
  const uses: BlobUses = new Map()
  const { mounts, program, start, stdin } = document.computation
  useBlob(uses, program, { path: '$.computation.program' })
  useBlob(uses, stdin, { path: '$.computation.stdin' })
  for (const [i, { source }] of mounts.entries()) useSource(uses, source, `$.computation.mounts[${i}].source`)
  for (const [i, source] of (start?.mounts ?? []).entries()) useSource(uses, source, `$.computation.start.mounts[${i}]`)
  for (const [i, { sha256, length, pages }] of (document.outcome?.outputs ?? []).entries())
    useBlob(uses, { sha256, lengthBytes: length }, { path: `$.outcome.outputs[${i}]`, pages })
  return uses
}

function useSource(uses: BlobUses, source: MountSource, path: string): void {
  if (source.kind === 'archive') useBlob(uses, source.blob, { path: `${path}.blob` })
  else for (const [k, file] of source.files.entries()) useBlob(uses, file, { path: `${path}.files[${k}]` })
}
