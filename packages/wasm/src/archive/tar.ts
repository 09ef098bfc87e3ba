/**
 * Reading tar archives into files: POSIX ustar, pax headers (path, size), GNU long names. A folder of a
 * runtime's library is a mount given as one archive, so what is read here is part of the semantics.
 *
 * Source: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format". Format: spec/computation.md §2.3.
 */
import { fromUtf8, RepriseError } from '@reprise/core'

export type ArchiveErrorCode = 'ARCHIVE_MALFORMED' | 'ARCHIVE_LIMIT'

export class ArchiveError extends RepriseError<ArchiveErrorCode> {}

export interface ArchiveFile {
  /** Relative, `/` between names, without `.`, `..` or empty parts. */
  readonly path: string
  /** A view into the archive. */
  readonly bytes: Uint8Array
}

const BLOCK_BYTES = 512
const FILES_MAX = 200_000
const PATH_BYTES_MAX = 4096

/**
 * @param archive - The tar file, already decompressed.
 * @returns Regular files in archive order; a path that comes twice counts as its last. Links, devices and folders are left out.
 * @throws {@link ArchiveError} on a wrong checksum, a cut archive or a path that leaves the archive.
 */
export function readTar(archive: Uint8Array): readonly ArchiveFile[] {
  const files = new Map<string, ArchiveFile>()
  let longPath: string | undefined
  let longSize: number | undefined
  for (let offset = 0; offset + BLOCK_BYTES <= archive.length;) {
    const header = archive.subarray(offset, offset + BLOCK_BYTES)
    if (header.every((byte) => byte === 0)) break
    checkHeader(header, offset)
    const type = String.fromCharCode(header[156])
    const lengthBytes = longSize ?? octal(header.subarray(124, 136), offset)
    const start = offset + BLOCK_BYTES
    if (start + lengthBytes > archive.length) throw malformed(offset, 'the archive ends inside an entry')
    const bytes = archive.subarray(start, start + lengthBytes)
    offset = start + Math.ceil(lengthBytes / BLOCK_BYTES) * BLOCK_BYTES
    if (type === 'x') {
      const pax = paxFields(bytes, start)
      longPath = pax.get('path') ?? longPath
      if (pax.has('size')) longSize = Number(pax.get('size'))
      continue
    }
    if (type === 'L') {
      longPath = text(bytes, start)
      continue
    }
    if (type === '0' || type === '\0')
      add(files, { path: safePath(longPath ?? headerPath(header, offset), offset), bytes })
    longPath = undefined
    longSize = undefined
  }
  return [...files.values()]
}

function add(files: Map<string, ArchiveFile>, file: ArchiveFile): void {
  if (files.size >= FILES_MAX) {
    throw new ArchiveError('ARCHIVE_LIMIT', {
      message: `the archive holds more than ${FILES_MAX} files`,
      hint: 'mount a smaller folder',
    })
  }
  files.set(file.path, file)
}

function checkHeader(header: Uint8Array, offset: number): void {
  let sum = 0
  for (let i = 0; i < BLOCK_BYTES; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i]
  if (sum !== octal(header.subarray(148, 156), offset)) throw malformed(offset, 'the checksum of a header is wrong')
}

function octal(field: Uint8Array, offset: number): number {
  // GNU's base-256 form, for sizes of 8 GiB and more, is beyond every limit here.
  const digits = text(field, offset).trim()
  if (!/^[0-7]*$/.test(digits)) throw malformed(offset, 'a number in a header is not octal')
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

function headerPath(header: Uint8Array, offset: number): string {
  const name = text(header.subarray(0, 100), offset)
  const isUstar = text(header.subarray(257, 262), offset) === 'ustar' && header[262] === 0
  const prefix = isUstar ? text(header.subarray(345, 500), offset) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function text(field: Uint8Array, offset: number): string {
  const end = field.indexOf(0)
  try {
    return fromUtf8(end < 0 ? field : field.subarray(0, end))
  } catch {
    throw malformed(offset, 'a name is not UTF-8')
  }
}

/** pax records: `length key=value\n`, the length counting itself. */
function paxFields(bytes: Uint8Array, offset: number): Map<string, string> {
  const fields = new Map<string, string>()
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at)
    const lengthBytes = space < 0 ? Number.NaN : Number(text(bytes.subarray(at, space), offset))
    if (!Number.isInteger(lengthBytes) || lengthBytes <= space - at || at + lengthBytes > bytes.length) {
      throw malformed(offset, 'a pax record is malformed')
    }
    const record = text(bytes.subarray(space + 1, at + lengthBytes - 1), offset)
    const equals = record.indexOf('=')
    if (equals > 0) fields.set(record.slice(0, equals), record.slice(equals + 1))
    at += lengthBytes
  }
  return fields
}

function safePath(path: string, offset: number): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.length === 0 || parts.includes('..') || path.length > PATH_BYTES_MAX)
    throw malformed(offset, `the path ${JSON.stringify(path)} is not allowed`)
  return parts.join('/')
}

function malformed(offset: number, what: string): ArchiveError {
  return new ArchiveError('ARCHIVE_MALFORMED', {
    message: `not a readable tar archive: ${what} (offset ${offset})`,
    hint: 'check that the file is complete',
  })
}
