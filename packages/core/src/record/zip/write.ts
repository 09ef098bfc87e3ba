/** Writes a record's container. Format: spec/record.md §1. */
import { utf8 } from '../../bytes/index.ts'
import { assert, EvidenceError } from '../../error.ts'
import { crc32 as ownCrc32 } from './crc32.ts'
import { deflate as webDeflate, type Chunks, type Deflate } from './deflate.ts'
import {
  DEFLATED,
  encodeCentralHeader,
  encodeEndRecord,
  encodeLocalHeader,
  STORED,
  ZIP_BYTES_MAX,
  ZIP_ENTRIES_MAX,
  ZIP_NAME_BYTES_MAX,
  type ZipHeader,
} from './format.ts'

export interface ZipInput {
  readonly name: string
  /** `deflated` always; `smaller` stores what deflate does not make smaller. */
  readonly method: 'deflated' | 'smaller'
  /** The content; opened up to two times, the same each time. */
  readonly open: () => Chunks
}

/** Compressed bytes that are kept between measuring an entry and writing it; larger entries are compressed twice. */
const KEPT_BYTES_MAX = 1 << 24

/**
 * The container's bytes, in pieces. Sizes stand before the data, so each entry is gone through
 * first; memory stays bounded however large it is.
 *
 * @param deflate - The platform's own when it has a faster one; what every platform has is the default.
 * @param crc32 - Likewise.
 * @throws {@link EvidenceError} `LIMIT` for too many entries, too long a name or a file above 4 GiB.
 */
export async function* writeZip(
  inputs: Iterable<ZipInput> | AsyncIterable<ZipInput>,
  deflate: Deflate = webDeflate,
  crc32: typeof ownCrc32 = ownCrc32,
): AsyncGenerator<Uint8Array> {
  const central: Uint8Array[] = []
  let offset = 0
  for await (const input of inputs) {
    if (central.length === ZIP_ENTRIES_MAX) throw tooLarge(`more than ${ZIP_ENTRIES_MAX} entries`)
    const { header, kept } = await measured(input, deflate, crc32)
    const local = encodeLocalHeader(header)
    central.push(encodeCentralHeader(header, offset))
    offset += local.length + header.compressedBytes
    if (offset > ZIP_BYTES_MAX) throw tooLarge('4 GiB or more')
    yield local
    yield* kept ?? checked(header, header.method === STORED ? input.open() : deflate(input.open()))
  }
  const centralBytes = central.reduce((sum, { length }) => sum + length, 0)
  if (offset + centralBytes > ZIP_BYTES_MAX) throw tooLarge('4 GiB or more')
  yield* central
  yield encodeEndRecord({ entries: central.length, centralBytes, centralOffset: offset })
}

async function measured(
  input: ZipInput,
  deflate: Deflate,
  crc32: typeof ownCrc32,
): Promise<{ header: ZipHeader; kept: Uint8Array[] | undefined }> {
  const nameBytes = utf8(input.name).length
  if (nameBytes === 0 || nameBytes > ZIP_NAME_BYTES_MAX) throw tooLarge(`the name ${input.name}`)
  let crc = 0
  let lengthBytes = 0
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of input.open()) {
      crc = crc32(chunk, crc)
      lengthBytes += chunk.length
      if (lengthBytes > ZIP_BYTES_MAX) throw tooLarge(`${input.name} of 4 GiB or more`)
      yield chunk
    }
  }
  let kept: Uint8Array[] | undefined = []
  let deflatedBytes = 0
  for await (const chunk of deflate(counted())) {
    deflatedBytes += chunk.length
    if (deflatedBytes > KEPT_BYTES_MAX) kept = undefined
    kept?.push(chunk)
  }
  const isStored = input.method === 'smaller' && deflatedBytes >= lengthBytes
  return {
    header: {
      name: input.name,
      method: isStored ? STORED : DEFLATED,
      crc32: crc,
      compressedBytes: isStored ? lengthBytes : deflatedBytes,
      lengthBytes,
    },
    kept: isStored ? undefined : kept,
  }
}

/** The header is written already: an entry that comes out at another length would spoil the file. */
async function* checked(header: ZipHeader, chunks: Chunks): AsyncGenerator<Uint8Array> {
  let writtenBytes = 0
  for await (const chunk of chunks) {
    writtenBytes += chunk.length
    yield chunk
  }
  assert(writtenBytes === header.compressedBytes, `${header.name} has the same content each time it is opened`)
}

function tooLarge(what: string): EvidenceError {
  return new EvidenceError('LIMIT', {
    message: `a record cannot hold ${what}`,
    hint: 'attach fewer blobs: what is not attached is still named by its digest',
  })
}
