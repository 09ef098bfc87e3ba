/** CRC-32 of IEEE 802.3, as ZIP and the journal use it. Finds accidents, not attackers. */

/** One table for each of four bytes, so that the loop takes a 32-bit word a turn. Made when it is first wanted. */
let made: readonly Uint32Array[] | undefined

function tables(): Uint32Array[] {
  const [first, ...others] = Array.from({ length: 4 }, () => new Uint32Array(256))
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
    first[byte] = crc
  }
  let before = first
  for (const table of others) {
    for (let byte = 0; byte < 256; byte++) table[byte] = (before[byte] >>> 8) ^ first[before[byte] & 0xff]
    before = table
  }
  return [first, ...others]
}

/** @param previous - The CRC-32 of what came before `bytes`, to go on from. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  const [t0, t1, t2, t3] = (made ??= tables())
  const wordsEnd = bytes.length & ~3
  let crc = ~previous
  let at = 0
  for (; at < wordsEnd; at += 4) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    crc = t3[crc & 0xff] ^ t2[(crc >>> 8) & 0xff] ^ t1[(crc >>> 16) & 0xff] ^ t0[crc >>> 24]
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]) & 0xff]
  return ~crc >>> 0
}
