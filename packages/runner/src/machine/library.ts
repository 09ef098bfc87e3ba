/**
 * The files of a runtime's library, kept unpacked in the cache: a program reads a few of thousands, and only those are read and
 * checked, each by its own digest when the guest first reads it.
 *
 *     32 bytes SHA-256 of the next two parts, 4 bytes length of the list (big-endian), the list as JSON,
 *     the contents one after the other
 *     list: [path, length in bytes, SHA-256 in hex] of each file, by the bytes of their paths
 *
 * One that is damaged is made anew from the archive, which the computation names: with the same files, whenever that shows.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { compareText, concat, equal, fromUtf8, hex, utf8, type Sha256 } from '@reprise/core'
import { readTar, type WasiFile } from '@reprise/wasm'
import { writeWhole } from './kept-file.ts'

/** An archive may unpack to this much. */
const ARCHIVE_BYTES_MAX = 1 << 30
const HEADER_BYTES = 36
/** Of 200,000 files, which is as many as an archive may hold. */
const LIST_BYTES_MAX = 1 << 27

export interface LibraryContext {
  /** Gives the archive: a tar file, compressed by gzip. */
  readonly archive: () => Uint8Array
  /** Where it is kept. */
  readonly folder: string
  readonly sha256: Sha256
}

type Listed = readonly [path: string, lengthBytes: number, sha256: string]

/**
 * @param name - The digest of the archive.
 * @throws ArchiveError for one that cannot be read; RunnerError `DISK_FULL`, `WRITE`. Reading a file throws as well.
 */
export function libraryFiles(name: string, context: LibraryContext): readonly WasiFile[] {
  const path = join(context.folder, `${name}.library`)
  const kept = open(path, context.sha256) ?? make(path, context)
  return kept.list.map(([file, lengthBytes, sha256], i) => ({
    path: file,
    bytes: {
      lengthBytes,
      read: () => {
        const bytes = kept.read(i)
        if (bytes.length === lengthBytes && hex(context.sha256(bytes)) === sha256) return bytes
        const again = make(path, context).read(i)
        if (hex(context.sha256(again)) === sha256) return again
        throw new Error(`${file} of the library ${name} is not what it was a moment ago`)
      },
    },
  }))
}

interface Library {
  readonly list: readonly Listed[]
  readonly read: (index: number) => Uint8Array
}

/** Undefined when there is none, or one whose list is damaged or that is cut. The file stays open as long as the thread. */
function open(path: string, sha256: Sha256): Library | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return undefined
  }
  const head = readAt(file, 0, HEADER_BYTES)
  const listBytes = head.length < HEADER_BYTES ? 0 : new DataView(head.buffer, head.byteOffset).getUint32(32)
  const text = listBytes > LIST_BYTES_MAX ? new Uint8Array() : readAt(file, HEADER_BYTES, listBytes)
  const isWhole = text.length > 0 && equal(head.subarray(0, 32), sha256(concat(head.subarray(32), text)))
  const list = isWhole ? (JSON.parse(fromUtf8(text)) as readonly Listed[]) : []
  const starts = startsOf(list, HEADER_BYTES + listBytes)
  if (isWhole && fstatSync(file).size === starts[list.length])
    return { list, read: (i) => readAt(file, starts[i], list[i][1]) }
  closeSync(file)
  return undefined
}

/** The last one is the end. */
function startsOf(list: readonly Listed[], first: number): readonly number[] {
  const starts = [first]
  for (const [, lengthBytes] of list) starts.push(starts[starts.length - 1] + lengthBytes)
  return starts
}

/** Less at the end of the file. */
function readAt(file: number, position: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  let at = 0
  while (at < lengthBytes) {
    const count = readSync(file, bytes, at, lengthBytes - at, position + at)
    if (count === 0) break
    at += count
  }
  return bytes.subarray(0, at)
}

function make(path: string, { archive, sha256 }: LibraryContext): Library {
  const { gunzipSync } = process.getBuiltinModule('node:zlib')
  const files = readTar(gunzipSync(archive(), { maxOutputLength: ARCHIVE_BYTES_MAX })).toSorted((a, b) =>
    compareText(a.path, b.path),
  )
  const list = files.map((file): Listed => [file.path, file.bytes.length, hex(sha256(file.bytes))])
  const text = utf8(JSON.stringify(list))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, text.length)
  const head = concat(length, text)
  writeWhole(path, [sha256(head), head, ...files.map(({ bytes }) => bytes)], 'an unpacked library')
  return { list, read: (i) => files[i].bytes }
}
