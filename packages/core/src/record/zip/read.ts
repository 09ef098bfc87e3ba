/**
 * Reads a record's container: exactly what `writeZip` can write, and nothing else that other
 * readers might take for something else. Format: spec/record.md §1.
 */
import { concat, equal, fromUtf8 } from '../../bytes/index.ts'
import { assert, EvidenceError } from '../../error.ts'
import { crc32 } from './crc32.ts'
import { damagedStream, inflate, type Inflate } from './deflate.ts'
import {
  CENTRAL_HEADER_BYTES,
  DEFLATED,
  encodeCentralHeader,
  encodeEndRecord,
  encodeLocalHeader,
  END_RECORD_BYTES,
  LOCAL_HEADER_BYTES,
  STORED,
  ZIP_BYTES_MAX,
  ZIP_ENTRIES_MAX,
  ZIP_NAME_BYTES_MAX,
  type ZipHeader,
} from './format.ts'

/** Bytes that can be read anywhere: a file, a `Blob`, an array. */
export interface ZipSource {
  readonly lengthBytes: number
  /** Exactly `lengthBytes` bytes, at once where they are there; the range lies inside. */
  readonly read: (offset: number, lengthBytes: number) => Uint8Array | Promise<Uint8Array>
  /** Where the platform has one: setting up the streams of the web costs more than a small entry is worth. */
  readonly inflate?: Inflate
  /** Where the platform has one: as `crc32` of this package. */
  readonly crc32?: typeof crc32
}

export interface ZipEntry {
  readonly name: string
  readonly lengthBytes: number
  /** What the content takes in the container. */
  readonly compressedBytes: number
  /**
   * The content in pieces. The loop throws {@link EvidenceError} `CONTAINER` when local header,
   * length or CRC-32 are not what the central directory says.
   */
  readonly chunks: () => AsyncIterable<Uint8Array>
  /** @throws {@link EvidenceError} `LIMIT` above `lengthBytesMax`; else as `chunks`. */
  readonly bytes: (lengthBytesMax: number) => Promise<Uint8Array>
}

const READ_BYTES = 1 << 18
/** Entries that are read in one go: those that are stored, and others where the source inflates. */
const AT_ONCE_BYTES_MAX = 1 << 18

/**
 * Checks end record and central directory; each entry's local header and content are checked when
 * the entry is read.
 *
 * @throws {@link EvidenceError} `CONTAINER`, `LIMIT`. What `source.read` throws passes as it is.
 */
export async function openZip(source: ZipSource): Promise<readonly ZipEntry[]> {
  if (source.lengthBytes > ZIP_BYTES_MAX) {
    throw new EvidenceError('LIMIT', {
      message: `a container of ${source.lengthBytes} bytes; at most ${ZIP_BYTES_MAX} are read`,
    })
  }
  if (source.lengthBytes < END_RECORD_BYTES) throw damaged('it is too short')
  const endOffset = source.lengthBytes - END_RECORD_BYTES
  const endBytes = await read(source, endOffset, END_RECORD_BYTES)
  const view = new DataView(endBytes.buffer, endBytes.byteOffset)
  const entries = view.getUint16(10, true)
  const centralBytes = view.getUint32(12, true)
  const centralOffset = view.getUint32(16, true)
  if (!equal(endBytes, encodeEndRecord({ entries, centralBytes, centralOffset }))) {
    throw damaged('it does not end with the end record that it should')
  }
  if (entries > ZIP_ENTRIES_MAX) throw damaged(`${entries} entries`)
  if (centralOffset + centralBytes !== endOffset) throw damaged('the central directory is not where it should be')
  // Checked before anything of that size is read or kept.
  if (centralBytes > entries * (CENTRAL_HEADER_BYTES + ZIP_NAME_BYTES_MAX))
    throw damaged('the central directory is too long')
  return readCentralDirectory(source, await read(source, centralOffset, centralBytes), { entries, centralOffset })
}

function readCentralDirectory(
  source: ZipSource,
  central: Uint8Array,
  { entries, centralOffset }: { readonly entries: number; readonly centralOffset: number },
): ZipEntry[] {
  const names = new Set<string>()
  const found: ZipEntry[] = []
  let at = 0
  let localOffset = 0
  for (let i = 0; i < entries; i++) {
    const { header, headerBytes, localHeaderBytes } = readCentralHeader(central, at, localOffset)
    if (names.has(header.name)) throw damaged(`${header.name} is there twice`)
    names.add(header.name)
    found.push(entry(source, header, localOffset))
    at += headerBytes
    localOffset += localHeaderBytes + header.compressedBytes
  }
  if (at !== central.length) throw damaged('bytes after the last header of the central directory')
  if (localOffset !== centralOffset) throw damaged('the entries do not fill the space before the central directory')
  return found
}

