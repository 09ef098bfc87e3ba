/**
 * Finding everything that a computation or a snapshot names: in the store, in the record, among the runtimes, in a folder of
 * inputs, and where the user says that blobs are.
 */
import { hash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  decodeManifestBytes,
  EvidenceError,
  hex,
  manifestBlobs,
  type BlobRef,
  type Computation,
  type MountSource,
  type Snapshot,
} from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { runtimeFiles, warmFiles } from '../definition/index.ts'
import { INPUT_BYTES_MAX, INPUT_FILES_MAX } from '../definition/inputs.ts'
import { scanFolder, TooMuch } from '../definition/scan.ts'
import { mapLimited } from '../parallel.ts'
import type { LoadedRecord } from '../record/index.ts'
import type { BlobPlace, SoughtBlob } from './places.ts'

/** Where blobs may come from, besides the store that they are put into. */
export interface BlobSources {
  /** Attached blobs come from here; undefined: there are none. */
  readonly original: Pick<LoadedRecord, 'blob'> | undefined
  readonly store: BlobStore
  /** Inputs are looked for here by the path they had, then by their content. */
  readonly folder: string
  /** What the user named, in this order. */
  readonly places: readonly BlobPlace[]
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: GatherProgress) => void) | undefined
}

export interface GatherProgress {
  readonly found: number
  readonly wanted: number
  /** Fetched from servers so far. */
  readonly fetchedBytes: number
}

interface Wanted extends SoughtBlob {
  /** For people. */
  readonly name: string
  /** Where a file of this content may lie: asked for when the store has none, which is seldom. */
  readonly candidates: () => readonly string[]
}

type Missing = Wanted & { readonly why: readonly string[] }

const RUNTIME_HINT =
  'of a language runtime: reprise runtime import FILE, as exported where the run was made, or reprise runtime build NAME; '

/** At the same time; more would only make a server's answers slower. */
const LOOKED_FOR_AT_ONCE = 4

/**
 * Puts every blob of the computation into the store.
 *
 * @throws {@link RunnerError} `BLOB_MISSING`, naming each missing one with its length and digest; `INPUT_MISSING` when there is no
 *   such folder.
 */
export async function gatherBlobs(sources: BlobSources, computation: Computation): Promise<void> {
  await sources.store.putAll(warmFilesOf(computation))
  const named = await missingOf(sources, wantedBlobs(computation, sources.folder))
  const missing = named.length === 0 ? named : await missingOf(sources, await byLength(named, sources.folder))
  if (missing.length > 0) throw missingError(missing, isOfRuntime(computation, missing))
}

/** Whether a library is among them, or the program that is used with one. */
function isOfRuntime({ program, mounts }: Computation, missing: readonly Missing[]): boolean {
  const libraries = mounts.flatMap(({ source }) => (source.kind === 'archive' ? [source.blob.sha256] : []))
  const parts = new Set(libraries.length === 0 ? [] : [program.sha256, ...libraries])
  return missing.some(({ sha256 }) => parts.has(sha256))
}

/** Ours, of what the warm-up names. */
function warmFilesOf({ start }: Computation): readonly Uint8Array[] {
  const files = (start?.mounts ?? []).flatMap((source) => (source.kind === 'files' ? source.files : []))
  const named = new Set(files.map(({ sha256 }) => sha256))
  return warmFiles().filter((bytes) => named.has(hash('sha256', bytes)))
}

/**
 * Puts a snapshot and all that its manifest names into the store. Whether it is the one that was signed is for `readSnapshot`.
 *
 * @throws {@link RunnerError} `BLOB_MISSING`, naming each missing one.
 */
export async function gatherSnapshot(sources: BlobSources, { manifest, seq }: Snapshot): Promise<void> {
  const name = `snapshot of checkpoint ${seq}`
  const withoutManifest = await missingOf(sources, [
    { sha256: manifest, lengthBytes: undefined, name, candidates: nowhere },
  ])
  if (withoutManifest.length > 0) throw missingError(withoutManifest)
  const parts = manifestPartsOf(await sources.store.read(manifest))
  const missing = await missingOf(
    sources,
    parts.map((blob) => ({ ...blob, name: `${name}, a part`, candidates: nowhere })),
  )
  if (missing.length > 0) throw missingError(missing)
}

function manifestPartsOf(bytes: Uint8Array): readonly BlobRef[] {
  try {
    return manifestBlobs(decodeManifestBytes(bytes))
  } catch (error) {
    // It has the digest that was signed and is no manifest: whoever reads the snapshot says so.
    if (error instanceof EvidenceError) return []
    throw error
  }
}

