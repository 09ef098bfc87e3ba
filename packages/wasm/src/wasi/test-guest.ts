/** For tests: a guest without a program, which makes WASI calls from outside and reads the answers from its memory. */
import { fromUtf8, utf8 } from '@reprise/core'
import { createWasi, type WasiHost, type WasiOptions } from './index.ts'
import { ABIS, DIRECTORY_RIGHTS, Errno, FILE_RIGHTS, LOOKUP_SYMLINK_FOLLOW, type Abi } from './abi.ts'

/** Makes one call; the result of a call that is not known is the caller's affair. */
export type Caller = (name: string, ...parameters: (number | bigint)[]) => number

export interface Answer<T> {
  readonly errno: number
  /** Only there when the errno is 0. */
  readonly value?: T
}

export interface Stat {
  readonly type: number
  readonly links: bigint
  readonly size: bigint
  readonly inode: bigint
  readonly accessed: bigint
  readonly modified: bigint
}

/** A host, and a guest that calls it. */
export function startGuest(options: WasiOptions, module = ABIS[0].module): { wasi: WasiHost; guest: TestGuest } {
  const wasi = createWasi(options)
  const call: Caller = (name, ...parameters) => wasi.function(module, name)?.(...parameters) ?? -1
  const guest = new TestGuest(call, undefined, module)
  wasi.bind(guest.memory)
  return { wasi, guest }
}

const RESULT_AT = 64
const IOVEC_AT = 128
const PATH_AT = 1024
const SECOND_PATH_AT = 16_384
const BUFFER_AT = 65_536
export const ALL_RIGHTS: number = DIRECTORY_RIGHTS | FILE_RIGHTS

export class TestGuest {
  readonly memory: WebAssembly.Memory
  readonly abi: Abi
  readonly #call: Caller

  constructor(call: Caller, memory = new WebAssembly.Memory({ initial: 16 }), module: Abi['module'] = ABIS[0].module) {
    this.#call = call
    this.memory = memory
    this.abi = ABIS.find((abi) => abi.module === module) as Abi
  }

  call(name: string, ...parameters: (number | bigint)[]): number {
    return this.#call(name, ...parameters)
  }

  get view(): DataView {
    return new DataView(this.memory.buffer)
  }

