/** The calls on open files and directories. */
import { utf8 } from '@reprise/core'
import { ADVICE_MAX, Errno, FdFlags, refuse, Rights, type Abi } from './abi.ts'
import type { Calls, CallsOf, Host } from './calls.ts'
import { listingOf, type Descriptor } from './descriptor.ts'
import { fileTypeOf, sortedEntries, type Directory, type File, type NullDevice } from './inode.ts'
import type { Region } from './memory.ts'
import { checkTimeFlags, setTimes, writeFilestat } from './stat.ts'

const DIRENT_BYTES = 24
/** Offsets are exact as numbers; no content is ever that long. */
const OFFSET_MAX = BigInt(Number.MAX_SAFE_INTEGER)
const I64_MAX = 2n ** 63n - 1n

export const fdCalls: CallsOf = (host, abi) => ({
  ...transferCalls(host),
  ...descriptorCalls(host, abi),
  ...attributeCalls(host, abi),
  ...directoryCalls(host),
})

/** Reading and writing. */
function transferCalls(host: Host): Calls {
  const { memory, tree, descriptors, limits } = host
  const regionsOf = (at: number, count: number, resultAt: number) => {
    const regions = memory.regions(at, count, limits.iovecs)
    memory.check(resultAt, 4)
    return regions
  }

  return {
    fd_read(fd: number, at: number, count: number, resultAt: number) {
      const regions = regionsOf(at, count, resultAt)
      const descriptor = descriptors.get(fd, Rights.FD_READ)
      // Only standard input is a stream with the right to read.
      const source = descriptor.inode.kind === 'stream' ? host.stdin : descriptor
      const read = readInto(host, descriptor, regions, source.offset)
      source.offset += read
      memory.setU32(resultAt, read)
    },

    fd_pread(fd: number, at: number, count: number, offset: bigint, resultAt: number) {
      const regions = regionsOf(at, count, resultAt)
      const descriptor = descriptors.seekable(fd, Rights.FD_READ | Rights.FD_SEEK)
      memory.setU32(resultAt, readInto(host, descriptor, regions, offsetOf(offset)))
    },

    fd_write(fd: number, at: number, count: number, resultAt: number) {
      const regions = regionsOf(at, count, resultAt)
      const descriptor = descriptors.get(fd, Rights.FD_WRITE)
      const source = gather(host, regions)
      if (descriptor.inode.kind === 'stream') {
        const { inode } = descriptor
        inode.content.write(inode.content.lengthBytes, source.parts)
        tree.changed.add(inode.number)
        for (const part of source.parts) if (inode.name !== 'stdin') host.options.onStream?.(inode.name, part)
      } else {
        const target = descriptors.seekable(fd, Rights.FD_WRITE)
        target.offset = writeFrom(host, target, source, target.offset)
      }
      memory.setU32(resultAt, source.lengthBytes)
    },

    fd_pwrite(fd: number, at: number, count: number, offset: bigint, resultAt: number) {
      const regions = regionsOf(at, count, resultAt)
      const descriptor = descriptors.seekable(fd, Rights.FD_WRITE | Rights.FD_SEEK)
      const source = gather(host, regions)
      writeFrom(host, descriptor, source, offsetOf(offset))
      memory.setU32(resultAt, source.lengthBytes)
    },
  }
}

