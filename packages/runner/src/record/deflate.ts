/** Raw DEFLATE by node:zlib: the streams that browsers share take as long to load as a small record to be written. */
import { pipeline } from 'node:stream'
import { createDeflateRaw } from 'node:zlib'
import type { Chunks } from '@reprise/core'

/** As `writeZip` wants it. */
export function deflate(chunks: Chunks): AsyncIterable<Uint8Array> {
  // Whoever reads sees what fails.
  return pipeline(chunks, createDeflateRaw(), () => {})
}
