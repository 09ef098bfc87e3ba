/**
 * What is saved of a host, so that another one of the same computation can go on from there: only what differs from
 * the start, as the rest follows from the computation. Format: spec/wasi-host.md §11.
 */
import { ByteReader, ByteWriter, equal, fromUtf8, TruncatedError, utf8 } from '@reprise/core'
import { WasmError } from '../error.ts'
import type { Host } from './calls.ts'
import type { Content } from './content.ts'
import type { Descriptor } from './descriptor.ts'
import type { Entry, File, Inode, Times } from './inode.ts'
import { NOTE_CODES, type Note } from './notes.ts'
import type { SavedHost } from './options.ts'
import { KIND } from './state.ts'

const TAG = utf8('reprise/wasi/saved/v1\0')

/** The names that every listing begins with. */
const DOTS: readonly string[] = ['.', '..']

/** The numbers in what was saved, before anything is made of them. */
export interface SavedState {
  readonly readings: bigint
  readonly sleptNs: bigint
  readonly randomOffset: number
  readonly stdinOffset: number
  /** The highest inode number ever used. */
  readonly inodeCount: number
  /** Those that differ from the start, by number, ascending. */
  readonly inodes: readonly SavedInode[]
  readonly descriptors: readonly SavedDescriptor[]
  readonly notes: readonly Note[]
}

export interface SavedPlace {
  readonly times: Times
  readonly mount: number
  readonly links: readonly { readonly directory: number; readonly name: string }[]
}

export type SavedInode = { readonly number: number } & (
  | { readonly kind: 'free' }
  /** Without a length it still is the input of its number. */
  | (SavedPlace & { readonly kind: 'file'; readonly unsettled: boolean; readonly lengthBytes: number | undefined })
  | (SavedPlace & { readonly kind: 'directory' })
  | (SavedPlace & { readonly kind: 'symlink'; readonly target: string })
  | { readonly kind: 'stream'; readonly lengthBytes: number }
)

export interface SavedDescriptor extends Pick<Descriptor, 'offset' | 'flags' | 'rights' | 'inheriting' | 'preopen'> {
  readonly number: number
  readonly inode: number
  /** All names of its listing. */
  readonly listing: readonly string[] | undefined
}

/** @throws WasmError SNAPSHOT */
export function damaged(what: string, cause?: unknown): never {
  throw new WasmError('SNAPSHOT', {
    message: `The snapshot's host state is damaged: ${what}.`,
    hint: 'Go on from another snapshot of this run, or run it again from its start.',
    cause,
  })
}

/** Copies the contents that the guest wrote, nothing else. */
export function save(host: Host): SavedHost {
  const contents: Content[] = []
  const bytes = encode(host, contents)
  return { bytes, contents: contents.map((content) => content.view().slice()) }
}

/** Whether a host would be saved in these bytes. */
export function isSavedAs(host: Host, bytes: Uint8Array): boolean {
  return equal(encode(host, []), bytes)
}

/** @param contents - Takes what belongs to the bytes. */
function encode({ clock, random, stdin, tree, descriptors, notes }: Host, contents: Content[]): Uint8Array {
  const out = new ByteWriter().raw(TAG)
  out.u64(clock.reads).u64(clock.sleptNs)
  for (const value of [random.offset, stdin.offset, tree.inodeCount]) integer(out, value)
  const numbers = Array.from({ length: tree.inodeCount }, (_, index) => index + 1)
  list(
    out,
    numbers.filter((number) => !tree.isAsAtStart(number)),
    (number) => encodeInode(out, number, tree.inodeAt(number), contents),
  )
  list(out, descriptors.list(), ([fd, descriptor]) => encodeDescriptor(out, fd, descriptor))
  list(out, notes.list(), ({ code, detail, count }) => {
    integer(out.u8(NOTE_CODES.indexOf(code)).sized(utf8(detail)), count)
  })
  return out.done()
}

function integer(out: ByteWriter, value: number): ByteWriter {
  return out.u64(BigInt(value))
}

function list<T>(out: ByteWriter, items: readonly T[], write: (item: T) => void): void {
  integer(out, items.length)
  for (const item of items) write(item)
}

function encodeInode(out: ByteWriter, number: number, inode: Inode | undefined, contents: Content[]): void {
  integer(out, number).u8(KIND[inode?.kind ?? 'free'])
  if (inode === undefined) return
  if (inode.kind === 'stream') {
    integer(out, inode.content.lengthBytes)
    contents.push(inode.content)
    return
  }
  encodePlace(out, inode)
  if (inode.kind === 'symlink') out.sized(utf8(inode.target))
  if (inode.kind === 'file') encodeFile(out, inode, contents)
}

