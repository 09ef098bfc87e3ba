/**
 * What is kept of a warm-up, in one file: all that a machine is restored from, and the small modules that continue its
 * stack. It is a cache and no evidence: the computation seals the snapshotRoot, and what gives another one is made anew.
 *
 *     32 bytes SHA-256 of what follows up to the digests, 4 bytes length of the head (big-endian), the head as JSON,
 *     the digests of the tree over the memory, its pages that are not zero, the modules one after the other
 *
 * That digests and pages belong to the root of the memory, a CRC-32 says: it finds what accident has changed, in a tenth of the
 * time that hashing them takes.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import {
  concat,
  DIGEST_BYTES,
  digestCount,
  equal,
  fromHex,
  fromUtf8,
  hex,
  PAGE_BYTES,
  PageTree,
  snapshotRoot,
  stateRoot,
  utf8,
} from '@reprise/core'
import {
  decodeFrames,
  encodeEngineState,
  encodeFrames,
  type Activations,
  type GlobalState,
  type KeptContinuation,
} from '@reprise/wasm'
import { nodeCrypto } from '../../crypto.ts'

const { sha256 } = nodeCrypto
const HEADER_BYTES = 36
/** One of CPython has 20 kB. */
const HEAD_BYTES_MAX = 1 << 18

/** A guest at its warm point. */
export interface WarmedUp {
  readonly activations: Activations
  readonly globals: readonly GlobalState[]
  /** As the host encodes itself. */
  readonly hostState: Uint8Array
  readonly memory: Uint8Array
  readonly continuations: readonly KeptContinuation[]
}

/** Of the head. */
export interface WarmHead {
  /** Hex, like all digests and bytes here. */
  readonly snapshotRoot: string
  readonly memoryRoot: string
  readonly memoryBytes: number
  /** [first page, count]: those that stand in the file. */
  readonly pages: readonly (readonly [number, number])[]
  readonly frames: string
  readonly globals: readonly { readonly type: GlobalState['type']; readonly bits: string }[]
  readonly hostState: string
  readonly continuations: readonly (Omit<KeptContinuation, 'bytes'> & { readonly lengthBytes: number })[]
  /** CRC-32 of the digests and the pages. */
  readonly sum: number
  /** Of the modules. */
  readonly modules: string
}

export interface WarmEntry {
  readonly head: WarmHead
  /** Of the tree over the memory. */
  readonly digests: Uint8Array
  readonly modules: Uint8Array
  /**
   * Puts the pages into a memory of zeros, as far as they are there: see {@link isWhole}.
   *
   * @param target - May be shared.
   */
  readonly unpack: (target: Uint8Array) => Promise<void>
}

/** One that was made just now, whose bytes are all here. */
export interface MadeEntry extends WarmEntry {
  /** The pages that are not zero. */
  readonly pages: Uint8Array
}

export function warmEntry({ activations, globals, hostState, memory, continuations }: WarmedUp): MadeEntry {
  const tree = new PageTree(sha256)
  tree.update(
    memory,
    Int32Array.from({ length: memory.length / PAGE_BYTES }, (_, page) => page),
  )
  const memoryRoot = tree.root()
  const digests = tree.digests()
  const runs = pageRuns(memory)
  const frames = encodeFrames(activations)
  const modules = concat(...continuations.map(({ bytes }) => bytes))
  const state = stateRoot(memoryRoot, encodeEngineState(globals, hostState), sha256)
  const pages = concat(
    ...runs.map(([first, count]) => memory.subarray(first * PAGE_BYTES, (first + count) * PAGE_BYTES)),
  )
  const head: WarmHead = {
    snapshotRoot: hex(snapshotRoot(state, frames, sha256)),
    memoryRoot: hex(memoryRoot),
    memoryBytes: memory.length,
    pages: runs,
    frames: hex(frames),
    globals: globals.map(({ type, bits }) => ({ type, bits: bits.toString(16) })),
    hostState: hex(hostState),
    continuations: continuations.map(({ bytes, ...rest }) => ({ ...rest, lengthBytes: bytes.length })),
    sum: crc32(pages, crc32(digests)),
    modules: hex(sha256(modules)),
  }
  return {
    head,
    digests,
    pages,
    modules,
    unpack: async (target) => {
      let at = 0
      for (const place of placesOf(head, target)) place.set(pages.subarray(at, (at += place.length)))
    },
  }
}

function placesOf({ pages }: WarmHead, target: Uint8Array): Uint8Array[] {
  return pages.map(([first, count]) => target.subarray(first * PAGE_BYTES, (first + count) * PAGE_BYTES))
}

/** Whether an entry has its digests, and a memory its pages where they belong. What else it has is zeros. */
export function isWhole({ head, digests }: Pick<WarmEntry, 'head' | 'digests'>, memory: Uint8Array): boolean {
  return placesOf(head, memory).reduce((sum, place) => crc32(place, sum), crc32(digests)) === head.sum
}

