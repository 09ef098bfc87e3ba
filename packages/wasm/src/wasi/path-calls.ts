/** The calls that take a path, which they resolve inside an open directory. */
import { utf8 } from '@reprise/core'
import { Errno, LOOKUP_SYMLINK_FOLLOW, refuse, Rights, type Abi } from './abi.ts'
import type { Calls, CallsOf, Host } from './calls.ts'
import { nullDeviceAt } from './null-device.ts'
import { openCalls } from './open-call.ts'
import type { Last, Place } from './resolve.ts'
import { startLinks, tellWarm } from './start-links.ts'
import { checkTimeFlags, setTimes, writeFilestat } from './stat.ts'

export const pathCalls: CallsOf = (host, abi) => ({
  ...openCalls(host, abi),
  ...onePathCalls(host, abi),
  ...twoPathCalls(host),
})

function lookups({ memory, tree, descriptors, limits }: Host) {
  return {
    text: (at: number, lengthBytes: number) => memory.text(at, lengthBytes, limits.pathBytes),
    place: (fd: number, rights: number, path: string, last: Last): Place =>
      tree.resolve(descriptors.directory(fd, rights).inode, path, last),
  }
}

function lastOf(lookup: number): Last {
  return (lookup & LOOKUP_SYMLINK_FOLLOW) !== 0 ? 'follow' : 'keep'
}

/** @throws Refusal NOENT, INVAL. */
function linkTarget({ inode }: Place): Uint8Array {
  if (inode === undefined) refuse(Errno.NOENT)
  if (inode.kind !== 'symlink') refuse(Errno.INVAL)
  return utf8(inode.target)
}

function onePathCalls(host: Host, abi: Abi): Calls {
  const { descriptors, memory, tree } = host
  const { text, place } = lookups(host)
  const startLink = startLinks(host)

  return {
    path_create_directory(fd: number, pathAt: number, pathBytes: number) {
      tree.createDirectory(place(fd, Rights.PATH_CREATE_DIRECTORY, text(pathAt, pathBytes), 'entry'))
    },

    path_filestat_get(fd: number, lookup: number, pathAt: number, pathBytes: number, resultAt: number) {
      memory.check(resultAt, abi.filestat.lengthBytes)
      const path = text(pathAt, pathBytes)
      const directory = descriptors.directory(fd, Rights.PATH_FILESTAT_GET).inode
      tellWarm(host, directory, path)
      const inode = nullDeviceAt(host, directory, path) ?? tree.resolve(directory, path, lastOf(lookup)).inode
      writeFilestat(host, abi, inode ?? refuse(Errno.NOENT), resultAt)
    },

    path_filestat_set_times(
      fd: number,
      lookup: number,
      pathAt: number,
      pathBytes: number,
      accessed: bigint,
      modified: bigint,
      flags: number,
    ) {
      checkTimeFlags(flags)
      const { inode } = place(fd, Rights.PATH_FILESTAT_SET_TIMES, text(pathAt, pathBytes), lastOf(lookup))
      setTimes(host, inode ?? refuse(Errno.NOENT), { accessed, modified, flags })
    },

    path_readlink(fd: number, pathAt: number, pathBytes: number, at: number, lengthBytes: number, usedAt: number) {
      const buffer = memory.target(at, lengthBytes)
      memory.check(usedAt, 4)
      const path = text(pathAt, pathBytes)
      const { inode } = descriptors.directory(fd, Rights.PATH_READLINK)
      const whole = startLink(inode, path) ?? linkTarget(tree.resolve(inode, path, 'keep'))
      const target = whole.subarray(0, lengthBytes)
      buffer.set(target)
      memory.setU32(usedAt, target.length)
    },

    path_remove_directory(fd: number, pathAt: number, pathBytes: number) {
      tree.removeDirectory(place(fd, Rights.PATH_REMOVE_DIRECTORY, text(pathAt, pathBytes), 'entry'))
    },

    path_symlink(targetAt: number, targetBytes: number, fd: number, pathAt: number, pathBytes: number) {
      const target = text(targetAt, targetBytes)
      if (target === '') refuse(Errno.NOENT)
      tree.createSymlink(place(fd, Rights.PATH_SYMLINK, text(pathAt, pathBytes), 'entry'), target)
    },

    path_unlink_file(fd: number, pathAt: number, pathBytes: number) {
      tree.unlink(place(fd, Rights.PATH_UNLINK_FILE, text(pathAt, pathBytes), 'entry'))
    },
  }
}

function twoPathCalls(host: Host): Calls {
  const { tree } = host
  const { text, place } = lookups(host)

  return {
    path_link(
      sourceFd: number,
      lookup: number,
      sourceAt: number,
      sourceBytes: number,
      targetFd: number,
      targetAt: number,
      targetBytes: number,
    ) {
      const [sourcePath, targetPath] = [text(sourceAt, sourceBytes), text(targetAt, targetBytes)]
      const source = place(sourceFd, Rights.PATH_LINK_SOURCE, sourcePath, lastOf(lookup))
      const target = place(targetFd, Rights.PATH_LINK_TARGET, targetPath, 'entry')
      tree.link(source.inode ?? refuse(Errno.NOENT), target)
    },

    path_rename(
      sourceFd: number,
      sourceAt: number,
      sourceBytes: number,
      targetFd: number,
      targetAt: number,
      targetBytes: number,
    ) {
      const [sourcePath, targetPath] = [text(sourceAt, sourceBytes), text(targetAt, targetBytes)]
      const source = place(sourceFd, Rights.PATH_RENAME_SOURCE, sourcePath, 'entry')
      const moved = tree.rename(source, place(targetFd, Rights.PATH_RENAME_TARGET, targetPath, 'entry'))
      if (moved?.kind === 'file' && !moved.unsettled) host.announce(moved)
    },
  }
}