/** Opening's counterparts, lengths and offsets. */
function descriptorCalls(host: Host, abi: Abi): Calls {
  const { memory, tree, descriptors } = host
  const sync = (fd: number, right: number) => {
    const { inode } = descriptors.get(fd, right)
    if (inode.kind === 'file') host.settle(inode)
  }

  return {
    fd_advise(fd: number, _offset: bigint, _lengthBytes: bigint, advice: number) {
      if (advice > ADVICE_MAX) refuse(Errno.INVAL)
      if (descriptors.get(fd, Rights.FD_ADVISE).inode.kind === 'directory') refuse(Errno.BADF)
    },

    fd_allocate(fd: number, offset: bigint, lengthBytes: bigint) {
      const { inode } = descriptors.file(fd, Rights.FD_ALLOCATE)
      if (lengthBytes === 0n || lengthBytes > I64_MAX) refuse(Errno.INVAL)
      const end = offsetOf(offset) + offsetOf(lengthBytes)
      if (end > inode.content.lengthBytes) tree.write(inode, (content) => content.resize(end))
    },

    fd_close(fd: number) {
      const { inode } = descriptors.get(fd)
      if (inode.kind === 'file') host.settle(inode)
      descriptors.close(fd)
    },

    fd_datasync: (fd: number) => sync(fd, Rights.FD_DATASYNC),
    fd_sync: (fd: number) => sync(fd, Rights.FD_SYNC),

    fd_filestat_set_size(fd: number, size: bigint) {
      const { inode } = descriptors.file(fd, Rights.FD_FILESTAT_SET_SIZE)
      const lengthBytes = offsetOf(size)
      tree.write(inode, (content) => content.resize(lengthBytes))
    },

    fd_renumber(from: number, to: number) {
      descriptors.get(from)
      const { inode } = descriptors.get(to)
      if (inode.kind === 'file' && from !== to) host.settle(inode)
      descriptors.renumber(from, to)
    },

    fd_seek(fd: number, delta: bigint, whence: number, resultAt: number) {
      memory.check(resultAt, 8)
      const tells = whence === abi.whence.current && delta === 0n
      // As in uvwasi and the witx, where FD_SEEK implies FD_TELL.
      const maySeek = (descriptors.get(fd).rights & Rights.FD_SEEK) !== 0
      const descriptor = descriptors.seekable(fd, tells && !maySeek ? Rights.FD_TELL : Rights.FD_SEEK)
      const origin = new Map([
        [abi.whence.set, 0],
        [abi.whence.current, descriptor.offset],
        [abi.whence.end, descriptor.inode.kind === 'null' ? 0 : descriptor.inode.content.lengthBytes],
      ]).get(whence)
      if (origin === undefined) refuse(Errno.INVAL)
      // As in Linux: every place of it is its beginning.
      const offset = descriptor.inode.kind === 'null' ? 0n : BigInt(origin) + BigInt.asIntN(64, delta)
      if (offset < 0n || offset > OFFSET_MAX) refuse(Errno.INVAL)
      descriptor.offset = Number(offset)
      memory.setU64(resultAt, offset)
    },

    fd_tell(fd: number, resultAt: number) {
      memory.check(resultAt, 8)
      memory.setU64(resultAt, BigInt(descriptors.seekable(fd, Rights.FD_TELL).offset))
    },
  }
}

/** What describes a descriptor and what it refers to. */
function attributeCalls(host: Host, abi: Abi): Calls {
  const { memory, descriptors } = host
  return {
    fd_fdstat_get(fd: number, at: number) {
      memory.check(at, 24)
      const { inode, flags, rights, inheriting } = descriptors.get(fd)
      memory.zero(at, 24)
      memory.setU8(at, fileTypeOf(inode))
      memory.setU16(at + 2, flags)
      memory.setU64(at + 8, BigInt(rights))
      memory.setU64(at + 16, BigInt(inheriting))
    },

    fd_fdstat_set_flags(fd: number, flags: number) {
      const descriptor = descriptors.get(fd, Rights.FD_FDSTAT_SET_FLAGS)
      if ((flags & ~FdFlags.ALL) !== 0) refuse(Errno.INVAL)
      descriptor.flags = flags
    },

    fd_fdstat_set_rights(fd: number, base: bigint, inheriting: bigint) {
      const descriptor = descriptors.get(fd)
      const more = (wanted: bigint, has: number) => (wanted & ~BigInt(has)) !== 0n
      if (more(base, descriptor.rights) || more(inheriting, descriptor.inheriting)) refuse(Errno.NOTCAPABLE)
      descriptor.rights = Number(base)
      descriptor.inheriting = Number(inheriting)
    },

    fd_filestat_get(fd: number, at: number) {
      memory.check(at, abi.filestat.lengthBytes)
      writeFilestat(host, abi, descriptors.get(fd, Rights.FD_FILESTAT_GET).inode, at)
    },

    fd_filestat_set_times(fd: number, accessed: bigint, modified: bigint, flags: number) {
      checkTimeFlags(flags)
      setTimes(host, descriptors.entry(fd, Rights.FD_FILESTAT_SET_TIMES), { accessed, modified, flags })
    },
  }
}

