/** Getting ready: the signer and the machine at the same time. */
import {
  manifestBlobs,
  type Attempt,
  type Computation,
  type Environment,
  type HostRules,
  type MountSource,
  type SnapshotManifest,
} from '@reprise/core'
import type { RunSigner, Signer } from '@reprise/host'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { loadWarmRoot, startWasmMachine, type SavedMachine, type WarmUp, type WasmMachine } from '../machine/index.ts'
import type { HostLook } from '../host/index.ts'
import { keepLogs, lookAtHost, refuseOtherHosts, tierOf } from '../host/index.ts'
import type { ExecuteRequest } from './types.ts'

export interface Prepared extends ReadyHost, BegunAttempt {
  readonly machine: WasmMachine
}

export interface BegunAttempt {
  readonly attempt: Attempt
  readonly runSigner: RunSigner
}

export interface ReadyHost {
  readonly signer: Signer
  /** How the host was just before the run. */
  readonly look: HostLook
  /** Its logs, in the store. */
  readonly logs: Environment['logs']
}

/** Nothing of it is executed: whoever it is handed to has it go, or takes it down. @throws RunnerError as `startWasmMachine`. */
export async function startMachine(
  { home, onStream, store }: ExecuteRequest,
  computation: Computation,
  from?: SavedMachine,
): Promise<WasmMachine> {
  try {
    return await startWasmMachine({
      computation,
      blobs: blobPaths(computation, store, from?.manifest),
      home,
      from,
      ...(onStream !== undefined && { onStream }),
    })
  } catch (error) {
    throw refusalOf(computation, error)
  }
}

/**
 * The signer and the machine get ready at the same time; when one fails, neither is left behind.
 *
 * @param options.host - As {@link readyHost} gets it ready.
 * @param options.machine - Of {@link startMachine}.
 * @param options.begin - Begins the attempt as soon as the host is ready; the machine is waited for meanwhile.
 * @throws RunnerError as the two of them.
 */
export async function prepare({
  host,
  machine,
  begin,
}: {
  readonly host: Promise<ReadyHost>
  readonly machine: Promise<WasmMachine>
  readonly begin: (host: ReadyHost) => Promise<BegunAttempt>
}): Promise<Prepared> {
  const beginning = host.then(async (ready) => ({ ...ready, ...(await begin(ready)) }))
  const [begun, started] = await Promise.allSettled([beginning, machine])
  if (started.status === 'rejected') {
    if (begun.status === 'fulfilled') begun.value.runSigner.close()
    throw started.reason
  }
  if (begun.status === 'rejected') {
    await started.value[Symbol.asyncDispose]()
    throw begun.reason
  }
  return { ...begun.value, machine: started.value }
}

/**
 * The signer and what the host shows, for whom it takes as long as a machine needs to get ready: to be asked for as soon as the
 * computation is known, and waited for by {@link prepare}. What fails is heard there.
 *
 * @param options.isRequired - Whether the host must be one that the computation demands.
 * @throws RunnerError `HOST_RULES` when it is not.
 */
export function readyHost(
  request: ExecuteRequest,
  { host: rules }: Computation,
  { isRequired }: { readonly isRequired: boolean },
): Promise<ReadyHost> {
  const ready = lookAround(request, isRequired ? rules : undefined, rules)
  ready.catch(() => {})
  return ready
}

async function lookAround(
  { home, store, onTrouble, signer: connecting }: ExecuteRequest,
  mustHold: HostRules | undefined,
  rules: HostRules | undefined,
): Promise<ReadyHost> {
  const signer = await connecting
  // An interruption is heard before the first instruction, and there it has its answer.
  const look = await lookAtHost({ signer, home, rules, quote: mustHold !== undefined })
  if (mustHold !== undefined) refuseOtherHosts(look, mustHold, await tierOf(signer.host))
  for (const log of look.found)
    if ('leftOut' in log) onTrouble?.(`the record leaves the ${log.kind} log of this host out: ${log.why}`)
  return { signer, look, logs: await keepLogs(look.found, store) }
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

/**
 * Of all that a machine reads, by digest.
 *
 * @param manifest - Of the snapshot that it goes on from.
 */
export function blobPaths(
  computation: Computation,
  store: BlobStore,
  manifest?: SnapshotManifest,
): Readonly<Record<string, string>> {
  const saved = manifest === undefined ? [] : manifestBlobs(manifest).map(({ sha256 }) => sha256)
  const digests = [...computationBlobs(computation), ...saved]
  return Object.fromEntries(digests.map((digest) => [digest, store.path(digest)]))
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
