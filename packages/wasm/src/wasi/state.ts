/**
 * The canonical bytes of everything in the host that decides the rest of a run. Format: spec/wasi-host.md §10.
 *
 * Records of inodes are leaves of a tree that is kept, so that a measurement costs what changed since the last one.
 */
import { ByteWriter, equal, HashTree, treeHash, utf8, type TreeHash } from '@reprise/core'
import type { Host } from './calls.ts'
import type { Descriptor } from './descriptor.ts'
import { linkCountOf, sortedEntries, type Directory, type File, type Inode, type Mount } from './inode.ts'

const TAG = utf8('reprise/wasi/v1\0')
/** The kinds of record, as they are written. */
export const KIND = { free: 0, file: 1, directory: 2, symlink: 3, stream: 4 } as const

export class StateEncoder {
  readonly #host: Host
  readonly #hash: TreeHash
  readonly #inodes: HashTree
  #root: Uint8Array | undefined
  /** For each mount the record of a file that is as it was given, without number and path. */
  readonly #given = new Map<Mount, Uint8Array>()

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
    this.#inodes.resize(tree.inodeCount)
    for (const number of tree.changed) this.#inodes.setLeaf(number - 1, this.#hash.leaf(this.#record(number)))
    tree.changed.clear()
    return (this.#root = this.#inodes.root())
  }

  /** Of the thousands of files of a library all are as they were given, and before each start each has its record written. */
  #record(number: number): Uint8Array {
    const { tree } = this.#host
    const inode = tree.inodeAt(number)
    if (inode?.kind !== 'file' || inode.inputPath === undefined || !tree.isAsAtStart(number))
      return record(number, inode)
    let given = this.#given.get(inode.mount)
    if (given === undefined) this.#given.set(inode.mount, (given = record(number, { ...inode, inputPath: '' })))
    const path = utf8(inode.inputPath)
    const bytes = new Uint8Array(given.length + path.length)
    bytes.set(given)
    put32(bytes, NUMBER_AT, number)
    put32(bytes, given.length - 4, path.length)
    bytes.set(path, given.length)
    return bytes
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

/** The lower half of what a record begins with. */
const NUMBER_AT = 4

function put32(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = value >>> (24 - 8 * i)
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
