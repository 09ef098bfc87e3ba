/** ZIP files in which every field can be wrong. Source: PKWARE APPNOTE 6.3.10 §4.3. */
import { crc32 } from 'node:zlib'
import { once, pick, type Random } from '../random.ts'

export interface RawEntry {
  readonly name: string
  readonly content: Uint8Array
  readonly method: number
  /** As it stands in the file. */
  readonly data: Uint8Array
  /** Replace what belongs there, by the offset after the signature; in the local header, the central one, or both. */
  readonly local?: readonly Field[]
  readonly central?: readonly Field[]
  /** Between this entry and the next one. */
  readonly gap?: Uint8Array
}

interface Field {
  /** As in the local header, counted from "version needed". */
  readonly at: number
  readonly value: number
}

interface RawZip {
  readonly entries: readonly RawEntry[]
  /** Extra fields or comments of this many bytes: in local headers, in central ones, at the end. */
  readonly extras?: { readonly local: number; readonly central: number; readonly comment: number }
  readonly end?: readonly Field[]
  readonly before?: Uint8Array
}

export function writeRawZip({ entries, extras, end = [], before = new Uint8Array() }: RawZip): Uint8Array {
  const parts: Buffer[] = [Buffer.from(before)]
  const central: Buffer[] = []
  let offset = before.length
  for (const entry of entries) {
    const name = Buffer.from(entry.name)
    const extra = Buffer.alloc(extras?.local ?? 0)
    const shared = sharedFields(entry, name.length)
    const local = withFields(shared, entry.local ?? [])
    local.writeUInt16LE(extra.length, 24)
    const head = withFields(shared, entry.central ?? [])
    head.writeUInt16LE(extras?.central ?? 0, 24)
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(0x81a40000, 6)
    tail.writeUInt32LE(offset, 10)
    central.push(Buffer.from('PK\x01\x02\x14\x03'), head, tail, name, Buffer.alloc(extras?.central ?? 0))
    const piece = Buffer.concat([
      Buffer.from('PK\x03\x04'),
      local,
      name,
      extra,
      entry.data,
      entry.gap ?? new Uint8Array(),
    ])
    parts.push(piece)
    offset += piece.length
  }
  const directory = Buffer.concat(central)
  const last = Buffer.alloc(18)
  last.writeUInt16LE(entries.length, 4)
  last.writeUInt16LE(entries.length, 6)
  last.writeUInt32LE(directory.length, 8)
  last.writeUInt32LE(offset, 12)
  last.writeUInt16LE(extras?.comment ?? 0, 16)
  const comment = Buffer.alloc(extras?.comment ?? 0)
  return new Uint8Array(Buffer.concat([...parts, directory, Buffer.from('PK\x05\x06'), withFields(last, end), comment]))
}

/** 26 bytes from "version needed" to "extra field length". */
function sharedFields({ content, data, method }: RawEntry, nameBytes: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.alloc(26)
  bytes.writeUInt16LE(20, 0)
  bytes.writeUInt16LE(0x0800, 2)
  bytes.writeUInt16LE(method, 4)
  bytes.writeUInt16LE(0x0021, 8)
  bytes.writeUInt32LE(crc32(content), 10)
  bytes.writeUInt32LE(data.length, 14)
  bytes.writeUInt32LE(content.length, 18)
  bytes.writeUInt16LE(nameBytes, 22)
  return bytes
}

function withFields(bytes: Buffer<ArrayBuffer>, fields: readonly Field[]): Buffer<ArrayBuffer> {
  const changed = Buffer.from(bytes)
  for (const { at, value } of fields) changed.writeUInt16LE(value & 0xffff, at)
  return changed
}

/** One or two changes of the kinds that containers are attacked with, or none at all. */
export function mutateZip(random: Random, entries: RawEntry[], others: readonly RawEntry[]): RawZip {
  let zip: RawZip = { entries }
  for (let i = random(3); i > 0; i--) zip = changedZip(random, zip, others)
  return zip
}

function changedZip(random: Random, zip: RawZip, others: readonly RawEntry[]): RawZip {
  const entries = [...zip.entries]
  const index = random(entries.length)
  const entry = entries[index]
  if (entry === undefined) return zip
  switch (random(10)) {
    case 0:
      return { ...zip, entries: entries.toSpliced(index, 1) }
    case 1:
      return { ...zip, entries: entries.toSpliced(random(entries.length), 0, entry) }
    case 2: // Two that name one another.
      return { ...zip, entries: entries.toSpliced(index, 1).toSpliced(random(entries.length), 0, entry) }
    case 3:
      return { ...zip, entries: entries.with(index, { ...entry, name: otherName(random, entry.name, others) }) }
    case 4:
      return { ...zip, entries: entries.toSpliced(random(entries.length), 0, pick(random, others)) }
    case 5: // The content of another one under this name.
      return { ...zip, entries: entries.with(index, { ...pick(random, entries), name: entry.name }) }
    case 6: {
      const field = { at: 2 * random(12), value: pick(random, [0, 1, 8, 9, 0x0808, 0x21, 0xffff, random(65536)]) }
      const where = pick(random, ['local', 'central', 'both'] as const)
      const local = where === 'central' ? [] : [field]
      const central = where === 'local' ? [] : [field]
      return { ...zip, entries: entries.with(index, { ...entry, local, central }) }
    }
    case 7:
      return { ...zip, entries: entries.with(index, { ...entry, gap: new Uint8Array(1 + random(40)) }) }
    case 8:
      return {
        ...zip,
        extras: { local: once(random, 2) ? 4 : 0, central: once(random, 2) ? 4 : 0, comment: random(3) },
      }
    default:
      return once(random, 2)
        ? { ...zip, before: new Uint8Array(random(30)) }
        : { ...zip, end: [{ at: 2 * random(9), value: random(65536) }] }
  }
}

function otherName(random: Random, name: string, others: readonly RawEntry[]): string {
  return pick(random, [
    name.toUpperCase(),
    `${name}/`,
    `./${name}`,
    `../${name}`,
    `${name}\0`,
    name.normalize('NFD'),
    `${name}x`,
    pick(random, others).name,
  ])
}
