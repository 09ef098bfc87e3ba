/** Writing the record of a run: whole or not at all. */
import { access, constants, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import {
  assembleRecord,
  blobsOf,
  decodeManifestBytes,
  fromHex,
  manifestBlobs,
  writeZip,
  type Attestation,
  type AttachedBlob,
  type BlobRef,
  type Checkpoint,
  type RecordDocument,
  type Snapshot,
  type SnapshotManifest,
} from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { syncFolder, temporaryName, writeSynced } from '../durable.ts'
import { RunnerError, systemCode, writeFailure } from '../error.ts'

/**
 * What a record carries besides its evidence: nothing, the outputs, the program and its library too,
 * or everything that a repetition needs. The rest is named by digest.
 */
export const ATTACH_LEVELS = ['none', 'outputs', 'runtime', 'all'] as const
export type AttachLevel = (typeof ATTACH_LEVELS)[number]

export interface RecordRequest {
  readonly path: string
  readonly document: RecordDocument
  readonly evidence: {
    readonly checkpoints: readonly Checkpoint[]
    readonly snapshots: readonly Snapshot[]
    readonly attestations: readonly Attestation[]
  }
  /** As the document numbers them: TPMT_PUBLIC and DER, hex. */
  readonly hosts: readonly { readonly ak: string; readonly ek: string | null }[]
  readonly attach: AttachLevel
  readonly store: BlobStore
}

/**
 * Whether a record can be written there, asked before anything is run for it.
 *
 * @throws {@link RunnerError} `USAGE` when a folder stands there or its folder is missing; `WRITE` when it may not be written to.
 */
export async function checkRecordPlace(path: string): Promise<void> {
  const folder = dirname(path)
  if ((await kindOf(folder)) !== 'folder') throw badPlace(path, `there is no folder ${folder}`)
  const found = await kindOf(path)
  if (found !== 'file' && found !== 'nothing')
    throw badPlace(path, found === 'folder' ? 'it is a folder' : 'it is no file')
  await access(folder, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw writeFailure(error, path, 'the record')
  })
}

async function kindOf(path: string): Promise<'file' | 'folder' | 'nothing' | 'other'> {
  try {
    const found = await stat(path)
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other'
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return 'nothing'
    throw writeFailure(error, path, 'the record')
  }
}

function badPlace(path: string, why: string): RunnerError {
  return new RunnerError('USAGE', {
    message: `the record cannot be written to ${path}: ${why}`,
    hint: 'name a file in a folder that is there: -o FILE',
  })
}

/** @returns Size of the record in bytes. */
export async function writeRecord({ path, document, evidence, hosts, attach, store }: RecordRequest): Promise<number> {
  const files = new Map<string, Uint8Array>()
  for (const [i, { ak, ek }] of hosts.entries()) {
    const named = document.hosts[i]
    files.set(named.ak, fromHex(ak))
    if (named.ek !== null && ek !== null) files.set(named.ek, fromHex(ek))
  }
  const manifests =
    attach === 'all' ? await readManifests(evidence.snapshots, store) : new Map<string, SnapshotManifest>()
  const blobs = [...attachedBlobs(document, attach, store), ...(await snapshotBlobs(manifests, document, store))]
  const entries = assembleRecord({
    document,
    checkpoints: () => evidence.checkpoints,
    snapshots: evidence.snapshots,
    attestations: () => evidence.attestations,
    evidence: files,
    blobs,
    manifests,
  })
  const temporary = temporaryName(dirname(path))
  try {
    await writeSynced(temporary, writeZip(entries))
    await rename(temporary, path)
    await syncFolder(dirname(path))
    return (await stat(path)).size
  } catch (error) {
    await rm(temporary, { force: true })
    throw writeFailure(error, path, 'the record')
  }
}

function attachedBlobs(document: RecordDocument, attach: AttachLevel, store: BlobStore): AttachedBlob[] {
  const level = ATTACH_LEVELS.indexOf(attach)
  const { computation, outcome } = document
  const wanted = new Set<string>()
  if (level >= 1) for (const { sha256 } of outcome?.outputs ?? []) wanted.add(sha256)
  // Of a warm start only what it is made from, never itself: whoever repeats makes it.
  const ofStart = computation.start?.mounts ?? []
  const bootstrap = ofStart.flatMap((source) => (source.kind === 'files' ? source.files : []))
  if (level >= 1) for (const { sha256 } of bootstrap) wanted.add(sha256)
  if (level >= 2) {
    wanted.add(computation.program.sha256)
    const sources = [...computation.mounts.map(({ source }) => source), ...ofStart]
    for (const source of sources) if (source.kind === 'archive') wanted.add(source.blob.sha256)
  }
  return [...blobsOf(document)]
    .filter(([sha256]) => level >= 3 || wanted.has(sha256))
    .map(([sha256, { lengthBytes }]) => ({ sha256, lengthBytes, open: () => store.stream(sha256) }))
}

async function readManifests(
  snapshots: readonly Snapshot[],
  store: BlobStore,
): Promise<ReadonlyMap<string, SnapshotManifest>> {
  const manifests = new Map<string, SnapshotManifest>()
  for (const { manifest } of snapshots) manifests.set(manifest, decodeManifestBytes(await store.read(manifest)))
  return manifests
}

/** The manifests and all that they name, but what is attached for the computation already. */
async function snapshotBlobs(
  manifests: ReadonlyMap<string, SnapshotManifest>,
  document: RecordDocument,
  store: BlobStore,
): Promise<readonly AttachedBlob[]> {
  const wanted = new Map<string, BlobRef>()
  for (const [sha256, manifest] of manifests) {
    wanted.set(sha256, { sha256, lengthBytes: (await store.read(sha256)).length })
    for (const blob of manifestBlobs(manifest)) wanted.set(blob.sha256, blob)
  }
  for (const sha256 of blobsOf(document).keys()) wanted.delete(sha256)
  return [...wanted.values()].map((blob) => ({ ...blob, open: () => store.stream(blob.sha256) }))
}
