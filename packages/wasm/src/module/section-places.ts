/** Where the sections of a valid module lie, found without reading them (Core Specification 2.0, §5.5.2). */

export interface SectionPlace {
  readonly id: number
  /** Of its id, in bytes from the beginning of the module. */
  readonly at: number
  /** Of its content. */
  readonly start: number
  readonly end: number
}

const HEADER_BYTES = 8

export function sectionPlaces(module: Uint8Array): readonly SectionPlace[] {
  const places: SectionPlace[] = []
  for (let at = HEADER_BYTES; at < module.length;) {
    let start = at + 1
    let lengthBytes = 0
    for (let shift = 0; ; shift += 7) {
      const byte = module[start++]
      lengthBytes += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    const end = start + lengthBytes
    places.push({ id: module[at], at, start, end })
    at = end
  }
  return places
}