function encodePlace(out: ByteWriter, { times, mount, links }: Entry): void {
  out.u64(times.accessed).u64(times.modified).u64(times.changed)
  integer(out, mount.index)
  list(out, links, ({ directory, name }) => integer(out, directory.number).sized(utf8(name)))
}

function encodeFile(out: ByteWriter, { unsettled, content }: File, contents: Content[]): void {
  out.u8(unsettled ? 1 : 0).u8(content.owned ? 1 : 0)
  if (!content.owned) return
  integer(out, content.lengthBytes)
  contents.push(content)
}

function encodeDescriptor(out: ByteWriter, fd: number, descriptor: Descriptor): void {
  const { inode, offset, flags, rights, inheriting, preopen, listing } = descriptor
  for (const value of [fd, inode.number, offset, flags, rights, inheriting]) integer(out, value)
  if (preopen === undefined) out.u8(0)
  else out.u8(1).sized(utf8(preopen))
  out.u8(listing === undefined ? 0 : 1)
  if (listing !== undefined) list(out, listing.names.slice(DOTS.length), (name) => out.sized(utf8(name)))
}

/** Only the structure: what the numbers refer to is the affair of `restore.ts`. @throws WasmError SNAPSHOT */
export function decode(bytes: Uint8Array): SavedState {
  try {
    const from = new SavedReader(bytes)
    if (!equal(from.raw(TAG.length), TAG)) damaged('it does not begin as one')
    const state = {
      readings: from.u64(),
      sleptNs: from.u64(),
      randomOffset: from.integer(),
      stdinOffset: from.integer(),
      inodeCount: from.integer(),
      inodes: from.list(() => decodeInode(from)),
      descriptors: from.list(() => decodeDescriptor(from)),
      notes: from.list(() => decodeNote(from)),
    }
    from.end()
    return state
  } catch (cause) {
    if (cause instanceof TruncatedError) damaged(cause.message, cause)
    throw cause
  }
}

class SavedReader extends ByteReader {
  integer(): number {
    const value = this.u64()
    return value <= Number.MAX_SAFE_INTEGER ? Number(value) : damaged(`${value} is larger than any number in it`)
  }

  /** One of two. */
  isSet(): boolean {
    return this.u8() !== 0
  }

  text(): string {
    const bytes = this.raw(this.integer())
    try {
      return fromUtf8(bytes)
    } catch (cause) {
      return damaged('a text is not UTF-8', cause)
    }
  }

  /** However many it claims: each takes bytes, and these end. */
  list<T>(read: () => T): T[] {
    const items: T[] = []
    for (let left = this.integer(); left > 0; left--) items.push(read())
    return items
  }
}

function decodeInode(from: SavedReader): SavedInode {
  const number = from.integer()
  const kind = from.u8()
  switch (kind) {
    case KIND.free:
      return { number, kind: 'free' }
    case KIND.file: {
      const place = decodePlace(from)
      const unsettled = from.isSet()
      return { number, kind: 'file', ...place, unsettled, lengthBytes: from.isSet() ? from.integer() : undefined }
    }
    case KIND.directory:
      return { number, kind: 'directory', ...decodePlace(from) }
    case KIND.symlink:
      return { number, kind: 'symlink', ...decodePlace(from), target: from.text() }
    case KIND.stream:
      return { number, kind: 'stream', lengthBytes: from.integer() }
    default:
      return damaged(`inode ${number} is of no kind`)
  }
}

function decodePlace(from: SavedReader): SavedPlace {
  return {
    times: { accessed: from.u64(), modified: from.u64(), changed: from.u64() },
    mount: from.integer(),
    links: from.list(() => ({ directory: from.integer(), name: from.text() })),
  }
}

function decodeDescriptor(from: SavedReader): SavedDescriptor {
  return {
    number: from.integer(),
    inode: from.integer(),
    offset: from.integer(),
    flags: from.integer(),
    rights: from.integer(),
    inheriting: from.integer(),
    preopen: from.isSet() ? from.text() : undefined,
    listing: from.isSet() ? [...DOTS, ...from.list(() => from.text())] : undefined,
  }
}

function decodeNote(from: SavedReader): Note {
  const code = NOTE_CODES[from.u8()] ?? damaged('a note has no such code')
  return { code, detail: from.text(), count: from.integer() }
}