function missingError(missing: readonly Missing[], ofRuntime = false): RunnerError {
  const lines = missing.map(({ name, sha256, lengthBytes, why }) => {
    const length = lengthBytes === undefined ? '' : `  ${lengthBytes} bytes`
    return [`  ${name}${length}  sha256:${sha256}`, ...why.map((reason) => `    ${reason}`)].join('\n')
  })
  return new RunnerError('BLOB_MISSING', {
    message: `the record names what is neither attached nor on this machine:\n${lines.join('\n')}`,
    hint:
      (ofRuntime ? RUNTIME_HINT : '') +
      'where they are, --blobs FOLDER or --blobs URL finds them by digest, and --inputs FOLDER finds inputs; ' +
      'or ask for a record that carries them: reprise export RUN --format record --attach all',
    data: {
      missing: missing.map(({ name, sha256, lengthBytes }) => ({ name, sha256, lengthBytes: lengthBytes ?? null })),
    },
  })
}

/** @param all - Some may be the same blob: a program that lies in the folder it works in. */
async function missingOf(sources: BlobSources, all: readonly Wanted[]): Promise<Missing[]> {
  const wanted = eachOnce(all)
  let found = 0
  let fetchedBytes = 0
  const report = (): void => sources.onProgress?.({ found, wanted: wanted.length, fetchedBytes })
  const onBytes = (count: number): void => {
    fetchedBytes += count
    report()
  }
  const looked = await mapLimited(wanted, LOOKED_FOR_AT_ONCE, async (blob): Promise<Missing | undefined> => {
    sources.signal?.throwIfAborted()
    const why = await gatherOne(sources, blob, onBytes)
    if (why !== undefined) return { ...blob, why }
    found += 1
    report()
    return undefined
  })
  return looked.filter((blob) => blob !== undefined)
}

function eachOnce(wanted: readonly Wanted[]): readonly Wanted[] {
  const byDigest = new Map<string, Wanted>()
  for (const blob of wanted) {
    const known = byDigest.get(blob.sha256)
    const candidates = (): readonly string[] => [...new Set([...(known?.candidates() ?? []), ...blob.candidates()])]
    byDigest.set(blob.sha256, { ...(known ?? blob), candidates })
  }
  return [...byDigest.values()]
}

/** A file may have another name here than it had for the program: stdin, `--input PATH:GUEST`, a renamed one. */
async function byLength(wanted: readonly Wanted[], folder: string): Promise<Wanted[]> {
  const limits = { bytes: INPUT_BYTES_MAX, files: INPUT_FILES_MAX }
  const scan = await scanFolder({ folder, limits, never: [] }).catch((error: unknown) => {
    // What cannot be looked into does not hold it, for us.
    if (error instanceof RunnerError && error.code === 'INPUT_UNREADABLE') return undefined
    throw error
  })
  const files = scan === undefined || scan instanceof TooMuch ? [] : scan.files
  return wanted.map((blob) => {
    const candidates = files.filter(({ sizeBytes }) => sizeBytes === blob.lengthBytes).map(({ hostPath }) => hostPath)
    return { ...blob, candidates: () => candidates }
  })
}

const nowhere = (): readonly string[] => []

function wantedBlobs(computation: Computation, folder: string): readonly Wanted[] {
  const wanted: Wanted[] = [
    {
      ...computation.program,
      name: computation.arguments[0] ?? 'program',
      candidates: () => [...runtimeFiles(), join(folder, computation.arguments[0] ?? '')],
    },
    { ...computation.stdin, name: 'stdin', candidates: nowhere },
  ]
  for (const { at, source } of computation.mounts) wanted.push(...wantedOf(at, source, folder))
  for (const [i, source] of (computation.start?.mounts ?? []).entries())
    wanted.push(...wantedOf(`the warm-up's ${computation.mounts[i].at}`, source, folder))
  return wanted
}

function wantedOf(at: string, source: MountSource, folder: string): readonly Wanted[] {
  return source.kind === 'archive'
    ? [{ ...source.blob, name: `library at ${at}`, candidates: runtimeFiles }]
    : source.files.map((file) => ({ ...file, name: file.path, candidates: () => [join(folder, file.path)] }))
}

/** @returns Undefined when it is in the store now; else what is wrong with those that pass for it. */
async function gatherOne(
  { original, store, places, signal }: BlobSources,
  wanted: Wanted,
  onBytes: (count: number) => void,
): Promise<readonly string[] | undefined> {
  const { sha256, lengthBytes } = wanted
  if (await store.has(sha256)) return undefined
  if (lengthBytes === 0) return (await store.putBytes(new Uint8Array())).sha256 === sha256 ? undefined : []
  const attached = await original?.blob(sha256)
  if (attached !== undefined && (await store.putBytes(attached)).sha256 === sha256) return undefined
  for (const path of wanted.candidates()) {
    if ((await holds(path, wanted)) && (await store.putFile(path)).sha256 === sha256) return undefined
  }
  const wrong: string[] = []
  for (const place of places) {
    const brought = await place.bring(wanted, store, { signal, onBytes })
    if (brought === true) return undefined
    if (brought !== false) wrong.push(brought)
  }
  return wrong
}

async function holds(path: string, { lengthBytes, sha256 }: SoughtBlob): Promise<boolean> {
  try {
    const { size } = await stat(path)
    return size === lengthBytes && hex(hash('sha256', await readFile(path), 'buffer')) === sha256
  } catch {
    return false
  }
}
