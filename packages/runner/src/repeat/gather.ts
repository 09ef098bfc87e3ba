/** Finding everything that a computation names: in the record, in the store, among the runtimes, in a folder. */
import { hash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hex, type BlobRef, type Computation, type MountSource } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { runtimeFiles, warmFiles } from '../definition/index.ts'
import { INPUT_BYTES_MAX, INPUT_FILES_MAX } from '../definition/inputs.ts'
import { scanFolder, TooMuch } from '../definition/scan.ts'
import type { LoadedRecord } from '../record/index.ts'

export interface GatherRequest {
  readonly computation: Computation
  /** Attached blobs come from here; undefined: there are none. */
  readonly original: Pick<LoadedRecord, 'blob'> | undefined
  readonly store: BlobStore
  /** Files are looked for here by the path they had, then by their content. */
  readonly folder: string
}

interface Wanted extends BlobRef {
  /** For people. */
  readonly name: string
  /** Where a file of this content may lie. */
  readonly candidates: readonly string[]
}

/**
 * Puts every blob of the computation into the store.
 *
 * @throws {@link RunnerError} `BLOB_MISSING`, naming each missing one with its digest; `INPUT_MISSING` when there is no such folder.
 */
export async function gatherBlobs(request: GatherRequest): Promise<void> {
  if (request.computation.start !== undefined) await request.store.putAll(warmFiles())
  const named = await missingOf(request, wantedBlobs(request.computation, request.folder))
  const missing = named.length === 0 ? named : await missingOf(request, await byLength(named, request.folder))
  if (missing.length === 0) return
  const lines = missing.map(({ name, sha256, lengthBytes }) => `  ${name}  ${lengthBytes} bytes  sha256:${sha256}`)
  throw new RunnerError('BLOB_MISSING', {
    message: `the record names what is neither attached nor on this machine:\n${lines.join('\n')}`,
    hint: 'put the files into one folder and add --inputs FOLDER, or ask for a record made with --attach all',
    data: { missing: missing.map(({ name, sha256 }) => ({ name, sha256 })) },
  })
}

async function missingOf(request: GatherRequest, wanted: readonly Wanted[]): Promise<Wanted[]> {
  const missing: Wanted[] = []
  for (const blob of wanted) {
    if (!(await gatherOne(request, blob))) missing.push(blob)
  }
  return missing
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
    return { ...blob, candidates }
  })
}

function wantedBlobs(computation: Computation, folder: string): readonly Wanted[] {
  const runtime = runtimeFiles()
  const wanted: Wanted[] = [
    {
      ...computation.program,
      name: computation.arguments[0] ?? 'program',
      candidates: [...runtime, join(folder, computation.arguments[0] ?? '')],
    },
    { ...computation.stdin, name: 'stdin', candidates: [] },
  ]
  for (const { at, source } of computation.mounts) wanted.push(...wantedOf(at, source, folder))
  for (const [i, source] of (computation.start?.mounts ?? []).entries())
    wanted.push(...wantedOf(`the warm-up's ${computation.mounts[i].at}`, source, folder))
  return wanted
}

function wantedOf(at: string, source: MountSource, folder: string): readonly Wanted[] {
  return source.kind === 'archive'
    ? [{ ...source.blob, name: `library at ${at}`, candidates: runtimeFiles() }]
    : source.files.map((file) => ({ ...file, name: file.path, candidates: [join(folder, file.path)] }))
}

async function gatherOne({ original, store }: GatherRequest, wanted: Wanted): Promise<boolean> {
  if (await store.has(wanted.sha256)) return true
  const attached = await original?.blob(wanted.sha256)
  if (attached !== undefined) return (await store.putBytes(attached)).sha256 === wanted.sha256
  for (const path of wanted.candidates) {
    if (await holds(path, wanted)) return (await store.putFile(path)).sha256 === wanted.sha256
  }
  return false
}

async function holds(path: string, { lengthBytes, sha256 }: BlobRef): Promise<boolean> {
  try {
    const { size } = await stat(path)
    return size === lengthBytes && hex(hash('sha256', await readFile(path), 'buffer')) === sha256
  } catch {
    return false
  }
}
