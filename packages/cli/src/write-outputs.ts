/** What a run wrote, into the real folder, when the run has ended. */
import { writeBack, type BlobStore, type RunResult, type WriteBackResult } from '@reprise/runner'

/** Files are replaced only when they are still what went into the run. @returns Undefined when the run did not end. */
export async function writeOutputs(
  { outcome, inputs }: RunResult,
  { store, folder }: { readonly store: BlobStore; readonly folder: string },
): Promise<WriteBackResult | undefined> {
  if (outcome === undefined) return undefined
  const files = outcome.outputs.filter(({ path }) => !path.startsWith('/dev/'))
  return await writeBack({
    folder,
    started: inputs,
    outputs: files.map(({ path, sha256, length }) => ({
      path,
      sha256,
      lengthBytes: length,
      open: () => store.stream(sha256),
    })),
  })
}
