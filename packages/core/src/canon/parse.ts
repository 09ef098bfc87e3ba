/** Reading canonical JSON: one text per value, so that what was hashed is what is read. */
import { fromUtf8 } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import { canonical } from './canonical.ts'

/**
 * Parses a text that must be the canonical one of its value. Duplicate names, other spellings of a
 * number or string, other orders and white space are thereby refused.
 *
 * @param lengthMax - The longest text that is parsed, in UTF-16 code units.
 * @param what - Names the text in errors.
 * @throws {@link EvidenceError} `LIMIT` for a longer text, `STRUCTURE` for one that is not canonical JSON.
 */
export function parseCanonical(text: string, lengthMax: number, what = 'text'): unknown {
  if (text.length > lengthMax) {
    throw new EvidenceError('LIMIT', {
      message: `${what} of ${text.length} characters; at most ${lengthMax} are read`,
    })
  }
  let value: unknown
  let again: string
  try {
    value = JSON.parse(text)
    again = canonical(value)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EvidenceError('STRUCTURE', { message: `${what} is not canonical JSON: ${reason}`, cause })
  }
  if (again !== text) {
    throw new EvidenceError('STRUCTURE', {
      message: `${what} is not canonical JSON: it differs from its RFC 8785 form at character ${firstDifference(text, again)}`,
      hint: 'it was written or edited by something else than Reprise',
    })
  }
  return value
}

/** {@link parseCanonical} over UTF-8, of which one UTF-16 code unit takes at least one byte. */
export function parseCanonicalBytes(bytes: Uint8Array, lengthBytesMax: number, what = 'text'): unknown {
  if (bytes.length > lengthBytesMax) {
    throw new EvidenceError('LIMIT', {
      message: `${what} of ${bytes.length} bytes; at most ${lengthBytesMax} are read`,
    })
  }
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch (cause) {
    throw new EvidenceError('STRUCTURE', { message: `${what} is not UTF-8`, cause })
  }
  return parseCanonical(text, lengthBytesMax, what)
}

function firstDifference(a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  return at
}
