/** The table of open files. */
import { utf8, ByteWriter, type Sha256 } from '@reprise/core'
import { DIRECTORY_RIGHTS, Errno, FILE_RIGHTS, refuse, STDIN_RIGHTS, STDOUT_RIGHTS } from './abi.ts'
import type { FileTree } from './file-tree.ts'
import type { Directory, Entry, File, NullDevice, Opened } from './inode.ts'
import type { Notes } from './notes.ts'

/** The names that a reader of a directory goes through; taken when it begins, so that cookies stay what they are. */
export interface Listing {
  readonly names: readonly string[]
  readonly digest: Uint8Array
}

export function listingOf(names: readonly string[], sha256: Sha256): Listing {
  const encoded = new ByteWriter()
  for (const name of names) encoded.sized(utf8(name))
  return { names, digest: sha256(encoded.done()) }
}

/** What a descriptor may be good for. */
export interface DescriptorRights {
  /** For itself. */
  readonly rights: number
  /** For what is opened through it. */
  readonly inheriting: number
}

/** The most that a descriptor of this inode can have. */
export function mostRightsOf(inode: Opened): DescriptorRights {
  switch (inode.kind) {
    case 'directory':
      return { rights: DIRECTORY_RIGHTS, inheriting: DIRECTORY_RIGHTS | FILE_RIGHTS }
    case 'file':
    case 'null':
      return { rights: FILE_RIGHTS, inheriting: 0 }
    case 'stream':
      return { rights: inode.name === 'stdin' ? STDIN_RIGHTS : STDOUT_RIGHTS, inheriting: 0 }
    case 'symlink':
      return { rights: 0, inheriting: 0 }
  }
}

export interface Descriptor<Kind extends Opened = Opened> {
  readonly inode: Kind
  offset: number
  flags: number
  rights: number
  inheriting: number
  /** The name under which a directory was opened before the guest began. */
  readonly preopen: string | undefined
  listing: Listing | undefined
}

export class DescriptorTable {
  readonly #tree: FileTree
  readonly #notes: Notes
  readonly #max: number
  readonly #open: (Descriptor | undefined)[] = []

  /** Streams are 0 to 2, the working folder is 3 by the name `/` and 4 by the name `.`; then the other mounts. */
  constructor(parts: { tree: FileTree; notes: Notes; max: number }) {
    this.#tree = parts.tree
    this.#notes = parts.notes
    this.#max = parts.max
    const { stdin, stdout, stderr } = parts.tree.streams
    for (const stream of [stdin, stdout, stderr]) this.insert(stream, mostRightsOf(stream))
    for (const root of parts.tree.roots) {
      for (const preopen of preopenNames(root)) this.insert(root, { ...mostRightsOf(root), preopen })
    }
  }

  /** @returns The lowest number that is free. @throws Refusal MFILE */
  insert(inode: Opened, parts: DescriptorRights & { readonly flags?: number; readonly preopen?: string }): number {
    const fd = this.lowestFree()
    const { rights, inheriting, flags = 0, preopen } = parts
    this.#open[fd] = { inode, offset: 0, flags, rights, inheriting, preopen, listing: undefined }
    inode.opens++
    return fd
  }

  /** @throws Refusal MFILE */
  lowestFree(): number {
    let fd = 0
    while (this.#open[fd] !== undefined) fd++
    if (fd < this.#max) return fd
    this.#notes.add('LIMIT', 'open files')
    return refuse(Errno.MFILE)
  }

  /** @throws Refusal BADF, or NOTCAPABLE when one of the rights is missing. */
  get(fd: number, rights = 0): Descriptor {
    const descriptor = this.#open[fd] ?? refuse(Errno.BADF)
    return (descriptor.rights & rights) === rights ? descriptor : refuse(Errno.NOTCAPABLE)
  }

  find(fd: number): Descriptor | undefined {
    return this.#open[fd]
  }

  /** @throws Refusal as {@link get}, or NOTDIR. */
  directory(fd: number, rights: number): Descriptor<Directory> {
    const descriptor = this.get(fd, rights)
    return isOf('directory', descriptor) ? descriptor : refuse(Errno.NOTDIR)
  }

  /** @throws Refusal as {@link get}; SPIPE for a stream, ISDIR for a directory. */
  seekable(fd: number, rights: number): Descriptor<File> | Descriptor<NullDevice> {
    const descriptor = this.get(fd, rights)
    if (isOf('file', descriptor) || isOf('null', descriptor)) return descriptor
    return refuse(descriptor.inode.kind === 'stream' ? Errno.SPIPE : Errno.ISDIR)
  }

  /** What has a length of its own. @throws Refusal as {@link seekable}; INVAL for `/dev/null`. */
  file(fd: number, rights: number): Descriptor<File> {
    const descriptor = this.seekable(fd, rights)
    return isOf('file', descriptor) ? descriptor : refuse(Errno.INVAL)
  }

  /** @throws Refusal as {@link get}; INVAL for a stream and for `/dev/null`. */
  entry(fd: number, rights: number): Entry {
    const { inode } = this.get(fd, rights)
    return inode.kind === 'stream' || inode.kind === 'null' ? refuse(Errno.INVAL) : inode
  }

  close(fd: number): void {
    const { inode } = this.get(fd)
    this.#open[fd] = undefined
    inode.opens--
    if (inode.kind !== 'null') this.#tree.releaseIfUnused(inode)
  }

  /** Gives `to` the meaning of `from`; both are open before, `from` is closed after. */
  renumber(from: number, to: number): void {
    const descriptor = this.get(from)
    this.get(to)
    if (from === to) return
    this.close(to)
    this.#open[to] = descriptor
    this.#open[from] = undefined
  }

  /** Puts these in the place of all that are open, whose inodes may no longer be there. */
  restore(open: Iterable<readonly [fd: number, descriptor: Descriptor]>): void {
    for (const [, { inode }] of this.list()) inode.opens = 0
    this.#open.length = 0
    for (const [fd, descriptor] of open) {
      this.#open[fd] = descriptor
      descriptor.inode.opens++
    }
  }

  /** By number, ascending. */
  list(): (readonly [fd: number, descriptor: Descriptor])[] {
    return [...this.#open.entries()].filter((entry): entry is [number, Descriptor] => entry[1] !== undefined)
  }
}

/** The names under which a guest finds the root of a mount open. */
export function preopenNames({ mount }: Directory): readonly string[] {
  return mount.index === 0 ? [mount.at, '.'] : [mount.at]
}

function isOf<Kind extends Opened['kind']>(
  kind: Kind,
  descriptor: Descriptor,
): descriptor is Descriptor<Extract<Opened, { kind: Kind }>> {
  return descriptor.inode.kind === kind
}
