/** The hash thread: turns changed pages of the shadow into state roots and snapshots while the machine goes on, see hasher.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import {
  concat,
  encodeManifest,
  fromHex,
  snapshotRoot,
  type BlobRef,
  type GlobalValue,
  type SnapshotManifest,
  type SnapshotRef,
} from '@reprise/core'
import { nodeCrypto } from '../crypto.ts'
import { openBlobStore, refOf, type BlobSource, type BlobStore } from '../blobs/index.ts'
import { manifestMemory, MemoryPacker, type PackedMemory } from './packs.ts'
import type {
  BeginRequest,
  HashRequest,
  HashResult,
  HashWorkerData,
  MeasureRequest,
  RestoredRequest,
  SnapshotRequest,
  TakeOver,
} from './protocol.ts'
import { HashedMemory, releaseShadow } from './hashed-memory.ts'
import { serializedError } from './serialized-error.ts'
const { control, home, shadow } = workerData as HashWorkerData
const flags = new Int32Array(control)
const { sha256 } = nodeCrypto
const hashed = new HashedMemory(shadow)
const packer = new MemoryPacker()
/** All packs of this run, by number. */
const packs: BlobRef[] = []
let store: Promise<SnapshotStore> | undefined
/** Snapshots are written one after the other. */
let writing: Promise<void> = Promise.resolve()

function post(result: HashResult): void {
  parentPort?.postMessage(result)
}

function measure(request: MeasureRequest): void {
  const result = hashed.measure(request)
  packer.note(request.pages)
  releaseShadow(flags)
  post(result)
}

function restored(request: RestoredRequest): void {
  const result = hashed.restored(request)
  noteRuns(request)
  releaseShadow(flags)
  post(result)
}

interface SnapshotStore {
  at(position: bigint): Pick<BlobStore, 'putAll'>
}

async function openStore(): Promise<SnapshotStore> {
  if (home !== undefined) return await openBlobStore(home)
  const putAll = async (sources: readonly BlobSource[]) => sources.map((source) => refOf(source as Uint8Array))
  return { at: () => ({ putAll }) }
}

async function writeSnapshot(
  request: SnapshotRequest,
  memory: PackedMemory,
  state: Uint8Array,
  lengthBytes: number,
): Promise<void> {
  const blobs = await (store ??= openStore()).then((opened) => opened.at(request.position))
  const contents = await blobs.putAll(request.host.contents)
  const order = contents.map((blob) => fromHex(blob.sha256))
  const host = concat(countBytes(order.length), ...order, request.host.bytes)
  const small = await blobs.putAll([request.frames, host])
  const added = await blobs.putAll(memory.added)
  packs.push(...added)
  const manifest: SnapshotManifest = {
    schema: 'reprise/snapshot/v1',
    contents: [...new Map(contents.map((blob) => [blob.sha256, blob])).values()].sort((a, b) =>
      a.sha256 < b.sha256 ? -1 : 1,
    ),
    frames: small[0],
    globals: request.globals.map(globalValue),
    host: small[1],
    memoryBytes: lengthBytes,
    ...manifestMemory(memory, (pack) => packs[pack]),
    phase: request.phase,
    position: request.position.toString(),
  }
  const [kept] = await blobs.putAll([encodeManifest(manifest)])
  const addedBytes = [...added, ...small, ...contents, kept].reduce((sum, blob) => sum + blob.lengthBytes, 0)
  const root = snapshotRoot(state, request.frames, sha256)
  const snapshot: SnapshotRef = { root, frames: small[0].sha256, manifest: kept.sha256, addedBytes }
  post({ kind: 'snapshot', snapshot })
}

function countBytes(count: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, count)
  return bytes
}

function globalValue({ type, bits }: SnapshotRequest['globals'][number]): GlobalValue {
  const digits = type === 'v128' ? 32 : type === 'i64' || type === 'f64' ? 16 : 8
  return { bits: bits.toString(16).padStart(digits, '0'), type }
}

/** What is in the shadow counts as changed: of what was hashed before, no snapshot has been taken. */
parentPort?.once('message', ({ enginePort, lastState, request, begun }: TakeOver) => {
  if (begun !== undefined) {
    hashed.begin(begun)
    noteRuns(begun)
  }
  hashed.lastState = lastState
  if (request === undefined) releaseShadow(flags)
  else answer(request)
  enginePort.on('message', answer)
})

function noteRuns({ pages }: BeginRequest): void {
  for (const [first, count] of pages) packer.note(Array.from({ length: count }, (_, i) => first + i))
}

function answer(request: HashRequest): void {
  if (request.kind === 'changed') {
    hashed.changed(request)
    return packer.note(request.pages)
  }
  if (request.kind === 'measure') return measure(request)
  if (request.kind === 'restored') return restored(request)
  // Copied before the machine may change the shadow again; written behind it.
  const { lastState, memoryBytes } = hashed
  const memory = packer.pack(new Uint8Array(shadow, 0, memoryBytes))
  releaseShadow(flags)
  writing = writing
    .then(() => writeSnapshot(request, memory, lastState, memoryBytes))
    .catch((error: unknown) => post({ kind: 'failed', error: serializedError(error) }))
}
