/** Which blobs a record refers to: the only ones that it may carry. Format: spec/record.md §1.5. */
import { wrong } from './shape.ts'
import type { BlobRef, MountSource, RecordDocument } from './types.ts'

export interface BlobUse {
  readonly lengthBytes: number
  /** Page root, hex, when the blob is an output. */
  readonly pages: string | null
}

/** By digest, in lower-case hex. One digest has one length and one page root wherever it stands. */
export class BlobUses extends Map<string, BlobUse> {
  /**
   * @param path - Where it is named, for errors.
   * @throws {@link EvidenceError} `STRUCTURE` when the digest stood for another length or page root before.
   */
  use({ sha256, lengthBytes }: BlobRef, path: string, pages: string | null = null): void {
    const known = this.get(sha256) ?? { lengthBytes, pages }
    if (known.lengthBytes !== lengthBytes || (pages ?? known.pages) !== (known.pages ?? pages))
      throw wrong(path, `names ${sha256} with another length or page root than before`)
    this.set(sha256, { lengthBytes, pages: known.pages ?? pages })
  }
}

/**
 * The blobs of computation and outcome.
 *
 * @throws {@link EvidenceError} `STRUCTURE` when one digest stands for two lengths or page roots.
 */
export function blobsOf(document: Pick<RecordDocument, 'computation' | 'outcome'>): BlobUses {
  const uses = new BlobUses()
  const { mounts, program, start, stdin } = document.computation
  uses.use(program, '$.computation.program')
  uses.use(stdin, '$.computation.stdin')
  for (const [i, { source }] of mounts.entries()) useSource(uses, source, `$.computation.mounts[${i}].source`)
  for (const [i, source] of (start?.mounts ?? []).entries()) useSource(uses, source, `$.computation.start.mounts[${i}]`)
  for (const [i, { sha256, length, pages }] of (document.outcome?.outputs ?? []).entries())
    uses.use({ sha256, lengthBytes: length }, `$.outcome.outputs[${i}]`, pages)
  return uses
}

function useSource(uses: BlobUses, source: MountSource, path: string): void {
  if (source.kind === 'archive') uses.use(source.blob, `${path}.blob`)
  else for (const [k, file] of source.files.entries()) uses.use(file, `${path}.files[${k}]`)
}
