/** Which blobs a record refers to: the only ones that it may carry. Format: spec/record.md §1.5. */
import { wrong } from './shape.ts'
import type { RecordDocument } from './types.ts'

export interface BlobUse {
  readonly lengthBytes: number
  /** Page root, hex, when the blob is an output. */
  readonly pages: string | null
}

/**
 * By digest, in lower-case hex.
 *
 * @throws {@link EvidenceError} `STRUCTURE` when one digest stands for two lengths or page roots.
 */
export function blobsOf(document: Pick<RecordDocument, 'computation' | 'outcome'>): ReadonlyMap<string, BlobUse> {
  const uses = new Map<string, BlobUse>()
  const use = (sha256: string, lengthBytes: number, pages: string | null, path: string): void => {
    const known = uses.get(sha256) ?? { lengthBytes, pages }
    if (known.lengthBytes !== lengthBytes || (pages ?? known.pages) !== (known.pages ?? pages))
      throw wrong(path, `names ${sha256} with another length or page root than before`)
    uses.set(sha256, { lengthBytes, pages: known.pages ?? pages })
  }
  const { mounts, program, stdin } = document.computation
  use(program.sha256, program.lengthBytes, null, '$.computation.program')
  use(stdin.sha256, stdin.lengthBytes, null, '$.computation.stdin')
  for (const [i, { source }] of mounts.entries()) {
    const path = `$.computation.mounts[${i}].source`
    if (source.kind === 'archive') use(source.blob.sha256, source.blob.lengthBytes, null, `${path}.blob`)
    else for (const [k, file] of source.files.entries()) use(file.sha256, file.lengthBytes, null, `${path}.files[${k}]`)
  }
  for (const [i, output] of (document.outcome?.outputs ?? []).entries())
    use(output.sha256, output.length, output.pages, `$.outcome.outputs[${i}]`)
  return uses
}