/** Directories and what is open from the start. */
function directoryCalls(host: Host): Calls {
  const { memory, descriptors } = host
  const preopenOf = (fd: number) => utf8(descriptors.get(fd).preopen ?? refuse(Errno.BADF))

  return {
    fd_prestat_get(fd: number, at: number) {
      memory.check(at, 8)
      const name = preopenOf(fd)
      memory.zero(at, 8)
      memory.setU32(at + 4, name.length)
    },

    fd_prestat_dir_name(fd: number, at: number, lengthBytes: number) {
      memory.check(at, lengthBytes)
      const name = preopenOf(fd)
      if (name.length > lengthBytes) refuse(Errno.NAMETOOLONG)
      memory.set(at, name)
    },

    fd_readdir(fd: number, at: number, lengthBytes: number, cookie: bigint, usedAt: number) {
      const buffer = memory.target(at, lengthBytes)
      memory.check(usedAt, 4)
      const descriptor = descriptors.directory(fd, Rights.FD_READDIR)
      if (cookie === 0n || descriptor.listing === undefined)
        descriptor.listing = listingOf(namesIn(descriptor.inode), host.options.sha256)
      const { names } = descriptor.listing
      let used = 0
      for (let index = Number(cookie); index < names.length && used < buffer.length; index++) {
        const entry = dirent(descriptor.inode, names[index], index)
        if (entry === undefined) continue
        const part = entry.subarray(0, buffer.length - used)
        buffer.set(part, used)
        used += part.length
      }
      memory.setU32(usedAt, used)
    },
  }
}

function namesIn(directory: Directory): string[] {
  return ['.', '..', ...sortedEntries(directory).map(([name]) => name)]
}

/** One record of `fd_readdir`; undefined when the name has gone since the reader began. */
function dirent(directory: Directory, name: string, index: number): Uint8Array | undefined {
  const inode =
    index === 0 ? directory : index === 1 ? (directory.links[0]?.directory ?? directory) : directory.entries.get(name)
  if (inode === undefined) return undefined
  const encoded = utf8(name)
  const record = new Uint8Array(DIRENT_BYTES + encoded.length)
  const view = new DataView(record.buffer)
  view.setBigUint64(0, BigInt(index + 1), true)
  view.setBigUint64(8, BigInt(inode.number), true)
  view.setUint32(16, encoded.length, true)
  view.setUint8(20, fileTypeOf(inode))
  record.set(encoded, DIRENT_BYTES)
  return record
}

/** @throws Refusal INVAL above what a signed offset can be. */
function offsetOf(offset: bigint): number {
  if (offset > I64_MAX) refuse(Errno.INVAL)
  return Number(offset < OFFSET_MAX ? offset : OFFSET_MAX)
}

/** @returns How many bytes were read, 0 at the end. */
function readInto(host: Host, { inode }: Descriptor, regions: readonly Region[], offset: number): number {
  if (inode.kind === 'null') return 0
  if (inode.kind !== 'file' && inode.kind !== 'stream') refuse(Errno.ISDIR)
  let read = 0
  for (const { at, lengthBytes } of regions) {
    const count = inode.content.read(offset + read, host.memory.target(at, lengthBytes))
    read += count
    if (count < lengthBytes) break
  }
  return read
}

/** What a call writes: views of guest memory, valid during the call. */
interface Gathered {
  readonly parts: readonly Uint8Array[]
  readonly lengthBytes: number
}

function gather({ memory }: Host, regions: readonly Region[]): Gathered {
  const parts = regions.map(({ at, lengthBytes }) => memory.bytes(at, lengthBytes))
  return { parts, lengthBytes: parts.reduce((sum, part) => sum + part.length, 0) }
}

/** @returns The offset behind what was written. With APPEND every write goes to the end, as in Linux. */
function writeFrom(
  host: Host,
  { inode, flags }: Descriptor<File> | Descriptor<NullDevice>,
  { parts, lengthBytes }: Gathered,
  offset: number,
): number {
  if (lengthBytes === 0 || inode.kind === 'null') return offset
  const at = (flags & FdFlags.APPEND) === 0 ? offset : inode.content.lengthBytes
  if (at + lengthBytes > Number.MAX_SAFE_INTEGER) refuse(Errno.FBIG)
  host.tree.write(inode, (content) => content.write(at, parts))
  return at + lengthBytes
}
