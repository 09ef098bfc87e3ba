/** What all TPM decoders share: exact reading, a size limit, and one kind of error. */

import { ByteReader, TruncatedError } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'

/** No TPM answers with more than this (TPM_PT_MAX_RESPONSE_SIZE of every known TPM), in bytes. */
export const TPM_STRUCTURE_BYTES_MAX = 4096

export function structureError(message: string): EvidenceError {
  return new EvidenceError('STRUCTURE', { message })
}

/**
 * Runs a decoder over all of `bytes`.
 *
 * @throws {@link EvidenceError} `STRUCTURE` when bytes are missing or left over, `LIMIT` above {@link TPM_STRUCTURE_BYTES_MAX}.
 */
export function decodeExactly<T>(name: string, bytes: Uint8Array, decode: (reader: ByteReader) => T): T {
  if (bytes.length > TPM_STRUCTURE_BYTES_MAX) {
    throw new EvidenceError('LIMIT', {
      message: `${name} of ${bytes.length} bytes; at most ${TPM_STRUCTURE_BYTES_MAX} are read`,
    })
  }
  const reader = new ByteReader(bytes)
  try {
    const value = decode(reader)
    reader.end()
    return value
  } catch (cause) {
    if (cause instanceof TruncatedError)
      throw new EvidenceError('STRUCTURE', { message: `${name}: ${cause.message}`, cause })
    throw cause
  }
}

/** TPMI_YES_NO, Part 2 §9.2: one byte, 0 or 1. */
export function readYesNo(reader: ByteReader): boolean {
  const value = reader.u8()
  if (value > 1) throw structureError(`TPMI_YES_NO of ${value}`)
  return value === 1
}
