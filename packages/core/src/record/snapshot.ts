/** The manifest of a snapshot: what a machine is restored from. Format: spec/record.md §8. */
import { utf8 } from '../bytes/index.ts'
import { canonical, parseCanonicalBytes } from '../canon/index.ts'
import { PAGE_BYTES } from '../merkle/index.ts'
import { decodeBlobRef } from './computation.ts'
import * as limits from './limits.ts'
import { decimal, exactly, fields, integer, list, oneOf, tooLarge, wrong } from './shape.ts'
import {
  GLOBAL_TYPES,
  SNAPSHOT_PHASES,
  type BlobRef,
  type GlobalValue,
  type PageRun,
  type SnapshotManifest,
} from './types.ts'

const WASM_PAGE_BYTES = 65_536
const MEMORY_BYTES_MAX = limits.MEMORY_PAGES_MAX * WASM_PAGE_BYTES
const HEX_DIGITS: Readonly<Record<GlobalValue['type'], number>> = { i32: 8, i64: 16, f32: 8, f64: 16, v128: 32 }

/**
 * @param value - Parsed JSON; nobody else may change it afterwards.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`, with the path of what is wrong.
 */
export function decodeManifest(value: unknown, path = '$'): SnapshotManifest {
  const manifest = fields(value, path, [
    'contents',
    'frames',
    'globals',
    'host',
    'memoryBytes',
    'packs',
    'pages',
    'phase',
    'position',
    'schema',
  ])
  const memoryBytes = integer(manifest.memoryBytes, `${path}.memoryBytes`, { min: 0, max: MEMORY_BYTES_MAX })
  if (memoryBytes % WASM_PAGE_BYTES !== 0) throw wrong(`${path}.memoryBytes`, `is no multiple of ${WASM_PAGE_BYTES}`)
  const packs = list(manifest.packs, `${path}.packs`, limits.PACKS_MAX, decodePack)
  const pages = list(manifest.pages, `${path}.pages`, limits.PAGE_RUNS_MAX, decodeRun)
  checkPages({ memoryBytes, packs, pages }, path)
  return {
    schema: exactly(manifest.schema, `${path}.schema`, 'reprise/snapshot/v1'),
    contents: decodeContents(manifest.contents, `${path}.contents`),
    frames: decodeBlobRef(manifest.frames, `${path}.frames`),
    globals: list(manifest.globals, `${path}.globals`, limits.GLOBALS_MAX, decodeGlobal),
    host: decodeBlobRef(manifest.host, `${path}.host`),
    memoryBytes,
    packs,
    pages,
    phase: oneOf(manifest.phase, `${path}.phase`, SNAPSHOT_PHASES),
    position: decimal(manifest.position, `${path}.position`),
  }
}

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`. */
export function decodeManifestBytes(bytes: Uint8Array, what = 'manifest'): SnapshotManifest {
  return decodeManifest(parseCanonicalBytes(bytes, limits.MANIFEST_BYTES_MAX, what), `${what} $`)
}

/** @throws {@link EvidenceError} `STRUCTURE` or `LIMIT` for what {@link decodeManifest} would refuse. */
export function encodeManifest(manifest: SnapshotManifest): Uint8Array {
  const bytes = utf8(canonical(decodeManifest(manifest)))
  if (bytes.length > limits.MANIFEST_BYTES_MAX) throw tooLarge('$', `has ${bytes.length} bytes`)
  return bytes
}

/** All blobs that a manifest names; one may come twice. */
export function manifestBlobs({ contents, frames, host, packs }: SnapshotManifest): readonly BlobRef[] {
  return [frames, host, ...packs, ...contents]
}

function decodePack(value: unknown, path: string): BlobRef {
  const pack = decodeBlobRef(value, path)
  if (pack.lengthBytes === 0 || pack.lengthBytes % PAGE_BYTES !== 0)
    throw wrong(`${path}.lengthBytes`, `is no positive multiple of ${PAGE_BYTES}`)
  if (pack.lengthBytes > limits.PACK_BYTES_MAX)
    throw tooLarge(`${path}.lengthBytes`, `is ${pack.lengthBytes}; at most ${limits.PACK_BYTES_MAX} are read`)
  return pack
}

const COUNT = { min: 0, max: MEMORY_BYTES_MAX / PAGE_BYTES }

function decodeRun(value: unknown, path: string): PageRun {
  const numbers = list(value, path, 4, (item, at) => integer(item, at, COUNT))
  if (numbers.length !== 4 || numbers[1] === 0) throw wrong(path, 'is not four numbers, the second of them above 0')
  return numbers as unknown as PageRun
}

/** Runs ascend, within memory and packs; every pack is there once and for something. */
function checkPages(
  { memoryBytes, packs, pages }: Pick<SnapshotManifest, 'memoryBytes' | 'packs' | 'pages'>,
  path: string,
): void {
  if (new Set(packs.map(({ sha256 }) => sha256)).size !== packs.length) throw wrong(`${path}.packs`, 'name one twice')
  const unused = new Set(packs.keys())
  let next = 0
  for (const [i, [first, count, pack, firstInPack]] of pages.entries()) {
    const at = `${path}.pages[${i}]`
    if (first < next) throw wrong(at, 'does not come after the run before it')
    next = first + count
    if (next * PAGE_BYTES > memoryBytes) throw wrong(at, 'reaches beyond the memory')
    if (pack >= packs.length) throw wrong(at, `names pack ${pack} of ${packs.length}`)
    if ((firstInPack + count) * PAGE_BYTES > packs[pack].lengthBytes) throw wrong(at, `reaches beyond pack ${pack}`)
    unused.delete(pack)
  }
  for (const pack of unused) throw wrong(`${path}.packs[${pack}]`, 'is used by no run')
}

function decodeContents(value: unknown, path: string): readonly BlobRef[] {
  const contents = list(value, path, limits.CONTENTS_MAX, decodeBlobRef)
  for (let i = 1; i < contents.length; i++) {
    if (contents[i - 1].sha256 >= contents[i].sha256) throw wrong(`${path}[${i}].sha256`, 'does not ascend')
  }
  return contents
}

function decodeGlobal(value: unknown, path: string): GlobalValue {
  const global = fields(value, path, ['bits', 'type'])
  const type = oneOf(global.type, `${path}.type`, GLOBAL_TYPES)
  const { bits } = global
  if (typeof bits !== 'string' || bits.length !== HEX_DIGITS[type] || !/^[0-9a-f]+$/.test(bits))
    throw wrong(`${path}.bits`, `is not ${HEX_DIGITS[type]} lower-case hex digits`)
  return { bits, type }
}
