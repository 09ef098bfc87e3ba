/** Writing the record of a run: whole or not at all. */
import { access, constants, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  assembleRecord,
  blobsOf,
  decodeManifestBytes,
  EvidenceError,
  fromHex,
  hostEntryNames,
  logEntryName,
  manifestBlobs,
  writeZip,
  type AttachedBlob,
  type BlobRef,
  type RecordDocument,
  type Snapshot,
  type SnapshotManifest,
} from '@reprise/core'
import type { BlobStore } from '../blobs/index.ts'
import { deflate } from './deflate.ts'
import { syncFolder, temporaryName, writeSynced } from '../durable.ts'
import { RunnerError, systemCode, writeFailure } from '../error.ts'
import { logsOf } from '../host/index.ts'
import { keptSnapshots, resumePoint, type JournalRun } from '../journal/index.ts'

/**
 * What a record carries besides its evidence: nothing, the outputs, the program and its library too, all that going on needs
 * (the inputs and the newest signed snapshot), or everything that a repetition in parts needs. The rest is named by digest.
 */
export const ATTACH_LEVELS = ['none', 'outputs', 'runtime', 'resume', 'all'] as const
export type AttachLevel = (typeof ATTACH_LEVELS)[number]

export interface RecordRequest {
  readonly path: string
  readonly run: JournalRun
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

/**
 * Writes what a journal says of its run.
 *
 * @returns Size of the record in bytes.
 */
export async function writeRecord({ path, run, attach, store }: RecordRequest): Promise<number> {
  const document = documentOf(run)
  const files = new Map<string, Uint8Array>()
  for (const [i, { ak, certificates, ek }] of run.hosts.entries()) {
    const named = document.hosts[i]
    files.set(named.ak, fromHex(ak))
    for (const [place, der] of certificates.entries()) files.set(named.certificates[place], fromHex(der))
    if (named.ek !== null && ek !== null) files.set(named.ek, fromHex(ek))
  }
  for (const sha256 of logsOf(run)) files.set(logEntryName(sha256), await store.read(sha256))
  const manifests = await readManifests(attachedSnapshots(run, attach), store)
  const blobs = [...attachedBlobs(document, attach, store), ...(await snapshotBlobs(manifests, document, store))]
  const entries = assembleRecord({
    document,
    checkpoints: () => oneByOne(run.checkpoints()),
    snapshots: run.snapshots,
    attestations: () => oneByOne(run.attestations()),
    evidence: files,
    blobs,
    manifests,
  })
  const temporary = temporaryName(dirname(path))
  try {
    await writeSynced(temporary, writeZip(entries, deflate, crc32))
    await rename(temporary, path)
    await syncFolder(dirname(path))
    return (await stat(path)).size
  } catch (error) {
    await rm(temporary, { force: true })
    throw error instanceof RunnerError || error instanceof EvidenceError
      ? error
      : writeFailure(error, path, 'the record')
  }
}

function documentOf({ attempts, computation, hosts, outcome, run }: JournalRun): RecordDocument {
  return {
    schema: 'reprise/record/v1',
    attempts,
    computation,
    hosts: hosts.map(({ certificates, ek }, i) => {
      const names = hostEntryNames(i)
      return {
        ak: names.ak,
        certificates: certificates.map((_, place) => names.certificate(place)),
        ek: ek === null ? null : names.ek,
      }
    }),
    outcome,
    run,
  }
}

async function* oneByOne<T>(batches: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const batch of batches) yield* batch
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

function attachedSnapshots(run: JournalRun, attach: AttachLevel): readonly Snapshot[] {
  if (attach === 'all') return keptSnapshots(run)
  const point = attach === 'resume' ? resumePoint(run) : undefined
  return point === undefined ? [] : [point.snapshot]
}

/** Of those snapshots that the store has whole: a part of one helps nobody. */
async function readManifests(
  snapshots: readonly Snapshot[],
  store: BlobStore,
): Promise<ReadonlyMap<string, SnapshotManifest>> {
  const manifests = new Map<string, SnapshotManifest>()
  const found = new Map<string, boolean>()
  const isThere = async (sha256: string): Promise<boolean> => {
    const known = found.get(sha256) ?? (await store.has(sha256))
    found.set(sha256, known)
    return known
  }
  for (const { manifest } of snapshots) {
    if (!(await isThere(manifest))) continue
    const decoded = decodeManifestBytes(await store.read(manifest))
    const there = await Promise.all(manifestBlobs(decoded).map(({ sha256 }) => isThere(sha256)))
    if (!there.includes(false)) manifests.set(manifest, decoded)
  }
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