  bytes(at: number, lengthBytes: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, lengthBytes).slice()
  }

  put(at: number, bytes: Uint8Array): readonly [number, number] {
    new Uint8Array(this.memory.buffer).set(bytes, at)
    return [at, bytes.length]
  }

  #path(path: string, at = PATH_AT): readonly [number, number] {
    return this.put(at, utf8(path))
  }

  #answer<T>(errno: number, read: () => T): Answer<T> {
    return errno === Errno.SUCCESS ? { errno, value: read() } : { errno }
  }

  open(
    path: string,
    options: { dir?: number; follow?: boolean; flags?: number; fdFlags?: number; rights?: number } = {},
  ): Answer<number> {
    const { dir = 3, follow = true, flags = 0, fdFlags = 0, rights = ALL_RIGHTS } = options
    const lookup = follow ? LOOKUP_SYMLINK_FOLLOW : 0
    const [base, inheriting] = [BigInt(rights), BigInt(ALL_RIGHTS)]
    const errno = this.call('path_open', dir, lookup, ...this.#path(path), flags, base, inheriting, fdFlags, RESULT_AT)
    return this.#answer(errno, () => this.view.getUint32(RESULT_AT, true))
  }

  close(fd: number): Answer<void> {
    return { errno: this.call('fd_close', fd) }
  }

  /** As regions of 7 bytes and the rest, so that there is more than one. */
  #iovecs(lengthBytes: number): number {
    const first = Math.min(7, lengthBytes)
    const view = this.view
    for (const [i, value] of [BUFFER_AT, first, BUFFER_AT + first, lengthBytes - first].entries()) {
      view.setUint32(IOVEC_AT + 4 * i, value, true)
    }
    return 2
  }

  read(fd: number, lengthBytes: number, offset?: bigint): Answer<Uint8Array> {
    const count = this.#iovecs(lengthBytes)
    const errno =
      offset === undefined
        ? this.call('fd_read', fd, IOVEC_AT, count, RESULT_AT)
        : this.call('fd_pread', fd, IOVEC_AT, count, offset, RESULT_AT)
    return this.#answer(errno, () => this.bytes(BUFFER_AT, this.view.getUint32(RESULT_AT, true)))
  }

  write(fd: number, bytes: Uint8Array, offset?: bigint): Answer<number> {
    this.put(BUFFER_AT, bytes)
    const count = this.#iovecs(bytes.length)
    const errno =
      offset === undefined
        ? this.call('fd_write', fd, IOVEC_AT, count, RESULT_AT)
        : this.call('fd_pwrite', fd, IOVEC_AT, count, offset, RESULT_AT)
    return this.#answer(errno, () => this.view.getUint32(RESULT_AT, true))
  }

  seek(fd: number, delta: bigint, whence: keyof Abi['whence']): Answer<bigint> {
    const errno = this.call('fd_seek', fd, delta, this.abi.whence[whence], RESULT_AT)
    return this.#answer(errno, () => this.view.getBigUint64(RESULT_AT, true))
  }

  tell(fd: number): Answer<bigint> {
    return this.#answer(this.call('fd_tell', fd, RESULT_AT), () => this.view.getBigUint64(RESULT_AT, true))
  }

  setSize(fd: number, size: bigint): Answer<void> {
    return { errno: this.call('fd_filestat_set_size', fd, size) }
  }

  allocate(fd: number, offset: bigint, lengthBytes: bigint): Answer<void> {
    return { errno: this.call('fd_allocate', fd, offset, lengthBytes) }
  }

  stat(fd: number): Answer<Stat> {
    return this.#answer(this.call('fd_filestat_get', fd, RESULT_AT), () => this.#stat())
  }

  statPath(path: string, options: { dir?: number; follow?: boolean } = {}): Answer<Stat> {
    const lookup = (options.follow ?? true) ? LOOKUP_SYMLINK_FOLLOW : 0
    const errno = this.call('path_filestat_get', options.dir ?? 3, lookup, ...this.#path(path), RESULT_AT)
    return this.#answer(errno, () => this.#stat())
  }

  #stat(): Stat {
    const { nlink, nlinkBytes, size } = this.abi.filestat
    const view = this.view
    return {
      inode: view.getBigUint64(RESULT_AT + 8, true),
      type: view.getUint8(RESULT_AT + 16),
      links:
        nlinkBytes === 8 ? view.getBigUint64(RESULT_AT + nlink, true) : BigInt(view.getUint32(RESULT_AT + nlink, true)),
      size: view.getBigUint64(RESULT_AT + size, true),
      accessed: view.getBigUint64(RESULT_AT + size + 8, true),
      modified: view.getBigUint64(RESULT_AT + size + 16, true),
    }
  }

  setTimes(fd: number, accessed: bigint, modified: bigint, flags: number): Answer<void> {
    return { errno: this.call('fd_filestat_set_times', fd, accessed, modified, flags) }
  }

  makeDirectory(path: string, dir = 3): Answer<void> {
    return { errno: this.call('path_create_directory', dir, ...this.#path(path)) }
  }

  removeDirectory(path: string, dir = 3): Answer<void> {
    return { errno: this.call('path_remove_directory', dir, ...this.#path(path)) }
  }

  unlink(path: string, dir = 3): Answer<void> {
    return { errno: this.call('path_unlink_file', dir, ...this.#path(path)) }
  }

  rename(source: string, target: string, dirs: { source?: number; target?: number } = {}): Answer<void> {
    const [from, to] = [this.#path(source), this.#path(target, SECOND_PATH_AT)]
    return { errno: this.call('path_rename', dirs.source ?? 3, ...from, dirs.target ?? 3, ...to) }
  }

  link(source: string, target: string, dirs: { source?: number; target?: number } = {}): Answer<void> {
    const [from, to] = [this.#path(source), this.#path(target, SECOND_PATH_AT)]
    return { errno: this.call('path_link', dirs.source ?? 3, 0, ...from, dirs.target ?? 3, ...to) }
  }

  symlink(target: string, path: string, dir = 3): Answer<void> {
    return { errno: this.call('path_symlink', ...this.#path(target), dir, ...this.#path(path, SECOND_PATH_AT)) }
  }

  readLink(path: string, lengthBytes = 256): Answer<string> {
    const errno = this.call('path_readlink', 3, ...this.#path(path), BUFFER_AT, lengthBytes, RESULT_AT)
    return this.#answer(errno, () => fromUtf8(this.bytes(BUFFER_AT, this.view.getUint32(RESULT_AT, true))))
  }

  renumber(from: number, to: number): Answer<void> {
    return { errno: this.call('fd_renumber', from, to) }
  }

  /** Name and type of every entry, read through a buffer of this length again and again, as wasi-libc does. */
  list(fd: number, lengthBytes = 4096): Answer<[name: string, type: number, cookie: bigint][]> {
    const found: [string, number, bigint][] = []
    for (let cookie = 0n; ;) {
      const page = this.listFrom(fd, cookie, lengthBytes)
      if (page.value === undefined) return { errno: page.errno }
      found.push(...page.value.entries)
      if (!page.value.full) return { errno: 0, value: found }
      cookie = found.at(-1)?.[2] ?? cookie
    }
  }

  /** One `fd_readdir`: the whole entries that it gave, and whether the buffer was filled. */
  listFrom(
    fd: number,
    cookie: bigint,
    lengthBytes = 4096,
  ): Answer<{ entries: [name: string, type: number, cookie: bigint][]; full: boolean }> {
    const errno = this.call('fd_readdir', fd, BUFFER_AT, lengthBytes, cookie, RESULT_AT)
    return this.#answer(errno, () => {
      const used = this.view.getUint32(RESULT_AT, true)
      const view = new DataView(this.bytes(BUFFER_AT, used).buffer)
      const entries: [string, number, bigint][] = []
      for (let at = 0; at + 24 <= used;) {
        const end = at + 24 + view.getUint32(at + 16, true)
        if (end > used) break
        const name = fromUtf8(new Uint8Array(view.buffer, at + 24, end - at - 24))
        entries.push([name, view.getUint8(at + 20), view.getBigUint64(at, true)])
        at = end
      }
      return { entries, full: used === lengthBytes }
    })
  }
}
