/**
 * The guest's file system: mounted trees of inodes, all in memory. Errors and effects are those of Linux, so that
 * guests find what they were written for. Format: spec/wasi-host.md §3 to §5.
 */
import { compare, utf8, type Sha256 } from '@reprise/core'
import { Errno, refuse } from './abi.ts'
import { Content, type Budget } from './content.ts'
import {
  isAt,
  linkCountOf,
  type Directory,
  type Entry,
  type File,
  type Inode,
  type Link,
  type Mount,
  type NullDevice,
  type Placed,
  type Stream,
} from './inode.ts'
import type { Notes } from './notes.ts'
import type { WasiFile, WasiLimits, WasiOptions } from './options.ts'
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
  /** The inode numbers whose record may have changed since the reader cleared this. */
  readonly changed = new Set<number>()
  /** Counts the changes of names, and of which files are the guest's own. */
  namesRevision = 0
  readonly #parts: FileTreeParts
  readonly #sha256: Sha256
  /** By number less one. */
  readonly #inodes: (Inode | undefined)[] = []
  /** What the computation put there, by number less one. */
  readonly #start: readonly Inode[]
  #lowestFree = 0

  constructor(parts: FileTreeParts) {
    this.#parts = parts
    const { options, budget } = parts
    this.#sha256 = options.sha256
    const stream = (name: Stream['name'], input?: Uint8Array) =>
      this.#add((number) => ({
        kind: 'stream',
        ...this.#common(number),
        name,
        content: new Content(budget, this.#sha256, input),
      }))
    this.streams = { stdin: stream('stdin', options.stdin), stdout: stream('stdout'), stderr: stream('stderr') }
    this.nullDevice = { kind: 'null', ...this.#common(0) }
    this.roots = options.mounts.map(({ at, writable, output, files }, index) => {
      const root = this.#add((number) => this.#directory(number, { index, at, writable, output }, { root: true }))
      const paths = new Map(files.map((file) => [file.path, file]))
      const sorted = [...paths.values()].map((file) => ({ file, key: utf8(file.path) }))
      sorted.sort((a, b) => compare(a.key, b.key))
      for (const { file } of sorted) this.#addInput(root, file)
      if (paths.size < files.length) throw new RangeError(`mount ${at} names a file twice`)
      return root
    })
    this.#start = this.#inodes.filter((inode) => inode !== undefined)
  }

  /** The highest inode number ever used; numbers without an inode are free. */
  get inodeCount(): number {
    return this.#inodes.length
  }

  inodeAt(number: number): Inode | undefined {
    return this.#inodes[number - 1]
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
    for (let number = 1; number <= this.inodeCount; number++) this.changed.add(number)
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
      ...this.#placed(number, mount),
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
    this.#enter(free, (number) => ({ kind: 'symlink', ...this.#placed(number, mount), target }))
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
    this.changed.add(inode.number)
    return inode
  }

  #common(number: number): Pick<NullDevice, 'number' | 'times' | 'opens'> {
    const now = this.#parts.now()
    return { number, times: { accessed: now, modified: now, changed: now }, opens: 0 }
  }

  #placed(number: number, mount: Mount, origin?: Link): Placed {
    return { ...this.#common(number), mount, links: [], origin }
  }

  #directory(
    number: number,
    mount: Mount,
    { root = false, origin }: { root?: boolean; origin?: Link } = {},
  ): Directory {
    return {
      kind: 'directory',
      ...this.#placed(number, mount, origin),
      root,
      holdsReadOnly: false,
      entries: new Map(),
    }
  }

  #addInput(root: Directory, { path, bytes, readOnly = false }: WasiFile): void {
    const names = path.split('/')
    const last = names.pop() as string
    let directory = root
    for (const name of names) {
      let next = directory.entries.get(name)
      if (next === undefined) {
        const origin = { directory, name }
        next = this.#add((number) => this.#directory(number, root.mount, { origin }))
        this.#put(next, origin)
      }
      if (next.kind !== 'directory') throw new RangeError(`${path} of mount ${root.mount.at} runs through a file`)
      directory = next
      directory.holdsReadOnly ||= readOnly
    }
    if (directory.entries.has(last)) throw new RangeError(`${path} of mount ${root.mount.at} is also a folder`)
    const origin = { directory, name: last }
    const file = this.#add((number) => ({
      kind: 'file',
      ...this.#placed(number, root.mount, origin),
      content: new Content(this.#parts.budget, this.#sha256, bytes),
      inputPath: path,
      readOnly,
      unsettled: false,
    }))
    this.#put(file, origin)
  }

  /** Enters an input: unlike a guest's change it leaves the times as they are. */
  #put(inode: Entry, origin: Link): void {
    origin.directory.entries.set(origin.name, inode)
    inode.links.push(origin)
  }
}

/** Whether a path leads to a directory: to one that was removed while open none does. */
function isAttached(directory: Directory): boolean {
  return directory.root || directory.links.length > 0
}

/** Whether `inode` is `directory` or above it. */
function isInside(directory: Directory, inode: Entry): boolean {
  for (let at: Directory | undefined = directory; at !== undefined; at = at.links[0]?.directory) {
    if (at === inode) return true
  }
  return false
}
