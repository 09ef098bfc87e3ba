/** Finding everything that a computation names: in the record, in the store, among the runtimes, in a folder. */
import { hash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hex, type BlobRef, type Computation } from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { RunnerError } from '../error.ts'
import { runtimeFiles } from '../definition/index.ts'
import type { LoadedRecord } from '../record/index.ts'

export interface GatherRequest {
  readonly computation: Computation
  /** Attached blobs come from here; undefined: there are none. */
  readonly original: Pick<LoadedRecord, 'blob'> | undefined
  readonly store: BlobStore
  /** Files are looked for here by the path they had. */
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
 * @throws {@link RunnerError} `BLOB_MISSING`, naming each missing one with its digest.
 */
export async function gatherBlobs(request: GatherRequest): Promise<void> {
  const missing: Wanted[] = []
  for (const wanted of wantedBlobs(request.computation, request.folder)) {
    if (!(await gatherOne(request, wanted))) missing.push(wanted)
  }
  if (missing.length === 0) return
  const lines = missing.map(({ name, sha256, lengthBytes }) => `  ${name}  ${lengthBytes} bytes  sha256:${sha256}`)
  throw new RunnerError('BLOB_MISSING', {
    message: `the record names what is neither attached nor on this machine:\n${lines.join('\n')}`,
    hint: 'put the files under their names into one folder and add --inputs FOLDER, or ask for a record made with --attach all',
    data: { missing: missing.map(({ name, sha256 }) => ({ name, sha256 })) },
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
  for (const { at, source } of computation.mounts) {
    if (source.kind === 'archive') wanted.push({ ...source.blob, name: `library at ${at}`, candidates: runtime })
    else
      wanted.push(...source.files.map((file) => ({ ...file, name: file.path, candidates: [join(folder, file.path)] })))
  }
  return wanted
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
