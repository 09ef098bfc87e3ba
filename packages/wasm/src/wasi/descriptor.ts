/** The table of open files. */
import { DIRECTORY_RIGHTS, Errno, FILE_RIGHTS, refuse, STDIN_RIGHTS, STDOUT_RIGHTS } from './abi.ts'
import type { FileTree } from './file-tree.ts'
import type { Directory, Entry, File, Inode } from './inode.ts'
import type { Notes } from './notes.ts'

/** The names that a reader of a directory goes through; taken when it begins, so that cookies stay what they are. */
export interface Listing {
  readonly names: readonly string[]
  readonly digest: Uint8Array
}

export interface Descriptor<Kind extends Inode = Inode> {
  readonly inode: Kind
  offset: number
  flags: number
  /** For itself. */
  rights: number
  /** For what is opened through it. */
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
    this.insert(stdin, { rights: STDIN_RIGHTS })
    this.insert(stdout, { rights: STDOUT_RIGHTS })
    this.insert(stderr, { rights: STDOUT_RIGHTS })
    const preopen = (inode: Directory, name: string) =>
      this.insert(inode, { rights: DIRECTORY_RIGHTS, inheriting: DIRECTORY_RIGHTS | FILE_RIGHTS, preopen: name })
    for (const root of parts.tree.roots) {
      preopen(root, root.mount.at)
      if (root.mount.index === 0) preopen(root, '.')
    }
  }

  /** @returns The lowest number that is free. @throws Refusal MFILE */
  insert(inode: Inode, parts: { rights: number; inheriting?: number; flags?: number; preopen?: string }): number {
    const fd = this.lowestFree()
    const { rights, inheriting = 0, flags = 0, preopen } = parts
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

  /** @throws Refusal as {@link get}, or NOTDIR. */
  directory(fd: number, rights: number): Descriptor<Directory> {
    const descriptor = this.get(fd, rights)
    return isOf('directory', descriptor) ? descriptor : refuse(Errno.NOTDIR)
  }

  /** @throws Refusal as {@link get}; SPIPE for a stream, ISDIR for a directory. */
  file(fd: number, rights: number): Descriptor<File> {
    const descriptor = this.get(fd, rights)
    if (isOf('file', descriptor)) return descriptor
    return refuse(descriptor.inode.kind === 'stream' ? Errno.SPIPE : Errno.ISDIR)
  }

  /** @throws Refusal as {@link get}; INVAL for a stream. */
  entry(fd: number, rights: number): Entry {
    const { inode } = this.get(fd, rights)
    return inode.kind === 'stream' ? refuse(Errno.INVAL) : inode
  }

  close(fd: number): void {
    const { inode } = this.get(fd)
    this.#open[fd] = undefined
    inode.opens--
    this.#tree.releaseIfUnused(inode)
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

  /** By number, ascending. */
  list(): (readonly [fd: number, descriptor: Descriptor])[] {
    return [...this.#open.entries()].filter((entry): entry is [number, Descriptor] => entry[1] !== undefined)
  }
}

function isOf<Kind extends Inode['kind']>(
  kind: Kind,
  descriptor: Descriptor,
): descriptor is Descriptor<Extract<Inode, { kind: Kind }>> {
  return descriptor.inode.kind === kind
}
