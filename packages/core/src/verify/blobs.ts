/** Checks attached blobs: digest, length, and page root of outputs. Format: spec/record.md §6. */
import { hex } from '../bytes/index.ts'
import type { Crypto } from '../crypto.ts'
import { PAGE_BYTES, treeHash, treeRoot } from '../merkle/index.ts'
import { blobEntryName, blobsOf, type BlobUse, type RecordDocument, type ZipEntry } from '../record/index.ts'
import type { OpenedRecord } from './open.ts'

/** @returns How many blobs computation and outcome name, and how many of them the record carries. */
export async function checkBlobs(
  record: OpenedRecord,
  document: RecordDocument,
  crypto: Crypto,
): Promise<{ readonly named: number; readonly attached: number }> {
  const uses = blobsOf(document)
  const attached = [...uses.keys()].filter((sha256) => record.blob(sha256) !== undefined).length
  const check = async (sha256: string, use: BlobUse): Promise<void> => {
    const entry = record.blob(sha256)
    if (entry === undefined) return
    try {
      const wrong = await whatIsWrong(entry, { sha256, use, crypto })
      if (wrong !== undefined) record.findings.add('BLOB', blobEntryName(sha256), wrong)
    } catch (error) {
      record.findings.addError(error, 'BLOB', blobEntryName(sha256))
    }
  }
  for (const [sha256, use] of uses) await check(sha256, use)
  for (const [sha256, use] of record.snapshots.blobs) {
    // What has the same length in both places was checked above.
    if (uses.get(sha256)?.lengthBytes !== use.lengthBytes) await check(sha256, use)
  }
  return { named: uses.size, attached }
}

async function whatIsWrong(
  entry: ZipEntry,
  { sha256, use, crypto }: { readonly sha256: string; readonly use: BlobUse; readonly crypto: Crypto },
): Promise<string | undefined> {
  if (entry.lengthBytes !== use.lengthBytes)
    return `it has ${entry.lengthBytes} bytes, the record says ${use.lengthBytes}`
  const whole = crypto.sha256Stream()
  const pages = use.pages === null ? undefined : pagesStream(crypto)
  for await (const chunk of entry.chunks()) {
    whole.update(chunk)
    pages?.update(chunk)
  }
  if (hex(whole.digest()) !== sha256) return 'its content has another digest than its name'
  if (pages !== undefined && hex(pages.root()) !== use.pages)
    return 'its content has another page root than the outcome says'
  return undefined
}

/** The page root of bytes that come in pieces; keeps 32 bytes a page. */
function pagesStream(crypto: Crypto): { update: (bytes: Uint8Array) => void; root: () => Uint8Array } {
  const hash = treeHash('pages', crypto.sha256)
  const leaves: Uint8Array[] = []
  const page = new Uint8Array(PAGE_BYTES)
  let filledBytes = 0
  return {
    update(bytes) {
      for (let at = 0; at < bytes.length;) {
        const part = bytes.subarray(at, at + PAGE_BYTES - filledBytes)
        page.set(part, filledBytes)
        at += part.length
        filledBytes += part.length
        if (filledBytes < PAGE_BYTES) continue
        leaves.push(hash.leaf(page))
        filledBytes = 0
      }
    },
    root() {
      if (filledBytes > 0) leaves.push(hash.leaf(page.subarray(0, filledBytes)))
      return treeRoot(hash, leaves)
    },
  }
}
