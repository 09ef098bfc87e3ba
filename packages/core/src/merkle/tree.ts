/**
 * Hash trees in the shape of RFC 9162 §2.1: split at the largest power of two below n, no padding.
 * Paired level by level, an odd last node moves up unchanged, which is the same shape.
 *
 * Format: spec/measurement.md §2. Every kind of tree has its own tags, and a root commits to the
 * number of leaves, so a tree of one kind or size can never pass for another.
 */
import { concat, equal, tupleDigest, utf8 } from '../bytes/index.ts'
import type { Sha256 } from '../crypto.ts'

export const DIGEST_BYTES = 32

export const PAGE_BYTES = 4096

/** The kinds of tree, as they stand in the tags. */
export type TreeKind = 'pages' | 'outputs' | 'inodes' | 'batch' | 'peers'

export interface TreeHash {
  leaf(data: Uint8Array): Uint8Array
  node(left: Uint8Array, right: Uint8Array): Uint8Array
  root(leafCount: number, top: Uint8Array | undefined): Uint8Array
}

/** The three hash functions of one kind of tree. */
export function treeHash(kind: TreeKind, sha256: Sha256): TreeHash {
  const leafTag = utf8(`reprise/${kind}/leaf\0`)
  const rootTag = `reprise/${kind}/root`
  const nodeTag = utf8(`reprise/${kind}/node\0`)
  // One buffer each for all pages and all nodes: they are the hot path of a checkpoint.
  let leafInput = concat(leafTag, new Uint8Array(DIGEST_BYTES))
  let nodeInput: Uint8Array | undefined
  return {
    leaf(data) {
      const lengthBytes = leafTag.length + data.length
      if (data.length > PAGE_BYTES) return sha256(concat(leafTag, data))
      if (lengthBytes > leafInput.length) leafInput = concat(leafTag, new Uint8Array(data.length))
      leafInput.set(data, leafTag.length)
      return sha256(leafInput.subarray(0, lengthBytes))
    },
    node(left, right) {
      nodeInput ??= concat(nodeTag, new Uint8Array(2 * DIGEST_BYTES))
      nodeInput.set(left, nodeTag.length)
      nodeInput.set(right, nodeTag.length + DIGEST_BYTES)
      return sha256(nodeInput)
    },
    root: (leafCount, top) => tupleDigest(sha256, rootTag, BigInt(leafCount), ...(top === undefined ? [] : [top])),
  }
}

/** Root over leaf digests that are already there; the one-shot counterpart of {@link HashTree}. */
export function treeRoot(hash: TreeHash, leaves: readonly Uint8Array[]): Uint8Array {
  let level: readonly Uint8Array[] = leaves
  while (level.length > 1) level = nextLevel(hash, level)
  return hash.root(leaves.length, level[0])
}

function nextLevel(hash: TreeHash, level: readonly Uint8Array[]): Uint8Array[] {
  const next: Uint8Array[] = []
  for (let i = 0; i < level.length; i += 2) {
    const left = level[i]
    const right = level[i + 1]
    next.push(right === undefined ? left : hash.node(left, right))
  }
  return next
}

/** The sibling digests from leaf to top, nearest first (RFC 9162 §2.1.3). */
export function inclusionPath(hash: TreeHash, leaves: readonly Uint8Array[], index: number): Uint8Array[] {
  const path: Uint8Array[] = []
  let level: readonly Uint8Array[] = leaves
  for (let at = index; level.length > 1; at >>= 1) {
    const sibling = level[at ^ 1]
    if (sibling !== undefined) path.push(sibling)
    level = nextLevel(hash, level)
  }
  return path
}

/** All inclusion paths of one tree, each as {@link inclusionPath} gives it. */
export function inclusionPaths(
  hash: TreeHash,
  leaves: readonly Uint8Array[],
): { root: Uint8Array; paths: Uint8Array[][] } {
  const paths: Uint8Array[][] = leaves.map(() => [])
  let level: readonly Uint8Array[] = leaves
  for (let shift = 0; level.length > 1; shift++) {
    for (let i = 0; i < leaves.length; i++) {
      const sibling = level[(i >>> shift) ^ 1]
      if (sibling !== undefined) paths[i]?.push(sibling)
    }
    level = nextLevel(hash, level)
  }
  return { root: hash.root(leaves.length, level[0]), paths }
}

/**
 * The root that a leaf and its path lead to, or undefined when the path has not exactly the length
 * that this index and count demand.
 */
export function rootFromPath(
  hash: TreeHash,
  proof: { leaf: Uint8Array; index: number; leafCount: number; path: readonly Uint8Array[] },
): Uint8Array | undefined {
  const { leaf, leafCount, path } = proof
  if (!(Number.isSafeInteger(proof.index) && proof.index >= 0 && proof.index < leafCount)) return undefined
  let digest = leaf
  let used = 0
  let at = proof.index
  for (let width = leafCount; width > 1; width = (width + 1) >>> 1, at >>>= 1) {
    if ((at ^ 1) >= width) continue
    const sibling = path[used++]
    if (sibling === undefined) return undefined
    digest = at & 1 ? hash.node(sibling, digest) : hash.node(digest, sibling)
  }
  return used === path.length ? hash.root(leafCount, digest) : undefined
}

/**
 * A tree that is kept: leaves change, the root is brought up to date by hashing only the paths
 * above changed leaves. Costs 64 bytes a leaf.
 */
export class HashTree {
  readonly #hash: TreeHash
  /** levels[0] are the leaves; each level is one flat array of digests. */
  #levels: Uint8Array[] = [new Uint8Array(0)]
  #leafCount = 0
  readonly #changed = new Set<number>()
  /** All leaves from here on have changed. */
  #filledFrom = Infinity