function readCentralHeader(
  central: Uint8Array,
  at: number,
  localOffset: number,
): { header: ZipHeader; headerBytes: number; localHeaderBytes: number } {
  if (central.length - at < CENTRAL_HEADER_BYTES) throw damaged('the central directory is cut')
  const view = new DataView(central.buffer, central.byteOffset + at)
  const method = view.getUint16(10, true)
  const nameBytes = view.getUint16(28, true)
  const headerBytes = CENTRAL_HEADER_BYTES + nameBytes
  if (nameBytes === 0 || nameBytes > ZIP_NAME_BYTES_MAX || central.length - at < headerBytes)
    throw damaged(`a name of ${nameBytes} bytes`)
  const name = decodeName(central.subarray(at + CENTRAL_HEADER_BYTES, at + headerBytes))
  if (method !== STORED && method !== DEFLATED) throw damaged(`${name} has compression method ${method}`)
  const header: ZipHeader = {
    name,
    method,
    crc32: view.getUint32(16, true),
    compressedBytes: view.getUint32(20, true),
    lengthBytes: view.getUint32(24, true),
  }
  if (!equal(central.subarray(at, at + headerBytes), encodeCentralHeader(header, localOffset)))
    throw damaged(`the central header of ${name} is not as it should be`)
  if (header.lengthBytes > ZIP_BYTES_MAX) throw damaged(`${name} has ${header.lengthBytes} bytes`)
  if (method === STORED && header.compressedBytes !== header.lengthBytes)
    throw damaged(`${name} is stored and has two lengths`)
  return { header, headerBytes, localHeaderBytes: LOCAL_HEADER_BYTES + nameBytes }
}

function decodeName(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw new EvidenceError('CONTAINER', { message: 'the container has a name that is not UTF-8', cause })
  }
}

function entry(source: ZipSource, header: ZipHeader, localOffset: number): ZipEntry {
  const { name, lengthBytes, compressedBytes } = header
  const isSmall = Math.max(compressedBytes, lengthBytes) <= AT_ONCE_BYTES_MAX
  const atOnce = isSmall && (header.method === STORED || source.inflate !== undefined)
  return {
    name,
    lengthBytes,
    compressedBytes,
    chunks: () => (atOnce ? oneChunk(source, header, localOffset) : entryChunks(source, header, localOffset)),
    async bytes(lengthBytesMax) {
      if (lengthBytes > lengthBytesMax) {
        throw new EvidenceError('LIMIT', {
          message: `${name} of ${lengthBytes} bytes; at most ${lengthBytesMax} are read`,
        })
      }
      if (atOnce) return await entryAtOnce(source, header, localOffset)
      const parts: Uint8Array[] = []
      for await (const chunk of entryChunks(source, header, localOffset)) parts.push(chunk)
      return concat(...parts)
    },
  }
}

async function* oneChunk(source: ZipSource, header: ZipHeader, localOffset: number): AsyncGenerator<Uint8Array> {
  yield await entryAtOnce(source, header, localOffset)
}

/** Header and content in one read. */
async function entryAtOnce(source: ZipSource, header: ZipHeader, localOffset: number): Promise<Uint8Array> {
  const { name, method, lengthBytes, compressedBytes } = header
  const expected = encodeLocalHeader(header)
  const whole = await read(source, localOffset, expected.length + compressedBytes)
  checkLocalHeader(header, { expected, found: whole.subarray(0, expected.length) })
  const data = whole.subarray(expected.length)
  // A copy of what is stored, for the source may have given a part of something larger.
  const content = method === STORED ? data.slice() : source.inflate?.(data, lengthBytes)
  if (content === undefined) throw damagedStream()
  if (content.length !== lengthBytes) throw damaged(`${name} does not have the length that its header says`)
  checkCrc32(header, (source.crc32 ?? crc32)(content))
  return content
}

async function* entryChunks(source: ZipSource, header: ZipHeader, localOffset: number): AsyncGenerator<Uint8Array> {
  const expected = encodeLocalHeader(header)
  checkLocalHeader(header, { expected, found: await read(source, localOffset, expected.length) })
  const data = ranges(source, localOffset + expected.length, header.compressedBytes)
  let crc = 0
  let gotBytes = 0
  for await (const chunk of header.method === STORED ? data : inflate(data)) {
    gotBytes += chunk.length
    // What the header promised is the limit: a stream that holds more is not inflated further.
    if (gotBytes > header.lengthBytes) throw damaged(`${header.name} is longer than its header says`)
    crc = (source.crc32 ?? crc32)(chunk, crc)
    yield chunk
  }
  if (gotBytes !== header.lengthBytes) throw damaged(`${header.name} is shorter than its header says`)
  checkCrc32(header, crc)
}

function checkLocalHeader(
  { name }: ZipHeader,
  { expected, found }: { readonly expected: Uint8Array; readonly found: Uint8Array },
): void {
  if (!equal(found, expected)) throw damaged(`the local header of ${name} is not as its central header wants it`)
}

function checkCrc32(header: ZipHeader, crc: number): void {
  if (crc !== header.crc32) throw damaged(`${header.name} does not have its CRC-32`)
}

async function* ranges(source: ZipSource, offset: number, lengthBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < lengthBytes; at += READ_BYTES) {
    yield await read(source, offset + at, Math.min(READ_BYTES, lengthBytes - at))
  }
}

function read(source: ZipSource, offset: number, lengthBytes: number): Uint8Array | Promise<Uint8Array> {
  const whole = (bytes: Uint8Array): Uint8Array => {
    assert(bytes.length === lengthBytes, 'a source reads the whole range')
    return bytes
  }
  const bytes = source.read(offset, lengthBytes)
  return bytes instanceof Uint8Array ? whole(bytes) : bytes.then(whole)
}

function damaged(what: string): EvidenceError {
  return new EvidenceError('CONTAINER', {
    message: `the container is damaged or was not written by Reprise: ${what}`,
    hint: 'ask for the file again',
  })
}

/** A source over bytes that are all there. */
export function bytesSource(bytes: Uint8Array): ZipSource {
  return {
    lengthBytes: bytes.length,
    read: (offset, lengthBytes) => bytes.subarray(offset, offset + lengthBytes),
  }
}
