/**
 * Brings a host that stands at the start of its computation to where another one was saved. What was saved comes from
 * outside: whatever it says, the host is consistent afterwards, or there is none. That it is the right one is for the
 * caller to see, from the state and the outputs. Format: spec/wasi-host.md §11.
 */
import { FdFlags, RIGHTS_TO_WRITE } from './abi.ts'
import type { Host } from './calls.ts'
import { listingOf, mostRightsOf, preopenNames, type Descriptor } from './descriptor.ts'
import { isAt, type Directory, type Entry, type Inode, type Mount, type Stream } from './inode.ts'
import { NOTES_MAX } from './notes.ts'
import { isName, isText, type SavedHost } from './options.ts'
import { damaged, decode, isSavedAs, type SavedDescriptor, type SavedInode, type SavedState } from './saved.ts'

/** @throws WasmError SNAPSHOT; the host is of no use then. */
export function restore(host: Host, { bytes, contents }: SavedHost): void {
  const state = decode(bytes)
  host.tree.restore((inodes) => new InodeRestorer(host, inodes, contents).restore(state))
  host.descriptors.restore(state.descriptors.map((saved) => [saved.number, descriptorOf(host, saved)]))
  for (const { number } of state.inodes) {
    if (isLost(host.tree.inodeAt(number))) damaged(`nothing leads to inode ${number}`)
  }
  if (state.stdinOffset > host.options.stdin.length) damaged('it has read more than all of standard input')
  host.clock.reads = state.readings
  host.clock.sleptNs = state.sleptNs
  host.random.offset = state.randomOffset
  host.stdin.offset = state.stdinOffset
  if (state.notes.length > NOTES_MAX) damaged('it has too many notes')
  host.notes.restore(state.notes)
  // What there is twice, in another order or in vain.
  if (!isSavedAs(host, bytes)) damaged('it is not in the one form that it can have')
}

/** Neither a name nor a descriptor leads there: the guest's host would have let go of it. */
function isLost(inode: Inode | undefined): boolean {
  if (inode === undefined || inode.kind === 'stream' || inode.opens > 0) return false
  return inode.links.length === 0 && !(inode.kind === 'directory' && inode.root)
}

function descriptorOf({ tree, limits, options }: Host, saved: SavedDescriptor): Descriptor {
  const { number, offset, flags, rights, inheriting, preopen, listing } = saved
  const wrong = (what: string) => damaged(`descriptor ${number} ${what}`)
  const inode = (saved.inode === 0 ? tree.nullDevice : tree.inodeAt(saved.inode)) ?? wrong('leads to no inode')
  if (number >= limits.openFiles) wrong('is above the limit')
  if (flags > FdFlags.ALL) wrong('has unknown flags')
  const most = mostRightsOf(inode)
  if (!isPartOf(rights, most.rights) || !isPartOf(inheriting, most.inheriting))
    wrong('has rights that its kind has not')
  if (inode.kind === 'file') {
    const isReadOnly = inode.readOnly || !inode.mount.writable
    if (isReadOnly && (rights & RIGHTS_TO_WRITE) !== 0) wrong('could write what is read-only')
  } else if (offset !== 0) wrong('has an offset')
  if (preopen !== undefined && !(inode.kind === 'directory' && inode.root && preopenNames(inode).includes(preopen)))
    wrong('has a name that it cannot have')
  if (listing !== undefined && inode.kind !== 'directory') wrong('lists what is no directory')
  return {
    inode,
    offset,
    flags,
    rights,
    inheriting,
    preopen,
    listing: listing && listingOf(listing, options.sha256),
  }
}

function isPartOf(bits: number, all: number): boolean {
  return bits <= all && (bits & ~all) === 0
}

class InodeRestorer {
  readonly #host: Host
  /** By number less one: at first those of the start. */
  readonly #inodes: (Inode | undefined)[]
  readonly #start: readonly (Inode | undefined)[]
  readonly #contents: readonly Uint8Array[]
  #contentsUsed = 0
  #contentBytesLeft: number

  constructor(host: Host, inodes: (Inode | undefined)[], contents: readonly Uint8Array[]) {
    this.#host = host
    this.#inodes = inodes
    this.#start = [...inodes]
    this.#contents = contents
    this.#contentBytesLeft = host.limits.contentBytes
  }

