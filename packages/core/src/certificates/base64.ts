/** Base64 as RFC 4648 §4 has it, one text per value. */
import { wrong } from '../record/shape.ts'

/** @throws {@link EvidenceError} `STRUCTURE`, with the path. */
export function fromBase64(value: unknown, path: string): Uint8Array {
  if (typeof value !== 'string' || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value))
    throw wrong(path, 'is not base64')
  const text = atob(value)
  // Unused bits of the last letter would make a second text of the same bytes.
  if (btoa(text) !== value) throw wrong(path, 'is not the base64 of its bytes')
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0))
}
