/**
 * Page trees: the tree over the 4 KiB pages of a memory or a file, the last page of a file with its
 * true length. An all-zero page is an ordinary leaf. Format: spec/measurement.md §2.2.
 */
import type { Sha256 } from '../crypto.ts'
import { HashTree, PAGE_BYTES, treeHash, type TreeHash } from './tree.ts'

export function pageCount(lengthBytes: number): number {
  return Math.ceil(lengthBytes / PAGE_BYTES)
}

/** The page-tree root of bytes that are all there. */
export function pagesRoot(bytes: Uint8Array, sha256: Sha256): Uint8Array {
  const tree = new PageTree(sha256)
  tree.update(bytes, allPages(bytes.length))
  return tree.root()
}

function* allPages(lengthBytes: number): Iterable<number> {
  for (let page = 0; page < pageCount(lengthBytes); page++) yield page
}

/** A page tree that is kept over changing bytes; the caller says which pages changed. */
export class PageTree {
  readonly #hash: TreeHash
  readonly #tree: HashTree
  readonly #zeroPage: Uint8Array

  constructor(sha256: Sha256) {
    this.#hash = treeHash('pages', sha256)
    this.#tree = new HashTree(this.#hash)
    this.#zeroPage = this.#hash.leaf(new Uint8Array(PAGE_BYTES))
  }

  /**
   * @param bytes - The whole content as it is now.
   * @param changed - Every page that differs from the last update. Pages that growth added are
   *   taken as all zero unless they are named here; a shorter or partial last page must be named.
   */
  update(bytes: Uint8Array, changed: Iterable<number>): void {
    const before = this.#tree.leafCount
    const count = pageCount(bytes.length)
    this.#tree.resize(count)
    this.#tree.fill(before, this.#zeroPage)
    for (const page of changed) {
      if (page >= count) continue
      this.#tree.setLeaf(page, this.#hash.leaf(bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)))
    }
  }

  /** Of all its leaves and nodes, as many as {@link digestCount} says of its pages. */
  digests(): Uint8Array {
    return this.#tree.digests()
  }

  /**
   * As {@link update} of that many bytes with all their pages, whose tree had these {@link digests}.
   *
   * @throws RangeError when such a tree has more of them, or fewer.
   */
  takeOver(lengthBytes: number, digests: Uint8Array): void {
    this.#tree.takeOver(pageCount(lengthBytes), digests)
  }

  root(): Uint8Array {
    return this.#tree.root()
  }
}
