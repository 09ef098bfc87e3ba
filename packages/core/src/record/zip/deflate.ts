/** Raw DEFLATE (RFC 1951) in pieces, through the streams that Node and browsers share. */
import { EvidenceError } from '../../error.ts'

export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** Compresses to raw DEFLATE, in pieces. What `chunks` throws passes as it is; leaving the loop early closes `chunks`. */
export type Deflate = (chunks: Chunks) => AsyncIterable<Uint8Array>

export function deflate(chunks: Chunks): AsyncIterable<Uint8Array> {
  return through(new CompressionStream('deflate-raw'), chunks, (error) => error)
}

/**
 * @throws {@link EvidenceError} `CONTAINER` unless the stream ends exactly where `chunks` end. What
 *   `chunks` throws passes as it is.
 */
export function inflate(chunks: Chunks): AsyncIterable<Uint8Array> {
  return through(new DecompressionStream('deflate-raw'), chunks, damagedStream)
}

/**
 * Inflates what is all there. Undefined unless the stream is whole, ends exactly where `compressed` ends, and gives at most
 * `lengthBytesMax` bytes, beyond which nothing is inflated.
 */
export type Inflate = (compressed: Uint8Array, lengthBytesMax: number) => Uint8Array | undefined

export function damagedStream(cause?: unknown): EvidenceError {
  const message = 'a deflate stream is damaged or does not end where it should'
  return new EvidenceError('CONTAINER', { message, cause })
}

/** Leaving the loop early cancels the stream and closes `chunks`. */
async function* through(
  stream: CompressionStream | DecompressionStream,
  chunks: Chunks,
  streamError: (error: unknown) => unknown,
): AsyncGenerator<Uint8Array> {
  const reader = (stream.readable as ReadableStream<Uint8Array>).getReader()
  const writer = stream.writable.getWriter()
  let sourceError: { readonly error: unknown } | undefined
  const feed = async (): Promise<void> => {
    const source = guarded(chunks, (error) => (sourceError = { error }))
    // A failing stream shows at the reader; here it only ends the feeding.
    try {
      for await (const chunk of source) await writer.write(chunk as Uint8Array<ArrayBuffer>)
      await writer.close()
    } catch (error) {
      await writer.abort(error).catch(() => undefined)
    }
  }
  const fed = feed()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      yield value
    }
  } catch (error) {
    throw sourceError === undefined ? streamError(error) : sourceError.error
  } finally {
    await reader.cancel().catch(() => undefined)
    await fed
  }
}

async function* guarded(chunks: Chunks, onError: (error: unknown) => void): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks
  } catch (error) {
    onError(error)
    throw error
  }
}
