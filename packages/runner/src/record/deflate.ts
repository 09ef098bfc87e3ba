/**
 * Raw DEFLATE by node:zlib: the streams that browsers share take as long to load as a small record to be written. What is
 * small is compressed at once, because a stream for each entry takes longer than its bytes do.
 */
import { pipeline } from 'node:stream'
import { createDeflateRaw, deflateRawSync } from 'node:zlib'
import { concat, type Chunks } from '@reprise/core'

/** Compressing that much takes a few milliseconds. */
const AT_ONCE_BYTES_MAX = 1 << 17

/** As `writeZip` wants it. */
export async function* deflate(chunks: Chunks): AsyncGenerator<Uint8Array> {
  const source = iterated(chunks)
  const first: Uint8Array[] = []
  let lengthBytes = 0
  try {
    for (let next = await source.next(); next.done !== true; next = await source.next()) {
      // Who gives pieces may use their bytes again.
      first.push(next.value.slice())
      lengthBytes += next.value.length
      if (lengthBytes > AT_ONCE_BYTES_MAX) {
        // Whoever reads sees what fails.
        yield* pipeline(joined(first, source), createDeflateRaw(), () => {})
        return
      }
    }
  } finally {
    await source.return(undefined)
  }
  yield deflateRawSync(concat(...first))
}

async function* iterated(chunks: Chunks): AsyncGenerator<Uint8Array> {
  yield* chunks
}

async function* joined(first: readonly Uint8Array[], rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* first
  yield* rest
}
