/**
 * Folders as archives that come out the same everywhere: tar entries in the order of their paths, without times and owners,
 * in gzip with stored blocks. Format: spec/runtime.md §2.1; source: POSIX.1-2017 pax, RFC 1952, RFC 1951 §3.2.4.
 */
import { lstat, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { compareText, concat, utf8 } from '@reprise/core'
import { RunnerError } from '../error.ts'
import { ARCHIVE_BYTES_MAX } from './manifest.ts'

const TAR_BLOCK_BYTES = 512
const STORED_BYTES_MAX = 65_535
const FILES_MAX = 50_000
const GZIP_HEADER = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff)
const NAME_BYTES = 100
const PREFIX_BYTES = 155

export interface ArchivedFile {
  /** Relative, `/` between names. */
  readonly path: string
  readonly bytes: () => Promise<Uint8Array>
}

/**
 * The regular files of a folder, in the order of an archive.
 *
 * @throws RunnerError `RUNTIME_BUILD` for links and devices, for names that are not UTF-8, and for more than 50,000 files or 1 GiB.
 */
export async function filesOfFolder(folder: string): Promise<readonly ArchivedFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files: ArchivedFile[] = []
  let lengthBytes = 0
  for (const entry of entries) {
    if (entry.isDirectory()) continue
    const hostPath = join(entry.parentPath, entry.name)
    const path = hostPath.slice(folder.length + 1)
    if (!entry.isFile()) throw notArchivable(hostPath, 'is neither a file nor a folder')
    if (path.includes('\uFFFD')) throw notArchivable(hostPath, 'has a name that is not UTF-8')
    lengthBytes += (await lstat(hostPath)).size
    files.push({ path, bytes: () => readFile(hostPath) })
  }
  if (files.length > FILES_MAX) throw notArchivable(folder, `has more than ${FILES_MAX} files`)
  if (lengthBytes > ARCHIVE_BYTES_MAX) throw notArchivable(folder, 'has more than 1 GiB')
  return files.toSorted((a, b) => compareText(a.path, b.path))
}

function notArchivable(path: string, what: string): RunnerError {
  return new RunnerError('RUNTIME_BUILD', {
    message: `${path} ${what}`,
    hint: 'see spec/runtime.md, sections 1.2 and 2.1',
  })
}

/** Writes the archive to a file that must not exist, and syncs it. */
export async function writeArchive(files: readonly ArchivedFile[], path: string): Promise<void> {
  const target = await open(path, 'wx', 0o444)
  try {
    for await (const chunk of gzipStored(tarOf(files))) await target.write(chunk)
    await target.sync()
  } finally {
    await target.close()
  }
}

async function* tarOf(files: readonly ArchivedFile[]): AsyncGenerator<Uint8Array> {
  for (const { path, bytes } of files) {
    const content = await bytes()
    yield tarHeader(path, content.length)
    yield content
    yield padding(content.length)
  }
  yield new Uint8Array(2 * TAR_BLOCK_BYTES)
}

function padding(lengthBytes: number): Uint8Array {
  return new Uint8Array(-lengthBytes & (TAR_BLOCK_BYTES - 1))
}

function tarHeader(path: string, lengthBytes: number): Uint8Array {
  const split = splitPath(path)
  if (split !== undefined) return ustar({ ...split, lengthBytes, type: '0' })
  const record = paxRecord('path', path)
  const extended = ustar({ prefix: '', name: 'path', lengthBytes: record.length, type: 'x' })
  return concat(extended, record, padding(record.length), ustar({ prefix: '', name: 'long', lengthBytes, type: '0' }))
}

/** The longest name that fits, and what stands before it. */
function splitPath(path: string): { readonly prefix: string; readonly name: string } | undefined {
  if (utf8(path).length <= NAME_BYTES) return { prefix: '', name: path }
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)]
    if (utf8(name).length <= NAME_BYTES && utf8(prefix).length <= PREFIX_BYTES) return { prefix, name }
  }
  return undefined
}

/** `length key=value\n`, the length counting itself. */
function paxRecord(key: string, value: string): Uint8Array {
  const rest = utf8(` ${key}=${value}\n`)
  let lengthBytes = rest.length + 1
  while (String(lengthBytes).length + rest.length !== lengthBytes)
    lengthBytes = String(lengthBytes).length + rest.length
  return concat(utf8(String(lengthBytes)), rest)
}

interface UstarFields {
  readonly prefix: string
  readonly name: string
  readonly lengthBytes: number
  readonly type: '0' | 'x'
}

function ustar({ prefix, name, lengthBytes, type }: UstarFields): Uint8Array {
  const header = new Uint8Array(TAR_BLOCK_BYTES)
  const put = (text: string, at: number): void => header.set(utf8(text), at)
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0')
  put(name, 0)
  put(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0${octal(lengthBytes, 11)}\0${octal(0, 11)}\0`, 100)
  put(`        ${type}`, 148)
  put('ustar\x0000', 257)
  put(prefix, 345)
  const sum = header.reduce((total, byte) => total + byte, 0)
  put(`${octal(sum, 6)}\0 `, 148)
  return header
}

async function* gzipStored(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield GZIP_HEADER
  let sum = 0
  let lengthBytes = 0
  let held: Uint8Array = new Uint8Array()
  for await (const chunk of chunks) {
    sum = crc32(chunk, sum)
    lengthBytes += chunk.length
    held = concat(held, chunk)
    // The last block is marked: so one is held back until there is more.
    let at = 0
    for (; held.length - at > STORED_BYTES_MAX; at += STORED_BYTES_MAX)
      yield storedBlock(held.subarray(at, at + STORED_BYTES_MAX), false)
    held = held.slice(at)
  }
  yield storedBlock(held, true)
  const trailer = new DataView(new ArrayBuffer(8))
  trailer.setUint32(0, sum, true)
  trailer.setUint32(4, lengthBytes % 2 ** 32, true)
  yield new Uint8Array(trailer.buffer)
}

function storedBlock(bytes: Uint8Array, isLast: boolean): Uint8Array {
  const head = new DataView(new ArrayBuffer(5))
  head.setUint8(0, isLast ? 1 : 0)
  head.setUint16(1, bytes.length, true)
  head.setUint16(3, ~bytes.length & 0xffff, true)
  return concat(new Uint8Array(head.buffer), bytes)
}
