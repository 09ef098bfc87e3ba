/**
 * Blobs that are kept compressed: one zstd frame (RFC 8878) whose header says how long the content is, in a file that is
 * named like the plain one and then `.zst`.
 */
import { createReadStream, readFileSync } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { hash } from 'node:crypto'
import { pipeline, type Transform } from 'node:stream'
import { promisify } from 'node:util'
import type { ZstdOptions } from 'node:zlib'
import { RunnerError, systemCode } from '../error.ts'

export const COMPRESSED = '.zst'
/** As much as a record's reader takes of one blob. */
const CONTENT_BYTES_MAX = 2 ** 32
/** Below, a file takes one block of a disk however small it is. */
const COMPRESSED_BYTES_MIN = 4096
/** What is tried before all is compressed: so many pieces, evenly spread. */
const SAMPLE_PIECES = 16
const SAMPLE_PIECE_BYTES = 8192
/** Reading is slower than reading a plain file: an eighth has to be saved for it. */
const PAYS_AT = 7 / 8
/** Each piece costs the calling thread a turn: pieces of 16 KiB cost it half as much again as large ones. What comes out as a whole is fresh memory, which costs as much again. */
const PIECE_BYTES = 1 << 19
/**
 * Of the file, at a time. A piece that this does not fill comes out as a part of its memory, which then cannot be given back: with the
 * usual 64 KiB no piece of a memory that compresses well was filled.
 */
const READ_BYTES = 1 << 20
/** So much may lie ready: the next pieces are inflated while one is looked at. */
const PIECES_AHEAD = 4
/** Sooner inflated by the thread that wants it than by another one. */
const AT_ONCE_BYTES_MAX = 1 << 15
/** On memories of CPython and SQLite: 290 MB/s to 34.5 %; level 3 has 110 MB/s to 33.3 %, deflate 37 MB/s to 35.1 %. */
const LEVEL = 1

/** When it is needed: most machines read no compressed blob, and loading it takes milliseconds in each thread. */
const zlib = () => process.getBuiltinModule('node:zlib')

/**
 * The compressed form, in pieces when it is large; undefined when it would not be worth it. The work is done beside this thread.
 *
 * @param bytes - Must not change until the last piece is there.
 */
export async function compressed(bytes: Uint8Array): Promise<Uint8Array | AsyncIterable<Uint8Array> | undefined> {
  if (bytes.length <= COMPRESSED_BYTES_MIN) return undefined
  const { constants, createZstdCompress, zstdCompress } = zlib()
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL }
  const sample = sampleOf(bytes)
  const tried = await promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress)(sample, {
    params,
    pledgedSrcSize: sample.length,
  })
  if (tried.length > sample.length * PAYS_AT) return undefined
  if (sample === bytes) return tried
  const stream = createZstdCompress({ params, pledgedSrcSize: bytes.length, chunkSize: PIECE_BYTES })
  stream.end(bytes)
  return stream
}

function sampleOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= SAMPLE_PIECES * SAMPLE_PIECE_BYTES) return bytes
  const sample = new Uint8Array(SAMPLE_PIECES * SAMPLE_PIECE_BYTES)
  const distance = (bytes.length - SAMPLE_PIECE_BYTES) / (SAMPLE_PIECES - 1)
  for (let i = 0; i < SAMPLE_PIECES; i++) {
    const from = Math.trunc(i * distance)
    sample.set(bytes.subarray(from, from + SAMPLE_PIECE_BYTES), i * SAMPLE_PIECE_BYTES)
  }
  return sample
}

const MAGIC = 0xfd2fb528
/** Node takes no less. */
const CHUNK_BYTES_MIN = 64
/** The longest frame header. */
const HEADER_BYTES_MAX = 18

/**
 * How long the content of a frame is, in bytes; undefined when these are no beginning of a frame that says so, or it says
 * more than is ever read.
 */
export function contentBytes(file: Uint8Array): number | undefined {
  if (file.length < 6) return undefined
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  if (view.getUint32(0, true) !== MAGIC) return undefined
  const descriptor = view.getUint8(4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  // No dictionary, and no bit that the format reserves.
  if ((descriptor & 0x0b) !== 0) return undefined
  const at = isSingleSegment ? 5 : 6
  const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 2 ** sizeFlag
  if (sizeBytes === 0 || file.length < at + sizeBytes) return undefined
  const size =
    sizeBytes === 1
      ? view.getUint8(at)
      : sizeBytes === 2
        ? view.getUint16(at, true) + 256
        : sizeBytes === 4
          ? view.getUint32(at, true)
          : Number(view.getBigUint64(at, true))
  return size > 0 && size <= CONTENT_BYTES_MAX ? size : undefined
}

/** The beginning of a file says how long its content is. Throws the system's own error. */
export async function contentBytesOf(path: string): Promise<number | undefined> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(HEADER_BYTES_MAX), 0, HEADER_BYTES_MAX, 0)
    return contentBytes(buffer.subarray(0, bytesRead))
  } finally {
    await file.close()
  }
}

