/** The entries of a record: their names, their order, and how they are made. Format: spec/record.md §1. */
import { compare, utf8 } from '../bytes/index.ts'
import { canonical } from '../canon/index.ts'
import { EvidenceError } from '../error.ts'
import { blobsOf, useBlob, type BlobUses } from './blobs.ts'
import { crateOf } from './crate.ts'
import { decodeRecordDocument, logEntryName } from './document.ts'
import { encodeLine } from './lines.ts'
import { manifestBlobs } from './snapshot.ts'
import type {
  Attestation,
  Checkpoint,
  Environment,
  EnvironmentLog,
  RecordDocument,
  Snapshot,
  SnapshotManifest,
} from './types.ts'
import type { ZipInput } from './zip/index.ts'

export const CRATE_ENTRY = 'ro-crate-metadata.json'
export const RECORD_ENTRY = 'record.json'
export const CHECKPOINTS_ENTRY = 'checkpoints.jsonl'
export const SNAPSHOTS_ENTRY = 'snapshots.jsonl'
export const ATTESTATIONS_ENTRY = 'attestations.jsonl'

export function blobEntryName(sha256: string): string {
  return `blobs/sha256/${sha256}`
}

/** All entries that a record must have, in their order; blobs, sorted, come after them. */
export function requiredEntryNames(document: Pick<RecordDocument, 'attempts' | 'hosts'>): string[] {
  return [
    CRATE_ENTRY,
    RECORD_ENTRY,
    CHECKPOINTS_ENTRY,
    SNAPSHOTS_ENTRY,
    ATTESTATIONS_ENTRY,
    ...evidenceEntryNames(document),
  ]
}

/** Sorted, as they stand in a record. */
export function evidenceEntryNames({ attempts, hosts }: Pick<RecordDocument, 'attempts' | 'hosts'>): string[] {
  const ofHosts = hosts.flatMap(({ ak, certificates, ek }) => [ak, ...certificates, ...(ek === null ? [] : [ek])])
  const logs = attempts.flatMap(({ environment }) => carriedLogs(environment).map(({ sha256 }) => logEntryName(sha256)))
  return byNameBytes([...ofHosts, ...new Set(logs)], (name) => name)
}

type CarriedLog = Extract<EnvironmentLog, { readonly sha256: string }>

/** Those logs of an environment that a record carries. */
export function carriedLogs({ logs }: Pick<Environment, 'logs'>): readonly CarriedLog[] {
  return logs.flatMap((log) => ('sha256' in log ? [log] : []))
}

function byNameBytes<T>(items: readonly T[], nameOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, name: utf8(nameOf(item)) }))
    .sort((a, b) => compare(a.name, b.name))
    .map(({ item }) => item)
}

type Items<T> = () => Iterable<T> | AsyncIterable<T>

export interface AttachedBlob {
  /** Lower-case hex. */
  readonly sha256: string
  readonly lengthBytes: number
  /** The content; opened up to two times. */
  readonly open: ZipInput['open']
}

export interface RecordParts {
  readonly document: RecordDocument
  /** Called up to two times, with the same items each time. */
  readonly checkpoints: Items<Checkpoint>
  readonly snapshots: readonly Snapshot[]
  /** Those manifests, by digest, that are among the blobs: what they name may be attached as well. */
  readonly manifests?: ReadonlyMap<string, SnapshotManifest>
  readonly attestations: Items<Attestation>
  /** By entry name, exactly those that the hosts and environments of the document name. */
  readonly evidence: ReadonlyMap<string, Uint8Array>
  /** In any order. */
  readonly blobs: readonly AttachedBlob[]
}

/**
 * The entries of a record, for `writeZip`. The parts are put together as they are; whether they
 * hold is for `verifyRecord` to say.
 *
 * @throws {@link EvidenceError} `STRUCTURE` for a document that `decodeRecordDocument` refuses, for evidence or
 *   blobs that are missing, there twice or not named by it or an attached manifest.
 */
export function assembleRecord(parts: RecordParts): ZipInput[] {
  const document = decodeRecordDocument(parts.document)
  const evidenceNames = evidenceEntryNames(document)
  if (parts.evidence.size !== evidenceNames.length) {
    throw new EvidenceError('STRUCTURE', {
      message: `${parts.evidence.size} evidence entries for a record that names ${evidenceNames.length}`,
    })
  }
  return [
    text(CRATE_ENTRY, crateOf(document)),
    text(RECORD_ENTRY, canonical(document)),
    { name: CHECKPOINTS_ENTRY, method: 'deflated', open: () => encodeLines(parts.checkpoints()) },
    { name: SNAPSHOTS_ENTRY, method: 'deflated', open: () => encodeLines(parts.snapshots) },
    { name: ATTESTATIONS_ENTRY, method: 'deflated', open: () => encodeLines(parts.attestations()) },
    ...evidenceNames.map((name) => evidence(name, parts.evidence.get(name))),
    ...attached(blobsOfParts(document, parts), parts.blobs),
  ]
}

function text(name: string, content: string): ZipInput {
  const bytes = utf8(content)
  return { name, method: 'deflated', open: () => [bytes] }
}

function evidence(name: string, bytes: Uint8Array | undefined): ZipInput {
  if (bytes === undefined) throw new EvidenceError('STRUCTURE', { message: `${name} is missing` })
  return { name, method: 'smaller', open: () => [bytes] }
}

function blobsOfParts(document: RecordDocument, { snapshots, manifests = new Map(), blobs }: RecordParts): BlobUses {
  const uses = blobsOf(document)
  const named = new Set(snapshots.map(({ manifest }) => manifest))
  for (const blob of blobs) {
    const manifest = named.has(blob.sha256) ? manifests.get(blob.sha256) : undefined
    if (manifest === undefined) continue
    const at = { path: `snapshot ${blob.sha256}` }
    useBlob(uses, blob, at)
    for (const ref of manifestBlobs(manifest)) useBlob(uses, ref, at)
  }
  return uses
}

function attached(uses: BlobUses, blobs: readonly AttachedBlob[]): ZipInput[] {
  const seen = new Set<string>()
  for (const { sha256, lengthBytes } of blobs) {
    if (uses.get(sha256)?.lengthBytes !== lengthBytes || seen.has(sha256))
      throw new EvidenceError('STRUCTURE', {
        message: `blob ${sha256} is attached twice, or the record does not name it with ${lengthBytes} bytes`,
      })
    seen.add(sha256)
  }
  return byNameBytes(blobs, ({ sha256 }) => sha256).map(({ sha256, open }) => ({
    name: blobEntryName(sha256),
    method: 'smaller',
    open,
  }))
}

const PIECE_CHARS = 1 << 16

async function* encodeLines(items: ReturnType<Items<Checkpoint | Snapshot | Attestation>>): AsyncGenerator<Uint8Array> {
  let piece = ''
  for await (const item of items) {
    piece += encodeLine(item)
    if (piece.length < PIECE_CHARS) continue
    yield utf8(piece)
    piece = ''
  }
  if (piece !== '') yield utf8(piece)
}
