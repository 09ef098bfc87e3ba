/**
 * The guest's file system: mounted trees of inodes, all in memory. Errors and effects are those of Linux, so that
 * guests find what they were written for. Format: spec/wasi-host.md §3 to §5.
 */
import type { Sha256 } from '@reprise/core'
import { Errno, refuse } from './abi.ts'
import { Content, type Budget } from './content.ts'
import {
  isAt,
  isAttached,
  isFixed,
  isInside,
  linkCountOf,
  type Directory,
  type Entry,
  type File,
  type Inode,
  type Link,
  type Mount,
  type NullDevice,
  type Stream,
  type Times,
} from './inode.ts'
import type { Notes } from './notes.ts'
import { sortedFiles, type WasiFile, type WasiLimits, type WasiOptions } from './options.ts'
import { resolve, type Last, type NamedPlace, type Place } from './resolve.ts'

export interface FileTreeParts {
  readonly options: WasiOptions
  readonly limits: WasiLimits
  readonly budget: Budget
  readonly notes: Notes
  /** Virtual realtime, in nanoseconds. */
  readonly now: () => bigint
}

export class FileTree {
  readonly streams: { readonly stdin: Stream; readonly stdout: Stream; readonly stderr: Stream }
  /** The roots of the mounts, in their order. */
  readonly roots: readonly Directory[]
  readonly nullDevice: NullDevice
  /** The numbers of inodes that can change, and may have since the reader cleared this. */
  readonly changed = new Set<number>()
  /** Counts the changes of names, and of which files are the guest's own. */
  namesRevision = 0
  readonly #parts: FileTreeParts
  readonly #sha256: Sha256
  /** By number less one. */
  readonly #inodes: (Inode | undefined)[] = []
  /** What the computation put there, by number less one. */
  readonly #start: readonly Inode[]
  /** The inodes of mounts that are not writable: nothing of them ever changes. Ascending. */
  readonly #fixed: readonly { readonly first: number; readonly count: number }[]
  #lowestFree = 0

