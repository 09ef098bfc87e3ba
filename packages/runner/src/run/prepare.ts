/** Getting ready: the signer and the machine at the same time. */
import { manifestBlobs, type Computation, type SnapshotManifest } from '@reprise/core'
import type { Signer } from '@reprise/host'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { startWasmMachine, type WasmMachine } from '../machine/index.ts'
import type { ExecuteRequest } from './types.ts'

/** The signer and the machine get ready at the same time; when one fails, neither is left behind. */
export async function prepare(
  request: ExecuteRequest,
  computation: Computation,
  from?: SnapshotManifest,
): Promise<readonly [Signer, WasmMachine]> {
  const { store } = request
  const machine = startWasmMachine({
    computation,
    blobs: { ...blobPaths(computation, store), ...(from !== undefined && snapshotPaths(from, store)) },
    home: request.home,
    from,
    ...(request.onStream !== undefined && { onStream: request.onStream }),
  })
  const [signed, started] = await Promise.allSettled([request.signer, machine])
  if (started.status === 'rejected') throw refusalOf(computation, started.reason)
  if (signed.status === 'rejected') {
    await started.value[Symbol.asyncDispose]()
    throw signed.reason
  }
  return [signed.value, started.value]
}

/** Says which program it is that cannot be run: the machine knows only its digest. */
function refusalOf({ arguments: [name] }: Computation, error: unknown): unknown {
  if (!(error instanceof RunnerError) || error.code !== 'ENGINE_REFUSED' || name === undefined) return error
  const { message, hint, data } = error
  return new RunnerError('ENGINE_REFUSED', {
    message: `${name}: ${message}`,
    ...(hint !== undefined && { hint }),
    data,
    cause: error,
  })
}

export function blobPaths(computation: Computation, store: BlobStore): Readonly<Record<string, string>> {
  return Object.fromEntries(computationBlobs(computation).map((digest) => [digest, store.path(digest)]))
}

/** The digests of all that a machine reads besides a snapshot. */
export function computationBlobs(computation: Computation): readonly string[] {
  const digests = [computation.program.sha256, computation.stdin.sha256]
  for (const { source } of computation.mounts) {
    if (source.kind === 'archive') digests.push(source.blob.sha256)
    else digests.push(...source.files.map((file) => file.sha256))
  }
  return digests
}

export function snapshotPaths(manifest: SnapshotManifest, store: BlobStore): Readonly<Record<string, string>> {
  return Object.fromEntries(manifestBlobs(manifest).map(({ sha256: digest }) => [digest, store.path(digest)]))
}
