/**
 * From a path to its place in the tree, as POSIX.1-2017 §4.13 resolves paths, inside one directory: what leads out of
 * it is refused. Format: spec/wasi-host.md §4.
 */
import { utf8 } from '@reprise/core'
import { Errno, refuse } from './abi.ts'
import type { Directory, Entry } from './inode.ts'
import type { WasiLimits } from './options.ts'

/** A name in a directory, with what stands there, if anything does. */
export interface NamedPlace {
  readonly directory: Directory
  readonly name: string
  readonly inode: Entry | undefined
  /** The path ends in a slash: only a directory will do. */
  readonly slash: boolean
}

/** A directory that the path names by `.` or `..` at its end: it has no name there. */
export interface DotPlace {
  readonly directory: undefined
  readonly inode: Directory
}

export type Place = NamedPlace | DotPlace

/**
 * - `follow`: a symbolic link at the end is followed
 * - `keep`: it is taken itself, unless a slash follows
 * - `entry`: the name itself is wanted, to make, remove or move it
 */
export type Last = 'follow' | 'keep' | 'entry'

/** @throws Refusal NOENT, NOTDIR, LOOP, NAMETOOLONG, or NOTCAPABLE for what leads out of `start`. */
export function resolve(start: Directory, path: string, last: Last, limits: WasiLimits): Place {
  if (path === '') refuse(Errno.NOENT)
  const names = namesOf(path)
  let slash = path.endsWith('/')
  let here = start
  let followed = 0
  for (;;) {
    const name = names.pop()
    if (name === undefined) return { directory: undefined, inode: here }
    if (name === '.') continue
    if (name === '..') {
      here = parentOf(here, start)
      continue
    }
    // A UTF-16 unit is at most three bytes: short names need no encoding.
    if (3 * name.length > limits.nameBytes && utf8(name).length > limits.nameBytes) refuse(Errno.NAMETOOLONG)
    const inode = here.entries.get(name)
    const atEnd = names.length === 0
    if (inode?.kind === 'symlink' && (!atEnd || last === 'follow' || (last === 'keep' && slash))) {
      if (++followed > limits.symlinks) refuse(Errno.LOOP)
      names.push(...namesOf(inode.target))
      slash ||= atEnd && inode.target.endsWith('/')
    } else if (atEnd) {
      if (slash && last !== 'entry' && inode !== undefined && inode.kind !== 'directory') refuse(Errno.NOTDIR)
      return { directory: here, name, inode, slash }
    } else if (inode === undefined) {
      refuse(Errno.NOENT)
    } else if (inode.kind !== 'directory') {
      refuse(Errno.NOTDIR)
    } else {
      here = inode
    }
  }
}

/** The names of a path, the last one first. */
function namesOf(path: string): string[] {
  if (path.startsWith('/')) refuse(Errno.NOTCAPABLE)
  return path
    .split('/')
    .filter((name) => name !== '')
    .reverse()
}

function parentOf(directory: Directory, start: Directory): Directory {
  if (directory === start) refuse(Errno.NOTCAPABLE)
  const parent = directory.links[0]?.directory
  return parent ?? refuse(Errno.NOTCAPABLE)
}