  constructor(hash: TreeHash) {
    this.#hash = hash
  }

  get leafCount(): number {
    return this.#leafCount
  }

  /** Sets the number of leaves; new ones must be set before the next `root()`. */
  resize(leafCount: number): void {
    if (leafCount === this.#leafCount) return
    const old = this.#leafCount
    this.#leafCount = leafCount
    for (const index of this.#changed) if (index >= leafCount) this.#changed.delete(index)
    this.#levels = widths(leafCount).map((width, depth) =>
      resized(this.#levels[depth] ?? new Uint8Array(0), width * DIGEST_BYTES),
    )
    // The right edge changes shape on both sides of the cut: hash the last common leaf's path again.
    const edge = Math.min(old, leafCount) - 1
    if (edge >= 0) this.#changed.add(edge)
  }

  setLeaf(index: number, digest: Uint8Array): void {
    if (index >= this.#leafCount) throw new RangeError(`leaf ${index} of ${this.#leafCount}`)
    const level = this.#levels[0]
    const at = index * DIGEST_BYTES
    if (equal(level.subarray(at, at + DIGEST_BYTES), digest)) return
    level.set(digest, at)
    if (index < this.#filledFrom) this.#changed.add(index)
  }

  /** Sets all leaves from `first` to the last to one digest. */
  fill(first: number, digest: Uint8Array): void {
    if (first >= this.#leafCount) return
    const level = this.#levels[0]
    const start = first * DIGEST_BYTES
    level.set(digest, start)
    // What is set already is copied behind itself, twice as much each time.
    for (let done = DIGEST_BYTES; start + done < level.length; done *= 2)
      level.copyWithin(start + done, start, start + Math.min(done, level.length - start - done))
    this.#filledFrom = Math.min(this.#filledFrom, first)
  }

  /** The digests of all leaves and of all nodes above them, level by level: what {@link takeOver} goes on from. */
  digests(): Uint8Array {
    this.root()
    return concat(...this.#levels)
  }

  /**
   * Becomes the tree of so many leaves that had these digests, without hashing anything.
   *
   * @throws RangeError when they are not as many as such a tree has.
   */
  takeOver(leafCount: number, digests: Uint8Array): void {
    const wanted = digestCount(leafCount) * DIGEST_BYTES
    if (digests.length !== wanted) throw new RangeError(`${digests.length} bytes of digests, not ${wanted}`)
    let at = 0
    this.#leafCount = leafCount
    this.#levels = widths(leafCount).map((width) => digests.slice(at, (at += width * DIGEST_BYTES)))
    this.#changed.clear()
    this.#filledFrom = Infinity
  }

  root(): Uint8Array {
    let changed: ReadonlySet<number> = this.#changed
    let filledFrom = this.#filledFrom
    for (let depth = 0; depth + 1 < this.#levels.length; depth++) {
      changed = this.#raise(depth, changed, filledFrom)
      filledFrom = Math.floor(filledFrom / 2)
    }
    this.#changed.clear()
    this.#filledFrom = Infinity
    const top = this.#levels[this.#levels.length - 1]
    return this.#hash.root(this.#leafCount, top.length === 0 ? undefined : top)
  }

  /** @returns What has changed above, but for what is above the nodes from `filledFrom` on. */
  #raise(depth: number, changed: ReadonlySet<number>, filledFrom: number): ReadonlySet<number> {
    const level = this.#levels[depth]
    const above = this.#levels[depth + 1]
    const words = new Int32Array(level.buffer, 0, level.length / 4)
    const first = Math.floor(filledFrom / 2)
    const width = above.length / DIGEST_BYTES
    for (let parent = first; parent < width; parent++) {
      const at = parent * DIGEST_BYTES
      // Long runs of equal leaves, most often pages of zeros, have equal nodes above them.
      if (parent > first && isPairBefore(words, parent)) above.copyWithin(at, at - DIGEST_BYTES, at)
      else above.set(this.#nodeOver(level, parent), at)
    }
    const parents = new Set<number>()
    for (const index of changed) {
      const parent = index >>> 1
      if (parent >= first || parents.has(parent)) continue
      parents.add(parent)
      above.set(this.#nodeOver(level, parent), parent * DIGEST_BYTES)
    }
    return parents
  }

  #nodeOver(level: Uint8Array, parent: number): Uint8Array {
    const left = level.subarray(2 * parent * DIGEST_BYTES, (2 * parent + 1) * DIGEST_BYTES)
    const right = level.subarray((2 * parent + 1) * DIGEST_BYTES, (2 * parent + 2) * DIGEST_BYTES)
    return right.length === 0 ? left : this.#hash.node(left, right)
  }
}

/** How many digests each level of a tree has, from its leaves up. */
function widths(leafCount: number): number[] {
  const all = [leafCount]
  for (let width = leafCount; width > 1;) all.push((width = (width + 1) >>> 1))
  return all
}

/** Those of leaves and nodes, all together. */
export function digestCount(leafCount: number): number {
  return widths(leafCount).reduce((sum, width) => sum + width, 0)
}

const PAIR_WORDS = (2 * DIGEST_BYTES) / 4

/** Whether a node stands over the same two digests as the one before it. A last one without a right one is like no other. */
function isPairBefore(words: Int32Array, parent: number): boolean {
  const end = (parent + 1) * PAIR_WORDS
  if (end > words.length) return false
  for (let at = end - PAIR_WORDS; at < end; at++) if (words[at] !== words[at - PAIR_WORDS]) return false
  return true
}

function resized(bytes: Uint8Array, lengthBytes: number): Uint8Array {
  const copy = new Uint8Array(lengthBytes)
  copy.set(bytes.subarray(0, Math.min(bytes.length, lengthBytes)))
  return copy
}
