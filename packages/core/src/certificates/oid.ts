/** Object identifiers, whose arcs have no limit: X.667 makes them of 128 bits. Source: X.690 §8.19. */
import { derError, encode, TAG } from './der.ts'

const OID_BYTES_MAX = 64

export function encodeOid(oid: string): Uint8Array {
  const [first, second, ...rest] = oid.split('.').map(BigInt)
  return encode(TAG.OBJECT_IDENTIFIER, ...[first * 40n + second, ...rest].map(base128))
}

function base128(arc: bigint): Uint8Array {
  const bytes = [Number(arc & 0x7fn)]
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) bytes.unshift(Number(rest & 0x7fn) | 0x80)
  return new Uint8Array(bytes)
}

/**
 * @param content - Of the element.
 * @returns Dotted decimal.
 * @throws {@link EvidenceError} `STRUCTURE`.
 */
export function decodeOid(content: Uint8Array): string {
  const isWhole = content.length > 0 && content.length <= OID_BYTES_MAX && content[content.length - 1] < 0x80
  if (!isWhole) throw derError(`an OBJECT IDENTIFIER of ${content.length} bytes, or without an end`)
  const arcs: bigint[] = []
  let arc = 0n
  let isFirst = true
  for (const byte of content) {
    if (isFirst && byte === 0x80) throw derError('an OBJECT IDENTIFIER that is not the shortest')
    arc = (arc << 7n) | BigInt(byte & 0x7f)
    isFirst = byte < 0x80
    if (!isFirst) continue
    arcs.push(arc)
    arc = 0n
  }
  const [joined, ...rest] = arcs
  const first = joined < 80n ? joined / 40n : 2n
  return [first, joined - first * 40n, ...rest].join('.')
}
