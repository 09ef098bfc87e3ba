/**
 * The canonical bytes of everything in the host that decides the rest of a run. Format: spec/wasi-host.md §10.
 *
 * Records of the inodes that can change are leaves of a tree that is kept, so that a measurement costs what changed since the
 * last one.
 */
import { ByteWriter, equal, HashTree, treeHash, utf8, type TreeHash } from '@reprise/core'
import type { Host } from './calls.ts'
import type { Descriptor } from './descriptor.ts'
import { linkCountOf, sortedEntries, type Directory, type File, type Inode } from './inode.ts'

const TAG = utf8('reprise/wasi/v1\0')
/** The kinds of record, as they are written. */
export const KIND = { free: 0, file: 1, directory: 2, symlink: 3, stream: 4 } as const

export class StateEncoder {
  readonly #host: Host
  readonly #hash: TreeHash
  readonly #inodes: HashTree
  #root: Uint8Array | undefined

  constructor(host: Host) {
    this.#host = host
    this.#hash = treeHash('inodes', host.options.sha256)
    this.#inodes = new HashTree(this.#hash)
  }

  encode(): Uint8Array {
    const { clock, random, stdin, descriptors } = this.#host
    const state = new ByteWriter().raw(TAG)
    state.u64(clock.reads).u64(clock.sleptNs).u64(BigInt(random.offset)).u64(BigInt(stdin.offset))
    const open = descriptors.list()
    state.u64(BigInt(open.length))
    for (const [fd, descriptor] of open) encodeDescriptor(state, fd, descriptor)
    return state.raw(this.#inodesRoot()).done()
  }

  #inodesRoot(): Uint8Array {
    const { tree } = this.#host
    if (this.#root !== undefined && tree.changed.size === 0) return this.#root
    this.#inodes.resize(tree.changeableUpTo(tree.inodeCount))
    for (const number of tree.changed) {
      const leaf = this.#hash.leaf(record(number, tree.inodeAt(number)))
      this.#inodes.setLeaf(tree.changeableUpTo(number) - 1, leaf)
    }
    tree.changed.clear()
    return (this.#root = this.#inodes.root())
  }
}

/**
 * Whether one state is another but for how often the clock was read: of a host that was only looked at, and through
 * which nothing was drawn, opened, read or written.
 */
export function isUntouched(state: Uint8Array, since: Uint8Array): boolean {
  const readingsEnd = TAG.length + 8
  return equal(state.subarray(readingsEnd), since.subarray(readingsEnd))
}

function encodeDescriptor(state: ByteWriter, fd: number, descriptor: Descriptor): void {
  const { inode, offset, flags, rights, inheriting, preopen, listing } = descriptor
  for (const value of [fd, inode.number, offset, flags, rights, inheriting]) state.u64(BigInt(value))
  if (preopen === undefined) state.u8(0)
  else state.u8(1).sized(utf8(preopen))
  if (listing === undefined) state.u8(0)
  else state.u8(1).raw(listing.digest)
}

function record(number: number, inode: Inode | undefined): Uint8Array {
  const out = new ByteWriter().u64(BigInt(number))
  if (inode === undefined) return out.u8(KIND.free).done()
  const { accessed, modified, changed } = inode.times
  out
    .u8(KIND[inode.kind])
    .u64(BigInt(linkCountOf(inode)))
    .u64(accessed)
    .u64(modified)
    .u64(changed)
  switch (inode.kind) {
    case 'file':
      return encodeFile(out, inode).done()
    case 'directory':
      return encodeDirectory(out, inode).done()
    case 'symlink':
      return out.sized(utf8(inode.target)).done()
    case 'stream':
      return out.u64(BigInt(inode.content.lengthBytes)).done()
  }
}

/**
 * A file that the guest never wrote is named by where it came from: the computation fixes its bytes. Not even its length
 * is told, so that runs on other inputs part where the guest reads them, not before it begins.
 */
function encodeFile(out: ByteWriter, { content, inputPath, unsettled, mount }: File): ByteWriter {
  out.u8(unsettled ? 1 : 0)
  if (content.owned || inputPath === undefined) return out.u8(1).u64(BigInt(content.lengthBytes)).raw(content.root())
  return out.u8(0).u64(BigInt(mount.index)).sized(utf8(inputPath))
}

function encodeDirectory(out: ByteWriter, directory: Directory): ByteWriter {
  const entries = sortedEntries(directory)
  out.u64(BigInt(directory.mount.index)).u64(BigInt(entries.length))
  for (const [name, inode] of entries) out.sized(utf8(name)).u64(BigInt(inode.number))
  return out
}
