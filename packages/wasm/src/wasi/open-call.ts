/** `path_open`. */
import {
  DIRECTORY_RIGHTS,
  Errno,
  FdFlags,
  FILE_RIGHTS,
  LOOKUP_SYMLINK_FOLLOW,
  OpenFlags,
  refuse,
  Rights,
  RIGHTS_TO_WRITE,
} from './abi.ts'
import type { CallsOf, Host } from './calls.ts'
import { mostRightsOf } from './descriptor.ts'
import type { Directory, File, NullDevice } from './inode.ts'
import { nullDeviceAt } from './null-device.ts'
import type { Place } from './resolve.ts'

/** Rights above those that this host knows are ignored. */
function knownRights(rights: bigint): number {
  return Number(rights & BigInt(DIRECTORY_RIGHTS | FILE_RIGHTS))
}

export const openCalls: CallsOf = (host) => ({
  path_open(
    fd: number,
    lookup: number,
    pathAt: number,
    pathBytes: number,
    openFlags: number,
    base: bigint,
    inheriting: bigint,
    flags: number,
    resultAt: number,
  ) {
    host.memory.check(resultAt, 4)
    const path = host.memory.text(pathAt, pathBytes, host.limits.pathBytes)
    const rights = { base: knownRights(base), inheriting: knownRights(inheriting) }
    host.memory.setU32(
      resultAt,
      open(host, { fd, follow: (lookup & LOOKUP_SYMLINK_FOLLOW) !== 0, path, openFlags, rights, flags }),
    )
  },
})

/** What is to happen to what is there. */
interface Opening {
  readonly create: boolean
  readonly directory: boolean
  readonly exclusive: boolean
  readonly truncate: boolean
  readonly write: boolean
}

interface OpenRequest {
  readonly fd: number
  readonly follow: boolean
  readonly path: string
  readonly openFlags: number
  readonly rights: { readonly base: number; readonly inheriting: number }
  readonly flags: number
}

function open(host: Host, { fd, follow, path, openFlags, rights, flags }: OpenRequest): number {
  const { tree, descriptors } = host
  if ((openFlags & ~OpenFlags.ALL) !== 0 || (flags & ~FdFlags.ALL) !== 0) refuse(Errno.INVAL)
  const has = (flag: number) => (openFlags & flag) !== 0
  const opening: Opening = {
    create: has(OpenFlags.CREAT),
    directory: has(OpenFlags.DIRECTORY),
    exclusive: has(OpenFlags.CREAT) && has(OpenFlags.EXCL),
    truncate: has(OpenFlags.TRUNC),
    write: (rights.base & RIGHTS_TO_WRITE) !== 0,
  }
  const needed =
    Rights.PATH_OPEN |
    (opening.create ? Rights.PATH_CREATE_FILE : 0) |
    (opening.truncate ? Rights.PATH_FILESTAT_SET_SIZE : 0)
  const start = descriptors.directory(fd, needed)
  if (((rights.base | rights.inheriting) & ~start.inheriting) !== 0) refuse(Errno.NOTCAPABLE)
  if (opening.create && opening.directory) refuse(Errno.INVAL)
  descriptors.lowestFree()
  const last = opening.exclusive ? 'entry' : follow ? 'follow' : 'keep'
  const device = nullDeviceAt(host, start.inode, path)
  const inode =
    device === undefined ? openedInode(host, tree.resolve(start.inode, path, last), opening) : opened(device, opening)
  const most = mostRightsOf(inode)
  return descriptors.insert(inode, {
    rights: rights.base & most.rights,
    inheriting: rights.inheriting & most.inheriting,
    flags,
  })
}

/** There is nothing in it to be made or emptied. */
function opened(device: NullDevice, { exclusive, directory }: Opening): NullDevice {
  if (exclusive) refuse(Errno.EXIST)
  if (directory) refuse(Errno.NOTDIR)
  return device
}

/** Finds, makes or empties what is opened. */
function openedInode({ tree }: Host, place: Place, opening: Opening): File | Directory {
  const { inode } = place
  if (inode === undefined) {
    if (!opening.create || place.directory === undefined) refuse(Errno.NOENT)
    if (place.slash) refuse(Errno.ISDIR)
    return tree.createFile(place)
  }
  if (opening.exclusive) refuse(Errno.EXIST)
  // Only a link that is not to be followed is still one here.
  if (inode.kind === 'symlink') refuse(opening.directory ? Errno.NOTDIR : Errno.LOOP)
  if (inode.kind === 'directory')
    return opening.create || opening.truncate || opening.write ? refuse(Errno.ISDIR) : inode
  if (opening.directory) refuse(Errno.NOTDIR)
  if (opening.write || opening.truncate) tree.mustBeWritable(inode)
  if (opening.truncate) tree.write(inode, (content) => content.resize(0))
  return inode
}
