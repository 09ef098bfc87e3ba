/** `filestat` and the setting of times, shared by descriptors and paths. */
import { Errno, refuse, TimeFlags, type Abi } from './abi.ts'
import type { Host } from './calls.ts'
import { fileTypeOf, linkCountOf, sizeOf, type Entry, type Opened } from './inode.ts'

const DEVICE = 1n

export function writeFilestat(host: Host, abi: Abi, inode: Opened, at: number): void {
  const { memory } = host
  const { lengthBytes, nlink, nlinkBytes, size } = abi.filestat
  memory.zero(at, lengthBytes)
  memory.setU64(at, DEVICE)
  memory.setU64(at + 8, BigInt(inode.number))
  memory.setU8(at + 16, fileTypeOf(inode))
  if (nlinkBytes === 8) memory.setU64(at + nlink, BigInt(linkCountOf(inode)))
  else memory.setU32(at + nlink, linkCountOf(inode))
  memory.setU64(at + size, BigInt(sizeOf(inode)))
  memory.setU64(at + size + 8, inode.times.accessed)
  memory.setU64(at + size + 16, inode.times.modified)
  memory.setU64(at + size + 24, inode.times.changed)
}

export interface NewTimes {
  readonly accessed: bigint
  readonly modified: bigint
  readonly flags: number
}

/** @throws Refusal INVAL for flags that exclude each other or are none. */
export function checkTimeFlags(flags: number): void {
  const both = (a: number, b: number) => (flags & a) !== 0 && (flags & b) !== 0
  const exclusive = both(TimeFlags.ATIM, TimeFlags.ATIM_NOW) || both(TimeFlags.MTIM, TimeFlags.MTIM_NOW)
  if (exclusive || (flags & ~TimeFlags.ALL) !== 0) refuse(Errno.INVAL)
}

export function setTimes(host: Host, inode: Entry, { accessed, modified, flags }: NewTimes): void {
  host.tree.mustBeWritable(inode)
  const now = host.clock.realtime()
  host.tree.setTimes(inode, {
    ...(flags & TimeFlags.ATIM && { accessed }),
    ...(flags & TimeFlags.ATIM_NOW && { accessed: now }),
    ...(flags & TimeFlags.MTIM && { modified }),
    ...(flags & TimeFlags.MTIM_NOW && { modified: now }),
  })
}
