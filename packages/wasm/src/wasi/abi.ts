/**
 * Numbers and layouts of WASI preview 1 and of its forerunner `wasi_unstable`.
 *
 * Source: WASI `phases/snapshot/witx/wasi_snapshot_preview1.witx` and `phases/old/snapshot_0`. The two differ in
 * the order of `whence` and in the layouts of `filestat` and `subscription`, and in nothing else.
 */

export const Errno = {
  SUCCESS: 0,
  BADF: 8,
  BUSY: 10,
  EXIST: 20,
  FAULT: 21,
  FBIG: 22,
  ILSEQ: 25,
  INVAL: 28,
  ISDIR: 31,
  LOOP: 32,
  MFILE: 33,
  NAMETOOLONG: 37,
  NOENT: 44,
  NOSPC: 51,
  NOSYS: 52,
  NOTDIR: 54,
  NOTEMPTY: 55,
  NOTSOCK: 57,
  PERM: 63,
  ROFS: 69,
  SPIPE: 70,
  XDEV: 75,
  NOTCAPABLE: 76,
} as const

export type Errno = (typeof Errno)[keyof typeof Errno]

/** How a call ends early. One object per errno, thrown and caught inside a host call, so that no stack is captured. */
export class Refusal extends Error {
  readonly errno: Errno

  constructor(name: string, errno: Errno) {
    super(name)
    this.errno = errno
  }
}

const REFUSALS = new Map(Object.entries(Errno).map(([name, errno]) => [errno, new Refusal(name, errno)]))

export function refuse(errno: Errno): never {
  throw REFUSALS.get(errno) as Refusal
}

export const FileType = { CHARACTER_DEVICE: 2, DIRECTORY: 3, REGULAR_FILE: 4, SYMBOLIC_LINK: 7 } as const

export const FdFlags = { APPEND: 1, ALL: 0x1f } as const

export const OpenFlags = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8, ALL: 0xf } as const

export const LOOKUP_SYMLINK_FOLLOW = 1

export const TimeFlags = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8, ALL: 0xf } as const

export const CLOCK_REALTIME = 0
/** Realtime, monotonic, process CPU time, thread CPU time. */
export const CLOCKS = 4
export const ADVICE_MAX = 5

export const EventType = { CLOCK: 0, FD_READ: 1, FD_WRITE: 2 } as const
export const SUBSCRIPTION_CLOCK_ABSTIME = 1

/** All rights fit 30 bits, so they are numbers inside; bits above are ignored. */
export const Rights = {
  FD_DATASYNC: 1 << 0,
  FD_READ: 1 << 1,
  FD_SEEK: 1 << 2,
  FD_FDSTAT_SET_FLAGS: 1 << 3,
  FD_SYNC: 1 << 4,
  FD_TELL: 1 << 5,
  FD_WRITE: 1 << 6,
  FD_ADVISE: 1 << 7,
  FD_ALLOCATE: 1 << 8,
  PATH_CREATE_DIRECTORY: 1 << 9,
  PATH_CREATE_FILE: 1 << 10,
  PATH_LINK_SOURCE: 1 << 11,
  PATH_LINK_TARGET: 1 << 12,
  PATH_OPEN: 1 << 13,
  FD_READDIR: 1 << 14,
  PATH_READLINK: 1 << 15,
  PATH_RENAME_SOURCE: 1 << 16,
  PATH_RENAME_TARGET: 1 << 17,
  PATH_FILESTAT_GET: 1 << 18,
  PATH_FILESTAT_SET_SIZE: 1 << 19,
  PATH_FILESTAT_SET_TIMES: 1 << 20,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  PATH_SYMLINK: 1 << 24,
  PATH_REMOVE_DIRECTORY: 1 << 25,
  PATH_UNLINK_FILE: 1 << 26,
  POLL_FD_READWRITE: 1 << 27,
} as const

/** Rights that ask for writing, as the `open` of wasi-libc asks. */
export const RIGHTS_TO_WRITE = Rights.FD_DATASYNC | Rights.FD_WRITE | Rights.FD_ALLOCATE | Rights.FD_FILESTAT_SET_SIZE

export const FILE_RIGHTS =
  RIGHTS_TO_WRITE |
  Rights.FD_READ |
  Rights.FD_SEEK |
  Rights.FD_FDSTAT_SET_FLAGS |
  Rights.FD_SYNC |
  Rights.FD_TELL |
  Rights.FD_ADVISE |
  Rights.FD_FILESTAT_GET |
  Rights.FD_FILESTAT_SET_TIMES |
  Rights.POLL_FD_READWRITE

export const DIRECTORY_RIGHTS =
  Rights.FD_FDSTAT_SET_FLAGS |
  Rights.FD_SYNC |
  Rights.FD_ADVISE |
  Rights.PATH_CREATE_DIRECTORY |
  Rights.PATH_CREATE_FILE |
  Rights.PATH_LINK_SOURCE |
  Rights.PATH_LINK_TARGET |
  Rights.PATH_OPEN |
  Rights.FD_READDIR |
  Rights.PATH_READLINK |
  Rights.PATH_RENAME_SOURCE |
  Rights.PATH_RENAME_TARGET |
  Rights.PATH_FILESTAT_GET |
  Rights.PATH_FILESTAT_SET_SIZE |
  Rights.PATH_FILESTAT_SET_TIMES |
  Rights.FD_FILESTAT_GET |
  Rights.FD_FILESTAT_SET_TIMES |
  Rights.PATH_SYMLINK |
  Rights.PATH_REMOVE_DIRECTORY |
  Rights.PATH_UNLINK_FILE |
  Rights.POLL_FD_READWRITE

// FD_SEEK and FD_TELL make a character device "no terminal" to the `isatty` of wasi-libc, so that guests
// buffer their streams as for a pipe; seeking itself is refused with ESPIPE, as a pipe does.
const STREAM_RIGHTS =
  Rights.FD_SEEK | Rights.FD_TELL | Rights.FD_FDSTAT_SET_FLAGS | Rights.FD_FILESTAT_GET | Rights.POLL_FD_READWRITE
export const STDIN_RIGHTS = STREAM_RIGHTS | Rights.FD_READ
export const STDOUT_RIGHTS = STREAM_RIGHTS | Rights.FD_WRITE | Rights.FD_SYNC | Rights.FD_DATASYNC

/** What of the guest's memory layouts differs between the two. Offsets in bytes. */
export interface Abi {
  readonly module: 'wasi_snapshot_preview1' | 'wasi_unstable'
  /** The numbers of SET, CUR and END. */
  readonly whence: { readonly set: number; readonly current: number; readonly end: number }
  readonly filestat: {
    readonly lengthBytes: number
    readonly nlink: number
    readonly nlinkBytes: 4 | 8
    readonly size: number
  }
  readonly subscription: {
    readonly lengthBytes: number
    readonly clockId: number
    readonly timeout: number
    readonly flags: number
  }
}

export const ABIS: readonly Abi[] = [
  {
    module: 'wasi_snapshot_preview1',
    whence: { set: 0, current: 1, end: 2 },
    filestat: { lengthBytes: 64, nlink: 24, nlinkBytes: 8, size: 32 },
    subscription: { lengthBytes: 48, clockId: 16, timeout: 24, flags: 40 },
  },
  {
    module: 'wasi_unstable',
    whence: { set: 2, current: 0, end: 1 },
    filestat: { lengthBytes: 56, nlink: 20, nlinkBytes: 4, size: 24 },
    subscription: { lengthBytes: 56, clockId: 24, timeout: 32, flags: 48 },
  },
]