/**
 * The content of a compressed file, not checked against a digest.
 *
 * @throws the system's own error; RunnerError `BLOB_CORRUPT` when it is no frame of the length that it says.
 */
export async function readCompressed(path: string, sha256: string): Promise<Uint8Array> {
  const file = await readFile(path)
  const lengthBytes = lengthOf(file, path, sha256)
  const decompress = promisify<Uint8Array, ZstdOptions, Buffer>(zlib().zstdDecompress)
  const bytes = await decompress(file, allAtOnce(lengthBytes)).catch((cause: unknown) => {
    throw corrupt(path, sha256, cause)
  })
  if (bytes.length !== lengthBytes) throw corrupt(path, sha256)
  return bytes
}

function createInflate(): Transform {
  return zlib().createZstdDecompress({
    chunkSize: PIECE_BYTES,
    readableHighWaterMark: PIECES_AHEAD * PIECE_BYTES,
  } as ZstdOptions)
}

/**
 * Gives the memory of a piece back at once: the next one then has it, instead of fresh memory, which takes as long as inflating
 * does. Only of one that fills its memory, of which the stream wants nothing more.
 */
function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

/** As {@link readCompressed}, in pieces that are valid until the next one: a file that holds more than it says is given up where that shows. */
export async function* streamCompressed(path: string, sha256: string): AsyncGenerator<Uint8Array> {
  const wanted = await contentBytesOf(path)
  if (wanted === undefined) throw corrupt(path, sha256)
  if (wanted <= PIECE_BYTES) {
    // A stream takes longer to be made than this takes to be read: a snapshot may have a hundred small packs.
    yield wanted <= AT_ONCE_BYTES_MAX
      ? inflatedAtOnce(await readFile(path), path, sha256)
      : await readCompressed(path, sha256)
    return
  }
  const content = pipeline(createReadStream(path, { highWaterMark: READ_BYTES }), createInflate(), () => {})
  let lengthBytes = 0
  try {
    for await (const chunk of content as AsyncIterable<Uint8Array>) {
      lengthBytes += chunk.length
      if (lengthBytes > wanted) throw corrupt(path, sha256)
      // No Buffer, whose `slice` shares what is given back.
      yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
      release(chunk)
    }
  } catch (error) {
    throw isOfSystem(error) || error instanceof RunnerError ? error : corrupt(path, sha256, error)
  }
  if (lengthBytes !== wanted) throw corrupt(path, sha256)
}

/**
 * Reads a blob, whichever way it is kept, for a thread that cannot wait.
 *
 * @param path - Where it is when it is plain.
 * @param options.trusted - Plain bytes are not checked: whoever handed the path out has done so.
 * @throws the system's own error; RunnerError `BLOB_CORRUPT`.
 */
export function readBlobSync(
  path: string,
  sha256: string,
  { trusted }: { readonly trusted: boolean } = { trusted: false },
): Uint8Array {
  let plain: Uint8Array | undefined
  try {
    plain = readFileSync(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  if (plain !== undefined) {
    if (!trusted && hash('sha256', plain) !== sha256) throw corrupt(path, sha256)
    return plain
  }
  const bytes = inflatedAtOnce(readFileSync(path + COMPRESSED), path + COMPRESSED, sha256)
  if (hash('sha256', bytes) !== sha256) throw corrupt(path + COMPRESSED, sha256)
  return bytes
}

/** Into one piece of that length: to join pieces of 16 KiB takes as long again. */
function allAtOnce(lengthBytes: number): ZstdOptions {
  return { maxOutputLength: lengthBytes, chunkSize: Math.max(lengthBytes, CHUNK_BYTES_MIN) }
}

function inflatedAtOnce(file: Uint8Array, path: string, sha256: string): Uint8Array {
  const lengthBytes = lengthOf(file, path, sha256)
  try {
    const bytes = zlib().zstdDecompressSync(file, allAtOnce(lengthBytes))
    if (bytes.length === lengthBytes) return bytes
  } catch (cause) {
    throw corrupt(path, sha256, cause)
  }
  throw corrupt(path, sha256)
}

function lengthOf(file: Uint8Array, path: string, sha256: string): number {
  const lengthBytes = contentBytes(file)
  if (lengthBytes === undefined) throw corrupt(path, sha256)
  return lengthBytes
}

/** zlib's own errors have codes too, such as `ZSTD_error_corruption_detected` and `ERR_…`. */
function isOfSystem(error: unknown): boolean {
  return /^E(?!RR_)/.test(systemCode(error) ?? '')
}

export function corrupt(path: string, sha256: string, cause?: unknown): RunnerError {
  return new RunnerError('BLOB_CORRUPT', {
    message: `${path} does not hold the bytes that its name says: the disk or somebody changed it`,
    hint: `delete that file and run again; files that are still there are stored anew`,
    data: { path, sha256 },
    ...(cause !== undefined && { cause }),
  })
}