  restore({ inodeCount, inodes }: SavedState): void {
    if (inodeCount < this.#start.length || inodeCount > this.#host.limits.inodes)
      damaged(`it cannot have ${inodeCount} inodes`)
    while (this.#inodes.length < inodeCount) this.#inodes.push(undefined)
    let previous = 0
    for (const { number } of inodes) {
      if (number <= previous || number > inodeCount) damaged(`inode ${number} is not where it belongs`)
      this.#takeAway(number)
      previous = number
    }
    for (const saved of inodes) this.#inodes[saved.number - 1] = this.#make(saved)
    if (this.#contentsUsed < this.#contents.length) damaged('it has contents of nothing')
    for (const saved of inodes) this.#link(saved)
    this.#mustHold(inodes)
  }

  /** Removes the names of the start. */
  #takeAway(number: number): void {
    const start = this.#start[number - 1]
    if (start === undefined || start.kind === 'stream') return
    if (!start.mount.writable || (start.kind === 'file' && start.readOnly)) damaged(`inode ${number} is read-only`)
    for (const { directory, name } of start.links) directory.entries.delete(name)
    start.links.length = 0
  }

  #make(saved: SavedInode): Inode | undefined {
    const { number } = saved
    const start = this.#start[number - 1]
    if (saved.kind === 'stream' || start?.kind === 'stream') return this.#stream(saved, start)
    if (start?.kind === 'directory' && start.root && (saved.kind !== 'directory' || saved.mount !== start.mount.index))
      damaged(`inode ${number} is the root of a mount`)
    if (saved.kind === 'free') return undefined
    const { times } = saved
    const mount = this.#mountOf(saved)
    const common = { number, times, mount, opens: 0, links: [], origin: undefined }
    // What the computation put there stays the same, as others refer to it.
    const same = start !== undefined && start.kind === saved.kind && start.mount === mount ? start : undefined
    if (same !== undefined) Object.assign(same.times, times)
    switch (saved.kind) {
      case 'symlink': {
        const { target } = saved
        if (target === '' || !isText(target, this.#host.limits.pathBytes)) damaged(`inode ${number} has no such target`)
        return { kind: 'symlink', ...common, target }
      }
      case 'directory':
        return same ?? { kind: 'directory', ...common, root: false, holdsReadOnly: false, entries: new Map() }
      case 'file': {
        const { unsettled, lengthBytes } = saved
        if (lengthBytes === undefined) {
          if (same?.kind !== 'file') return damaged(`inode ${number} is no input`)
          same.unsettled = unsettled
          return same
        }
        const content = this.#host.tree.newContent()
        content.write(0, [this.#takeContent(number, lengthBytes)])
        return { kind: 'file', ...common, content, inputPath: undefined, readOnly: false, unsettled }
      }
    }
  }

  #stream(saved: SavedInode, start: Inode | undefined): Stream {
    if (saved.kind !== 'stream' || start?.kind !== 'stream' || start.name === 'stdin')
      return damaged(`inode ${saved.number} cannot be a ${saved.kind}`)
    start.content.write(0, [this.#takeContent(saved.number, saved.lengthBytes)])
    return start
  }

  #mountOf({ number, mount }: { readonly number: number; readonly mount: number }): Mount {
    const root = this.#host.tree.roots[mount]
    return root?.mount.writable ? root.mount : damaged(`inode ${number} is in no mount that is writable`)
  }

  #takeContent(number: number, lengthBytes: number): Uint8Array {
    const content = this.#contents[this.#contentsUsed++]
    if (content?.length !== lengthBytes) damaged(`inode ${number} has not its ${lengthBytes} bytes`)
    this.#contentBytesLeft -= lengthBytes
    return this.#contentBytesLeft < 0 ? damaged('its contents are above the limit') : content
  }

  #link(saved: SavedInode): void {
    if (saved.kind === 'free' || saved.kind === 'stream') return
    const inode = this.#inodes[saved.number - 1] as Entry
    for (const { directory: number, name } of saved.links) {
      const directory = this.#inodes[number - 1]
      if (directory?.kind !== 'directory' || directory.mount !== inode.mount || directory.entries.has(name))
        damaged(`inode ${saved.number} cannot be in inode ${number}`)
      if (!isName(name, this.#host.limits)) damaged(`inode ${saved.number} cannot have its name`)
      directory.entries.set(name, inode)
      inode.links.push({ directory, name })
    }
  }

  /** What is true of every tree that a guest can make. */
  #mustHold(inodes: readonly SavedInode[]): void {
    const changed = new Set(inodes.map(({ number }) => number))
    for (const start of this.#start) {
      if (start === undefined || start.kind === 'stream' || start.origin === undefined || changed.has(start.number))
        continue
      const { number } = start.origin.directory
      if (this.#inodes[number - 1] !== start.origin.directory) damaged(`inode ${number} is not what it holds things in`)
    }
    const attached = new Set<Directory>()
    for (const { number, kind } of inodes) {
      const start = this.#start[number - 1]
      const inode = this.#inodes[number - 1]
      const isFixed = start?.kind === 'directory' && start.holdsReadOnly
      if (isFixed && !(inode === start && isAt(start, start.origin))) damaged(`inode ${number} holds what is read-only`)
      if (kind === 'directory') mustBeInTree(inode as Directory, attached)
    }
  }
}

/** @param attached - Directories of which this is known, and found. */
function mustBeInTree(directory: Directory, attached: Set<Directory>): void {
  const { number, root, links, entries } = directory
  if (links.length > (root ? 0 : 1)) damaged(`inode ${number} is a directory in several places`)
  if (!root && links.length === 0 && entries.size > 0) damaged(`inode ${number} is removed and holds something`)
  const way = new Set<Directory>()
  for (let at: Directory | undefined = directory; at !== undefined && !attached.has(at); at = at.links[0]?.directory) {
    if (way.has(at)) damaged(`inode ${number} is inside itself`)
    way.add(at)
  }
  for (const each of way) attached.add(each)
}
