/** What stands in the file system of the guest. Plain data; `file-tree.ts` keeps it consistent. */
import { compareText, utf8 } from '@reprise/core'
import { FileType } from './abi.ts'
import type { Content } from './content.ts'

/** A mounted tree. */
export interface Mount {
  readonly index: number
  readonly at: string
  readonly writable: boolean
  readonly output: boolean
}

/** Nanoseconds since 1970. */
export interface Times {
  accessed: bigint
  modified: bigint
  changed: bigint
}

interface Common {
  readonly number: number
  readonly times: Times
  /** How many open descriptors refer to it. */
  opens: number
}

/** A name under which a directory holds an inode. */
export interface Link {
  readonly directory: Directory
  readonly name: string
}

/** What is in a mount. */
export interface Placed extends Common {
  readonly mount: Mount
  /** In the order in which it got them. */
  readonly links: Link[]
  /** The name under which the computation put it there; none for the root of a mount and for what the guest made. */
  readonly origin: Link | undefined
}

export interface File extends Placed {
  readonly kind: 'file'
  readonly content: Content
  /** Where its content came from, as long as the guest has not written it: the path inside its mount. */
  readonly inputPath: string | undefined
  /** An input that the guest cannot change: content, times and name stay as they are. */
  readonly readOnly: boolean
  /** Written since it was last closed or synced. */
  unsettled: boolean
}

/** It has at most one link; none as the root of a mount or once it is removed. */
export interface Directory extends Placed {
  readonly kind: 'directory'
  /** The root of its mount. */
  readonly root: boolean
  /** A read-only file is in it, at whatever depth, so it keeps its name too. */
  holdsReadOnly: boolean
  readonly entries: Map<string, Entry>
}

export interface Symlink extends Placed {
  readonly kind: 'symlink'
  readonly target: string
}

/** Standard input, output or error. */
export interface Stream extends Common {
  readonly kind: 'stream'
  readonly name: 'stdin' | 'stdout' | 'stderr'
  readonly content: Content
}

/** `/dev/null`: there is one, number 0, outside all trees. Nothing changes it, so that it has no record. Format: spec/wasi-host.md §15. */
export interface NullDevice extends Common {
  readonly kind: 'null'
}

/** What a directory can hold. */
export type Entry = File | Directory | Symlink
/** What has a number from 1, and a record. */
export type Inode = Entry | Stream
/** What a descriptor can lead to. */
export type Opened = Inode | NullDevice

export function fileTypeOf(inode: Opened): number {
  switch (inode.kind) {
    case 'file':
      return FileType.REGULAR_FILE
    case 'directory':
      return FileType.DIRECTORY
    case 'symlink':
      return FileType.SYMBOLIC_LINK
    case 'stream':
    case 'null':
      return FileType.CHARACTER_DEVICE
  }
}

/** A directory counts as one link, as on btrfs: nobody may conclude a number of subdirectories from it. */
export function linkCountOf(inode: Opened): number {
  if (inode.kind === 'stream' || inode.kind === 'null' || (inode.kind === 'directory' && inode.root)) return 1
  return inode.links.length
}

/** Whether an inode has this name, or without one none, and no other. Directories are the same when their numbers are. */
export function isAt({ links }: Entry, origin: Link | undefined): boolean {
  const [link] = links
  if (origin === undefined || link === undefined) return origin === link
  return links.length === 1 && link.directory.number === origin.directory.number && link.name === origin.name
}

/** Whether nothing of it can ever change. */
export function isFixed(inode: Inode | undefined): boolean {
  return inode !== undefined && inode.kind !== 'stream' && !inode.mount.writable
}

/** Whether a path leads to a directory: to one that was removed while open none does. */
export function isAttached(directory: Directory): boolean {
  return directory.root || directory.links.length > 0
}

/** Whether `inode` is `directory` or above it. */
export function isInside(directory: Directory, inode: Entry): boolean {
  for (let at: Directory | undefined = directory; at !== undefined; at = at.links[0]?.directory) {
    if (at === inode) return true
  }
  return false
}

/** A stream has no size, as a pipe. */
export function sizeOf(inode: Opened): number {
  switch (inode.kind) {
    case 'file':
      return inode.content.lengthBytes
    case 'symlink':
      return utf8(inode.target).length
    case 'directory':
    case 'stream':
    case 'null':
      return 0
  }
}

/** The entries in the order of their names' bytes. */
export function sortedEntries(directory: Directory): (readonly [name: string, inode: Entry])[] {
  return [...directory.entries].sort(([a], [b]) => compareText(a, b))
}