  constructor(parts: FileTreeParts) {
    this.#parts = parts
    const { options, budget } = parts
    this.#sha256 = options.sha256
    const stream = (name: Stream['name'], input?: Uint8Array) => {
      const content = new Content(budget, this.#sha256, input)
      return this.#add((number) => ({ kind: 'stream', number, times: this.#times(), opens: 0, name, content }))
    }
    this.streams = { stdin: stream('stdin', options.stdin), stdout: stream('stdout'), stderr: stream('stderr') }
    this.nullDevice = { kind: 'null', number: 0, times: this.#times(), opens: 0 }
    this.roots = options.mounts.map((mount, index) => {
      const { at, writable, output } = mount
      const root = this.#add((number) => this.#directory(number, { index, at, writable, output }, { root: true }))
      const folders = new Map([['', root]])
      for (const file of sortedFiles(mount)) this.#addInput(folders, file)
      return root
    })
    this.#start = this.#inodes.filter((inode) => inode !== undefined)
    const firsts = [...this.roots.map(({ number }) => number), this.inodeCount + 1]
    this.#fixed = this.roots
      .map(({ mount, number }, i) => ({ writable: mount.writable, first: number, count: firsts[i + 1] - number }))
      .filter(({ writable }) => !writable)
  }

  /** The highest inode number ever used; numbers without an inode are free. */
  get inodeCount(): number {
    return this.#inodes.length
  }

  inodeAt(number: number): Inode | undefined {
    return this.#inodes[number - 1]
  }

  /** How many numbers up to this one can change what they stand for. */
  changeableUpTo(number: number): number {
    const fixed = this.#fixed.map(({ first, count }) => Math.max(0, Math.min(count, number + 1 - first)))
    return fixed.reduce((left, count) => left - count, number)
  }

  /** Whether what has this number, or that nothing has it, is as the computation made it. */
  isAsAtStart(number: number): boolean {
    const inode = this.#inodes[number - 1]
    const start = this.#start[number - 1]
    if (inode === undefined || start === undefined) return inode === start
    if (inode.kind === 'stream') return inode.name === 'stdin' || inode.content.lengthBytes === 0
    if (start.kind === 'stream' || inode.kind === 'symlink' || inode.kind !== start.kind) return false
    if (inode.mount !== start.mount || !isAt(inode, start.origin)) return false
    const { accessed, modified, changed } = inode.times
    const { clockStartNs } = this.#parts.options
    if (accessed !== clockStartNs || modified !== clockStartNs || changed !== clockStartNs) return false
    return inode.kind === 'directory' || (inode === start && !inode.content.owned && !inode.unsettled)
  }

  /** Lets `change` put other inodes in the place of those of the start, by number less one. */
  restore(change: (inodes: (Inode | undefined)[]) => void): void {
    change(this.#inodes)
    this.#lowestFree = 0
    this.namesRevision++
    for (let number = 1; number <= this.inodeCount; number++) {
      if (!isFixed(this.inodeAt(number))) this.changed.add(number)
    }
  }

  /** Of a file that the guest makes. */
  newContent(): Content {
    return new Content(this.#parts.budget, this.#sha256)
  }

  resolve(start: Directory, path: string, last: Last): Place {
    return resolve(start, path, last, this.#parts.limits)
  }

  /** @throws Refusal ROFS in a read-only mount, and for a read-only file. */
  mustBeWritable(inode: Entry): void {
    if (!inode.mount.writable) this.#refuseChange(inode.mount.at)
    if (inode.kind === 'file' && inode.readOnly) this.#refuseChange(this.#guestPathOf(inode))
  }

  /** @throws Refusal ROFS for what {@link mustBeWritable} refuses, and for a directory that holds a read-only file. */
  #mustBeMovable(inode: Entry): void {
    this.mustBeWritable(inode)
    if (inode.kind === 'directory' && inode.holdsReadOnly) this.#refuseChange(this.#guestPathOf(inode))
  }

  #refuseChange(what: string): never {
    this.#parts.notes.add('READ_ONLY', what)
    return refuse(Errno.ROFS)
  }

  #guestPathOf(inode: Entry): string {
    return `${inode.mount.at === '/' ? '' : inode.mount.at}/${this.pathOf(inode)}`
  }

  /** The mount path and names that lead to an entry now; undefined when nothing does any more. */
  pathOf(inode: Entry): string | undefined {
    const names: string[] = []
    for (let at = inode; ;) {
      if (at.kind === 'directory' && at.root) return names.reverse().join('/')
      const link = at.links[0]
      if (link === undefined) return undefined
      names.push(link.name)
      at = link.directory
    }
  }

  createFile(place: NamedPlace): File {
    this.#mustBeFree(place)
    const { mount } = place.directory
    return this.#enter(place, (number) => ({
      kind: 'file',
      number,
      times: this.#times(),
      opens: 0,
      mount,
      links: [],
      origin: undefined,
      content: this.newContent(),
      inputPath: undefined,
      readOnly: false,
      // An empty new file is an output too.
      unsettled: true,
    }))
  }

  createDirectory(place: Place): void {
    const free = this.#freeEntry(place)
    this.#enter(free, (number) => this.#directory(number, free.directory.mount))
  }

  createSymlink(place: Place, target: string): void {
    const free = this.#freeEntry(place)
    if (free.slash) refuse(Errno.NOENT)
    const { mount } = free.directory
    this.#enter(free, (number) => ({
      kind: 'symlink',
      number,
      times: this.#times(),
      opens: 0,
      mount,
      links: [],
      origin: undefined,
      target,
    }))
  }

  /** A further name for a file or symbolic link. */
  link(inode: Entry, place: Place): void {
    const free = this.#freeEntry(place)
    if (free.slash) refuse(Errno.NOENT)
    if (inode.mount !== free.directory.mount) refuse(Errno.XDEV)
    if (inode.kind === 'directory') refuse(Errno.PERM)
    this.mustBeWritable(inode)
    // A file that has lost its last name stays without one.
    if (inode.links.length === 0) refuse(Errno.NOENT)
    this.#attach(inode, free)
    this.#stamp(inode, 'changed')
  }

  unlink(place: Place): void {
    if (place.directory === undefined) refuse(Errno.ISDIR)
    const inode = place.inode ?? refuse(Errno.NOENT)
    if (inode.kind === 'directory') refuse(Errno.ISDIR)
    if (place.slash) refuse(Errno.NOTDIR)
    this.mustBeWritable(inode)
    this.#detach(inode, place)
    this.#stamp(inode, 'changed')
    this.releaseIfUnused(inode)
  }

  removeDirectory(place: Place): void {
    if (place.directory === undefined) refuse(Errno.INVAL)
    const inode = place.inode ?? refuse(Errno.NOENT)
    if (inode.kind !== 'directory') refuse(Errno.NOTDIR)
    this.mustBeWritable(inode)
    if (inode.entries.size > 0) refuse(Errno.NOTEMPTY)
    this.#detach(inode, place)
    this.releaseIfUnused(inode)
  }

  /** @returns What has another name now; undefined when both were names of the same. */
  rename(source: Place, target: Place): Entry | undefined {
    if (source.directory === undefined || target.directory === undefined) refuse(Errno.BUSY)
    const inode = source.inode ?? refuse(Errno.NOENT)
    if (source.directory.mount !== target.directory.mount) refuse(Errno.XDEV)
    this.#mustBeMovable(inode)
    if (target.inode?.kind === 'file') this.mustBeWritable(target.inode)
    if (inode.kind !== 'directory' && (source.slash || target.slash)) refuse(Errno.NOTDIR)
    if (isInside(target.directory, inode)) refuse(Errno.INVAL)
    if (!isAttached(target.directory)) refuse(Errno.NOENT)
    const over = target.inode
    if (over === inode) return undefined
    if (over !== undefined) {
      if (isInside(source.directory, over)) refuse(Errno.NOTEMPTY)
      if (inode.kind === 'directory' && over.kind !== 'directory') refuse(Errno.NOTDIR)
      if (inode.kind !== 'directory' && over.kind === 'directory') refuse(Errno.ISDIR)
      if (over.kind === 'directory' && over.entries.size > 0) refuse(Errno.NOTEMPTY)
      this.#detach(over, target)
      this.#stamp(over, 'changed')
    }
    this.#detach(inode, source)
    this.#attach(inode, target)
    this.#stamp(inode, 'changed')
    if (over !== undefined) this.releaseIfUnused(over)
    return inode
  }

  /** Prepares a change of a file's content, and stamps it. @throws Refusal NOSPC from `change`. */
  write(file: File, change: (content: Content) => void): void {
    const { owned } = file.content
    change(file.content)
    if (owned !== file.content.owned) this.namesRevision++
    file.unsettled = true
    file.times.modified = this.#parts.now()
    this.#stamp(file, 'changed')
  }

  /** Gives an inode's number and bytes back once no name and no descriptor is left. */
  releaseIfUnused(inode: Inode): void {
    if (inode.opens > 0 || linkCountOf(inode) > 0) return
    if (inode.kind === 'file') inode.content.drop()
    this.#inodes[inode.number - 1] = undefined
    this.#lowestFree = Math.min(this.#lowestFree, inode.number - 1)
    this.changed.add(inode.number)
  }

  /** A change of an inode at the virtual time: of its content or entries, or only of what describes it. */
  #stamp(inode: Inode, what: 'modified' | 'changed'): void {
    const now = this.#parts.now()
    inode.times.changed = now
    if (what === 'modified') inode.times.modified = now
    this.changed.add(inode.number)
  }

  setTimes(inode: Entry, times: { readonly accessed?: bigint; readonly modified?: bigint }): void {
    Object.assign(inode.times, times)
    this.#stamp(inode, 'changed')
  }

  #freeEntry(place: Place): NamedPlace {
    if (place.directory === undefined || place.inode !== undefined) refuse(Errno.EXIST)
    this.#mustBeFree(place)
    return place
  }

  /** Whether a new name may be made here. */
  #mustBeFree(place: NamedPlace): void {
    this.mustBeWritable(place.directory)
    if (!isAttached(place.directory)) refuse(Errno.NOENT)
  }

  #enter<T extends Entry>(place: NamedPlace, make: (number: number) => T): T {
    const inode = this.#add(make)
    this.#attach(inode, place)
    return inode
  }

  #attach(inode: Entry, { directory, name }: NamedPlace): void {
    directory.entries.set(name, inode)
    inode.links.push({ directory, name })
    this.namesRevision++
    this.#stamp(directory, 'modified')
  }

  #detach(inode: Entry, { directory, name }: NamedPlace): void {
    directory.entries.delete(name)
    const index = inode.links.findIndex((link) => link.directory === directory && link.name === name)
    inode.links.splice(index, 1)
    this.namesRevision++
    this.changed.add(inode.number)
    this.#stamp(directory, 'modified')
  }

  #add<T extends Inode>(make: (number: number) => T): T {
    let index = this.#lowestFree
    while (this.#inodes[index] !== undefined) index++
    if (index >= this.#parts.limits.inodes) {
      this.#parts.notes.add('LIMIT', 'inodes')
      refuse(Errno.NOSPC)
    }
    const inode = make(index + 1)
    this.#inodes[index] = inode
    this.#lowestFree = index + 1
    if (!isFixed(inode)) this.changed.add(inode.number)
    return inode
  }

  #times(): Times {
    const now = this.#parts.now()
    return { accessed: now, modified: now, changed: now }
  }

  #directory(
    number: number,
    mount: Mount,
    { root = false, origin }: { root?: boolean; origin?: Link } = {},
  ): Directory {
    const links = origin === undefined ? [] : [origin]
    const entries = new Map<string, Entry>()
    const times = this.#times()
    return { kind: 'directory', number, times, opens: 0, mount, links, origin, root, holdsReadOnly: false, entries }
  }

  /**
   * Enters an input: unlike a guest's change it leaves the times as they are.
   *
   * @param folders - Those of its mount that there are, by their paths.
   */
  #addInput(folders: Map<string, Directory>, { path, bytes, readOnly = false }: WasiFile): void {
    const { folder, name } = parted(path)
    const directory = folders.get(folder) ?? this.#addFolder(folders, folder)
    if (readOnly) for (let at = directory; !at.root; at = at.links[0].directory) at.holdsReadOnly = true
    const origin = { directory, name }
    const content = new Content(this.#parts.budget, this.#sha256, bytes)
    const file = this.#add((number) => ({
      kind: 'file',
      number,
      times: this.#times(),
      opens: 0,
      mount: directory.mount,
      links: [origin],
      origin,
      content,
      inputPath: path,
      readOnly,
      unsettled: false,
    }))
    directory.entries.set(name, file)
  }

  #addFolder(folders: Map<string, Directory>, path: string): Directory {
    const { folder, name } = parted(path)
    const directory = folders.get(folder) ?? this.#addFolder(folders, folder)
    const { mount, entries } = directory
    if (entries.has(name)) throw new RangeError(`${path} of mount ${mount.at} is a file and a folder`)
    const added = this.#add((number) => this.#directory(number, mount, { origin: { directory, name } }))
    entries.set(name, added)
    folders.set(path, added)
    return added
  }
}

function parted(path: string): { readonly folder: string; readonly name: string } {
  const nameAt = path.lastIndexOf('/') + 1
  return { folder: path.slice(0, Math.max(0, nameAt - 1)), name: path.slice(nameAt) }
}
