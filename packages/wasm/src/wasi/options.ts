/** What a host is made of. Everything outside comes in here, so that two hosts of the same options behave the same. */
import { compareText, utf8, type Sha256 } from '@reprise/core'
import type { HostCall } from './trace.ts'

/** Bytes of which the length is known, read when the guest wants them. */
export interface UnreadBytes {
  readonly lengthBytes: number
  /** As many, and the same ones each time. */
  readonly read: () => Uint8Array
}

export function lengthOf(bytes: Uint8Array | UnreadBytes): number {
  return bytes instanceof Uint8Array ? bytes.length : bytes.lengthBytes
}

export function readBytes(bytes: Uint8Array | UnreadBytes): Uint8Array {
  return bytes instanceof Uint8Array ? bytes : bytes.read()
}

export interface WasiFile {
  /** Relative to the mount, `/` between names. */
  readonly path: string
  /** Stay the caller's and are never changed. */
  readonly bytes: Uint8Array | UnreadBytes
  /** A change of it, of its name, or of a name above it is refused with EROFS; other files may be made beside it. */
  readonly readOnly?: boolean
}

export interface WasiMount {
  /** `/` is the guest's working folder; every other mount has an absolute guest path. */
  readonly at: string
  /** Without it every change is refused with EROFS. */
  readonly writable: boolean
  /** Whether its new and changed files are outputs. */
  readonly output: boolean
  readonly files: readonly WasiFile[]
}

/** Maxima that a guest can reach; part of semantics `wasm/1` (spec/wasi-host.md §9). */
export interface WasiLimits {
  readonly openFiles: number
  readonly pathBytes: number
  readonly nameBytes: number
  /** Contents that the guest wrote, streams among them, all together. */
  readonly contentBytes: number
  readonly inodes: number
  readonly iovecs: number
  readonly subscriptions: number
  readonly symlinks: number
}

export const WASI_LIMITS: WasiLimits = {
  openFiles: 1024,
  pathBytes: 4096,
  nameBytes: 255,
  contentBytes: 2 ** 32,
  inodes: 2 ** 20,
  iovecs: 1024,
  subscriptions: 4096,
  symlinks: 40,
}

/**
 * How a warm start is made and gone on from (spec/wasi-host.md §14): in the warm-up the guest says by a call when it is
 * warm; the computation that begins there asks by calls for its arguments and variables.
 */
export type WasiStart = { readonly kind: 'warm-up'; readonly onWarm: () => void } | { readonly kind: 'warm' }

export interface WasiOptions {
  /** The program's own name first. */
  readonly arguments: readonly string[]
  readonly environment: readonly (readonly [name: string, value: string])[]
  readonly stdin: Uint8Array
  /** The first one is at `/`. Guests get them in this order. */
  readonly mounts: readonly WasiMount[]
  /** Nanoseconds since 1970-01-01T00:00:00Z at which the virtual clock starts. */
  readonly clockStartNs: bigint
  /** Below 2^64. */
  readonly seed: bigint
  /** The position of the execution, exact during host calls. */
  readonly position: () => bigint
  readonly sha256: Sha256
  /** Smaller limits are for tests: others than the defaults are another semantics. */
  readonly limits?: Partial<WasiLimits>
  /** What the guest writes to its streams, as it writes it; valid during the call. */
  readonly onStream?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void
  /** A file of an output mount that was written is closed or synced now, or renamed after that: by its name of now. */
  readonly onOutputClosed?: (path: string) => void
  /** Told of every call when it is done, before the guest goes on. What that costs, it costs only when it is there. */
  readonly onCall?: ((call: HostCall) => void) | undefined
  /** Absent for a guest that begins at its beginning and goes to its end. */
  readonly start?: WasiStart | undefined
  /** The host goes on from here, with the options of the host that was saved; what it was told before is not told again. */
  readonly saved?: SavedHost | undefined
}

/** What {@link WasiHost.save} gives. Format: spec/wasi-host.md §11. */
export interface SavedHost {
  readonly bytes: Uint8Array
  /** Of the files and streams that the guest wrote, in the order of their inodes. */
  readonly contents: readonly Uint8Array[]
}

/** @throws RangeError naming the first option that cannot be. A caller has checked what came from outside. */
export function checkOptions(options: WasiOptions, limits: WasiLimits): void {
  const strings = [...options.arguments, ...options.environment.flat()]
  for (const text of strings) must(text.isWellFormed() && !text.includes('\0'), 'argument or environment value', text)
  for (const [name] of options.environment) must(name !== '' && !name.includes('='), 'environment name', name)
  for (const value of [options.clockStartNs, options.seed]) {
    must(value === BigInt.asUintN(64, value), 'clock start or seed', String(value))
  }
  const places = new Set<string>()
  must(options.mounts[0]?.at === '/', 'first mount', options.mounts[0]?.at ?? 'none')
  for (const mount of options.mounts) {
    must(mount.at === '/' || (mount.at.startsWith('/') && isPath(mount.at.slice(1), limits)), 'mount', mount.at)
    must(!places.has(mount.at), 'second mount', mount.at)
    must(!(mount.output && /^\/dev(\/|$)/.test(mount.at)), 'output mount', mount.at)
    places.add(mount.at)
    for (const file of mount.files) must(isPath(file.path, limits), `file of mount ${mount.at}`, file.path)
  }
}

/** Names with `/` between them, none of them empty, `.` or `..`. */
const NAMES = /^(?!\.{1,2}(?:\/|$))[^/]+(?:\/(?!\.{1,2}(?:\/|$))[^/]+)*$/

/** Asked for each of the thousands of files of a library, before each start. */
function isPath(path: string, { pathBytes, nameBytes }: WasiLimits): boolean {
  if (!NAMES.test(path) || !path.isWellFormed() || !isText(path, pathBytes)) return false
  return isText(path, nameBytes) || path.split('/').every((name) => isText(name, nameBytes))
}

/** Whether a directory can hold something by this name. */
export function isName(name: string, limits: WasiLimits): boolean {
  const isDots = name === '.' || name === '..'
  return name !== '' && !isDots && !name.includes('/') && isText(name, limits.nameBytes)
}

/** Whether a guest can pass it as one of its strings. */
export function isText(text: string, bytesMax: number): boolean {
  // No character of a string takes more than three bytes: most need not be encoded.
  return !text.includes('\0') && (3 * text.length <= bytesMax || utf8(text).length <= bytesMax)
}

/** By the bytes of their paths, as most are given already. @throws RangeError for a path that is there twice. */
export function sortedFiles({ files, at }: WasiMount): readonly WasiFile[] {
  if (files.every(({ path }, i) => i === 0 || compareText(files[i - 1].path, path) < 0)) return files
  const ascending = files.toSorted((a, b) => compareText(a.path, b.path))
  if (ascending.some(({ path }, i) => i > 0 && ascending[i - 1].path === path))
    throw new RangeError(`mount ${at} names a file twice`)
  return ascending
}

function must(condition: boolean, what: string, value: string): void {
  if (!condition) throw new RangeError(`${what} cannot be ${JSON.stringify(value)}`)
}
