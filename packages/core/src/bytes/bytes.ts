/** Small helpers over `Uint8Array`: what the web platform lacks and every format here needs. */

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Names and tags: the encoder's own way into the engine takes longer than so many characters. */
const SHORT_CHARS = 64

export function utf8(text: string): Uint8Array {
  if (text.length > SHORT_CHARS) return encoder.encode(text)
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return encoder.encode(text)
    bytes[i] = code
  }
  return bytes
}

/** @returns How many bytes it took; they must fit. */
export function utf8Into(text: string, bytes: Uint8Array): number {
  return encoder.encodeInto(text, bytes).written
}

/** Decodes UTF-8 exactly: malformed bytes throw a `TypeError`, a byte order mark is kept. */
export function fromUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** ES2026, five times as fast; Node 24 has none of it, nor have browsers of 2024. */
const native = Uint8Array.prototype as {
  readonly toHex?: (this: Uint8Array) => string
  readonly setFromHex?: (this: Uint8Array, text: string) => unknown
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

export function hex(bytes: Uint8Array): string {
  if (native.toHex !== undefined) return native.toHex.call(bytes)
  let text = ''
  for (const byte of bytes) text += HEX[byte]
  return text
}

/** Lower-case hex only, so that text and bytes stay one to one. */
export function isHex(text: string): boolean {
  return text.length % 2 === 0 && /^[0-9a-f]*$/.test(text)
}

/** @throws `TypeError` unless the text is lower-case hex of whole bytes. */
export function fromHex(text: string): Uint8Array {
  // Not fromHex: what is made here lies in the engine's own heap when it is as small as a digest, at a fifth of the cost.
  const bytes = new Uint8Array(text.length / 2)
  if (native.setFromHex !== undefined) {
    decodeInto(native.setFromHex, bytes, text)
    return bytes
  }
  if (!isHex(text)) throw notHex()
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

const BLOCK_BYTES = 1 << 12

/**
 * {@link fromHex} for many texts that are longer than a digest and needed about as long as each other: their bytes share memory, for
 * what does not fit the engine's own heap takes longer to make than to decode.
 */
export function fromHexInBlocks(): typeof fromHex {
  const { setFromHex } = native
  if (setFromHex === undefined) return fromHex
  let block = new Uint8Array()
  let at = 0
  return (text) => {
    const lengthBytes = text.length / 2
    if (lengthBytes > BLOCK_BYTES / 4) return fromHex(text)
    if (lengthBytes > block.length - at) {
      block = new Uint8Array(BLOCK_BYTES)
      at = 0
    }
    const bytes = block.subarray(at, at + lengthBytes)
    decodeInto(setFromHex, bytes, text)
    at += lengthBytes
    return bytes
  }
}

/** Looked for by itself: a lower-case copy to compare with takes longer than the decoding. */
const HEX_CAPITAL = /[A-F]/

/** @param setFromHex - Takes capitals as well, and throws at what else is no hex. */
function decodeInto(setFromHex: NonNullable<typeof native.setFromHex>, bytes: Uint8Array, text: string): void {
  if (text.length % 2 !== 0 || HEX_CAPITAL.test(text)) throw notHex()
  try {
    setFromHex.call(bytes, text)
  } catch {
    throw notHex()
  }
}

function notHex(): TypeError {
  return new TypeError('not lower-case hex')
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let lengthBytes = 0
  for (const part of parts) lengthBytes += part.length
  const whole = new Uint8Array(lengthBytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Orders by unsigned bytes, a prefix first: the order of paths in every tree. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) {
    const difference = a[i] - b[i]
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** From here on the order of UTF-16 is not that of UTF-8. */
const SURROGATES = /[\ud800-\uffff]/

/** By the bytes of their UTF-8; as that of arrays, negative, zero or positive. */
export function compareText(a: string, b: string): number {
  if (SURROGATES.test(a) && SURROGATES.test(b)) return compare(utf8(a), utf8(b))
  if (a === b) return 0
  return a < b ? -1 : 1
}
