/** Getting ready: the signer and the machine at the same time. */
import { manifestBlobs, type Computation, type MountSource, type SnapshotManifest } from '@reprise/core'
import type { Signer } from '@reprise/host'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { loadWarmRoot, startWasmMachine, type WarmUp, type WasmMachine } from '../machine/index.ts'
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
export function computationBlobs({ program, stdin, mounts, start }: Computation): readonly string[] {
  const sources = [...mounts.map(({ source }) => source), ...(start?.mounts ?? [])]
  return [program.sha256, stdin.sha256, ...sources.flatMap(sourceBlobs)]
}

function sourceBlobs(source: MountSource): readonly string[] {
  return source.kind === 'archive' ? [source.blob.sha256] : source.files.map(({ sha256 }) => sha256)
}

/**
 * The snapshotRoot that a program comes to at its warm point, as this machine found out itself, now or earlier.
 *
 * @param onMake - Called before it is found out, which takes about as long as a cold start.
 * @throws RunnerError as {@link loadWarmRoot}.
 */
export async function warmRootOf(
  warmUp: WarmUp,
  { store, home, onMake }: { readonly store: BlobStore; readonly home: string; readonly onMake?: () => void },
): Promise<string> {
  const digests = [warmUp.program.sha256, ...warmUp.start.mounts.flatMap(sourceBlobs)]
  const blobs = Object.fromEntries(digests.map((digest) => [digest, store.path(digest)]))
  return await loadWarmRoot({ computation: warmUp, blobs, home, onMake })
}

export function snapshotPaths(manifest: SnapshotManifest, store: BlobStore): Readonly<Record<string, string>> {
  return Object.fromEntries(manifestBlobs(manifest).map(({ sha256: digest }) => [digest, store.path(digest)]))
}