function pageRuns(memory: Uint8Array): readonly (readonly [number, number])[] {
  const words = new BigUint64Array(memory.buffer, memory.byteOffset, memory.length / 8)
  const wordsPerPage = PAGE_BYTES / 8
  const runs: [number, number][] = []
  for (let page = 0; page < memory.length / PAGE_BYTES; page++) {
    if (words.subarray(page * wordsPerPage, (page + 1) * wordsPerPage).every((word) => word === 0n)) continue
    const last = runs.at(-1)
    if (last !== undefined && last[0] + last[1] === page) last[1] += 1
    else runs.push([page, 1])
  }
  return runs
}

export function encodeWarmEntry({ head, digests, pages, modules }: MadeEntry): Uint8Array {
  const text = utf8(JSON.stringify(head))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, text.length)
  return concat(sha256(concat(length, text)), length, text, digests, pages, modules)
}

/** Undefined when there is no entry, or one with a damaged head. */
export async function readWarmHead(path: string): Promise<WarmHead | undefined> {
  return await withFile(path, async (file) => (await readHead(file))?.head)
}

/**
 * Reads an entry whose head is whole and gives its snapshotRoot, and whose modules are whole. Whether digests and pages are,
 * {@link isWhole} says.
 *
 * @returns Undefined when there is none, or a damaged one.
 */
export async function readWarmEntry(path: string): Promise<WarmEntry | undefined> {
  return await withFile(path, async (file) => {
    const decoded = await readHead(file)
    if (decoded === undefined) return undefined
    const { head, headEnd } = decoded
    const count = head.pages.reduce((sum, [, each]) => sum + each, 0)
    const digests = new Uint8Array(DIGEST_BYTES * digestCount(head.memoryBytes / PAGE_BYTES))
    const pagesAt = headEnd + digests.length
    const pagesEnd = pagesAt + PAGE_BYTES * count
    const modulesBytes = (await file.stat()).size - pagesEnd
    if (modulesBytes < 0) return undefined
    await file.read(digests, 0, digests.length, headEnd)
    const modules = new Uint8Array(modulesBytes)
    await file.read(modules, 0, modulesBytes, pagesEnd)
    if (hex(sha256(modules)) !== head.modules) return undefined
    return { head, digests, modules, unpack: (target) => readPages(path, pagesAt, placesOf(head, target)) }
  })
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}

/** The kernel takes no more pieces at once. */
const PIECES_MAX = 1024

/** Straight to where they belong: by way of a buffer of the file's length it takes three times as long. */
async function readPages(path: string, position: number, places: readonly Uint8Array[]): Promise<void> {
  await withFile(path, async (file) => {
    let at = position
    for (let i = 0; i < places.length; i += PIECES_MAX) {
      const some = places.slice(i, i + PIECES_MAX)
      await file.readv(some, at)
      at += some.reduce((sum, { length }) => sum + length, 0)
    }
  })
}

async function readHead(file: FileHandle): Promise<ReturnType<typeof decodeHead>> {
  const bytes = new Uint8Array(HEAD_BYTES_MAX)
  const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
  return decodeHead(bytes.subarray(0, bytesRead))
}

function decodeHead(file: Uint8Array): { readonly head: WarmHead; readonly headEnd: number } | undefined {
  if (file.length < HEADER_BYTES) return undefined
  const headEnd = HEADER_BYTES + new DataView(file.buffer, file.byteOffset).getUint32(32)
  if (headEnd > Math.min(file.length, HEAD_BYTES_MAX)) return undefined
  if (!equal(file.subarray(0, 32), sha256(file.subarray(32, headEnd)))) return undefined
  const head = JSON.parse(fromUtf8(file.subarray(HEADER_BYTES, headEnd))) as WarmHead
  return rootOf(head) === head.snapshotRoot ? { head, headEnd } : undefined
}

function rootOf({ memoryRoot, globals, hostState, frames }: WarmHead): string {
  const engineState = encodeEngineState(globalsOf(globals), fromHex(hostState))
  return hex(snapshotRoot(stateRoot(fromHex(memoryRoot), engineState, sha256), fromHex(frames), sha256))
}

function globalsOf(globals: WarmHead['globals']): readonly GlobalState[] {
  return globals.map(({ type, bits }) => ({ type, bits: BigInt(`0x${bits}`) }))
}

/** All but the memory, as a machine thread is told. */
export interface WarmStack {
  readonly frames: Uint8Array
  readonly globals: readonly GlobalState[]
  readonly continuations: readonly KeptContinuation[]
}

export function warmStack({ head, modules }: Pick<WarmEntry, 'head' | 'modules'>): WarmStack {
  let at = 0
  const continuations = head.continuations.map(({ lengthBytes, ...rest }): KeptContinuation => {
    const bytes = modules.slice(at, (at += lengthBytes))
    return { ...rest, bytes }
  })
  return { frames: fromHex(head.frames), globals: globalsOf(head.globals), continuations }
}

/** The stack of a warm start as a guest is continued with it. */
export function keptStack({ frames, continuations }: WarmStack): {
  readonly activations: Activations
  readonly continuations: readonly KeptContinuation[]
} {
  return { activations: decodeFrames(frames), continuations }
}
