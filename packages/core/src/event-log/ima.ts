/**
 * The measurement list of Linux IMA, binary or ASCII. Format: spec/event-log.md §8.
 *
 * Source: Linux 6.1 `security/integrity/ima/ima_fs.c`, `ima_template.c`, `ima_template_lib.c`.
 */

import { concat, fromHex, hex, isHex, TruncatedError, utf8 } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import { PCR_COUNT } from './bank.ts'
import { LittleEndianReader, u32le } from './little-endian.ts'

const MiB = 1 << 20

/** A server that runs for months measures some hundred thousand files. */
export const IMA_LIST_BYTES_MAX = 256 * MiB
export const IMA_ENTRIES_MAX = 2_000_000
export const IMA_TEMPLATE_NAME_BYTES_MAX = 255
/** MAX_TEMPLATE_DATA_LEN is 4,096 in most kernels; entries with a buffer may be longer. */
export const IMA_ENTRY_DATA_BYTES_MAX = 2 * MiB
const DIGEST_BYTES = 20
/** IMA_EVENT_NAME_LEN_MAX: what the template `ima` hashes of a name is padded to this and one byte. */
const OLD_NAME_BYTES = 256

export interface ImaEntry {
  readonly index: number
  readonly pcr: number
  /** SHA-1 of the template data, or zero for a violation. */
  readonly templateDigest: Uint8Array
  readonly template: string
  /** What the template digest is over; undefined for an ASCII entry of a template that cannot be put together again. */
  readonly templateData: Uint8Array | undefined
  /** The file changed while it was measured, or was open for writing: nothing is known of it. */
  readonly violation: boolean
  /** Undefined for a template that is not known here. */
  readonly file: ImaFile | undefined
}

export interface ImaFile {
  /** Such as `sha256`; `sha1` in the template `ima`. */
  readonly algorithm: string
  readonly digest: Uint8Array
  readonly name: string
  /** Empty where there is none. */
  readonly signature: Uint8Array
}

export interface ImaList {
  readonly form: 'binary' | 'ascii'
  readonly entries: readonly ImaEntry[]
}

/**
 * @param bytes - `binary_runtime_measurements` or `ascii_runtime_measurements`; which, is seen from the first bytes.
 * @throws {@link EvidenceError} `STRUCTURE` or `LIMIT`; `data` has `entry` and `offsetBytes` of what is wrong.
 */
export function parseImaList(bytes: Uint8Array): ImaList {
  if (bytes.length > IMA_LIST_BYTES_MAX)
    throw failure(
      'LIMIT',
      { entry: 0, at: 0 },
      `belongs to ${bytes.length} bytes; at most ${IMA_LIST_BYTES_MAX} are read`,
    )
  // A binary entry begins with a PCR of four bytes, of which three are zero; ASCII has no zero.
  const form = bytes.length > 3 && bytes[1] !== 0 ? 'ascii' : 'binary'
  return { form, entries: form === 'ascii' ? parseAscii(bytes) : parseBinary(bytes) }
}

function parseBinary(bytes: Uint8Array): ImaEntry[] {
  const reader = new LittleEndianReader(bytes)
  const entries: ImaEntry[] = []
  while (reader.remainingBytes > 0) {
    const place = { entry: entries.length, at: reader.offset }
    checkCount(place)
    try {
      entries.push(readBinaryEntry(reader, place))
    } catch (cause) {
      if (cause instanceof TruncatedError) throw failure('STRUCTURE', place, `is cut off: ${cause.message}`)
      throw cause
    }
  }
  return entries
}

function readBinaryEntry(reader: LittleEndianReader, place: Place): ImaEntry {
  const pcr = reader.u32()
  const templateDigest = reader.raw(DIGEST_BYTES)
  const name = reader.raw(bounded(reader.u32(), IMA_TEMPLATE_NAME_BYTES_MAX, place, 'a template name'))
  const template = asciiOf(name, place)
  if (template === 'ima') {
    const digest = reader.raw(DIGEST_BYTES)
    const nameBytes = reader.raw(bounded(reader.u32(), OLD_NAME_BYTES, place, 'a file name'))
    return entryOf({ place, pcr, templateDigest, template, fields: [digest, nameBytes] })
  }
  const data = reader.raw(bounded(reader.u32(), IMA_ENTRY_DATA_BYTES_MAX, place, 'template data'))
  const fields = LAYOUTS.has(template) ? splitFields(data, place) : undefined
  return entryOf({ place, pcr, templateDigest, template, fields, data })
}

function splitFields(data: Uint8Array, place: Place): Uint8Array[] {
  const reader = new LittleEndianReader(data)
  const fields: Uint8Array[] = []
  while (reader.remainingBytes > 0) fields.push(reader.raw(bounded(reader.u32(), data.length, place, 'a field')))
  return fields
}

/** Fields of the templates that are known; `null` stands for one that is kept and not shown. */
const LAYOUTS: ReadonlyMap<string, readonly (keyof Shown | null)[]> = new Map([
  ['ima', ['plain', 'name']],
  ['ima-ng', ['digest', 'name']],
  ['ima-sig', ['digest', 'name', 'signature']],
  ['ima-ngv2', ['digest', 'name']],
  ['ima-sigv2', ['digest', 'name', 'signature']],
  ['ima-buf', ['digest', 'name', null]],
  ['ima-modsig', ['digest', 'name', 'signature', null, null]],
])

interface Shown {
  readonly plain: Uint8Array
  readonly digest: Uint8Array
  readonly name: Uint8Array
  readonly signature: Uint8Array
}

function entryOf(entry: {
  readonly place: Place
  readonly pcr: number
  readonly templateDigest: Uint8Array
  readonly template: string
  readonly fields: readonly Uint8Array[] | undefined
  readonly data?: Uint8Array
}): ImaEntry {
  const { place, pcr, templateDigest, template, fields } = entry
  if (pcr >= PCR_COUNT) throw failure('STRUCTURE', place, `is in PCR ${pcr}; there are PCRs 0 to ${PCR_COUNT - 1}`)
  return {
    index: place.entry,
    pcr,
    templateDigest,
    template,
    templateData: entry.data ?? (fields === undefined ? undefined : templateDataOf(template, fields)),
    violation: templateDigest.every((byte) => byte === 0),
    file: fields === undefined ? undefined : fileOf(template, fields, place),
  }
}

function templateDataOf(template: string, fields: readonly Uint8Array[]): Uint8Array {
  if (template !== 'ima') return concat(...fields.flatMap((field) => [u32le(field.length), field]))
  const [digest, name] = fields
  return concat(digest, name, new Uint8Array(OLD_NAME_BYTES - name.length))
}

function fileOf(template: string, fields: readonly Uint8Array[], place: Place): ImaFile {
  const layout = LAYOUTS.get(template) ?? []
  if (fields.length !== layout.length)
    throw failure('STRUCTURE', place, `has ${fields.length} fields; ${template} has ${layout.length}`)
  const field = (name: keyof Shown): Uint8Array | undefined => fields[layout.indexOf(name)]
  const hashed = field('digest')
  const { algorithm, digest } =
    hashed === undefined
      ? { algorithm: 'sha1', digest: field('plain') ?? new Uint8Array() }
      : splitDigest(hashed, place)
  return {
    algorithm,
    digest,
    name: nameOf(field('name') ?? new Uint8Array()),
    signature: field('signature') ?? new Uint8Array(),
  }
}

/** `sha256:` and a zero byte before the digest; before that `ima:` or `verity:` in the second version. */
function splitDigest(field: Uint8Array, place: Place): { algorithm: string; digest: Uint8Array } {
  const end = field.indexOf(0)
  const prefix = end < 0 ? '' : asciiOf(field.subarray(0, end), place)
  const algorithm = /^(?:(?:ima|verity):)?([a-z0-9-]+):$/.exec(prefix)?.[1]
  if (algorithm === undefined) throw failure('STRUCTURE', place, 'has a digest without the name of its algorithm')
  return { algorithm, digest: field.subarray(end + 1) }
}

/** File names are bytes; what is no UTF-8 is shown with replacement characters, and compared by nobody. */
function nameOf(field: Uint8Array): string {
  return new TextDecoder().decode(field.at(-1) === 0 ? field.subarray(0, -1) : field)
}

function parseAscii(bytes: Uint8Array): ImaEntry[] {
  const entries: ImaEntry[] = []
  for (let at = 0; at < bytes.length;) {
    const place = { entry: entries.length, at }
    checkCount(place)
    const end = bytes.indexOf(0x0a, at)
    if (end < 0) throw failure('STRUCTURE', place, 'is cut off: its line has no end')
    entries.push(readAsciiLine(bytes.subarray(at, end), place))
    at = end + 1
  }
  return entries
}

const LINE = /^ ?([0-9]{1,2}) ([0-9a-f]{40}) ([^ ]{1,255}) (.*)$/s

function readAsciiLine(line: Uint8Array, place: Place): ImaEntry {
  const text = Array.from(line, (byte) => String.fromCharCode(byte)).join('')
  const match = LINE.exec(text)
  if (match === null) throw failure('STRUCTURE', place, 'is no PCR, digest, template and fields with spaces between')
  const [, pcr, digest, template, rest] = match
  const words = rest.split(' ')
  const fields = LAYOUTS.has(template) ? asciiFields(template, words, place) : undefined
  return entryOf({ place, pcr: Number(pcr), templateDigest: fromHex(digest), template, fields })
}

/** Kernels write a space in a file name as an underscore, so that spaces part fields. */
function asciiFields(template: string, words: readonly string[], place: Place): Uint8Array[] {
  const layout = LAYOUTS.get(template) ?? []
  if (words.length > layout.length && !(words.length === layout.length + 1 && words.at(-1) === ''))
    throw failure('STRUCTURE', place, `has ${words.length} fields; ${template} has ${layout.length}`)
  return layout.map((field, i) => {
    const word = words.at(i) ?? ''
    if (field === 'name') return concat(latin1(word), template === 'ima' ? new Uint8Array() : Uint8Array.of(0))
    if (field !== 'digest') return hexOf(word, place)
    const colon = word.lastIndexOf(':') + 1
    return concat(utf8(word.slice(0, colon)), Uint8Array.of(0), hexOf(word.slice(colon), place))
  })
}

function hexOf(word: string, place: Place): Uint8Array {
  if (!isHex(word)) throw failure('STRUCTURE', place, `has ${JSON.stringify(word.slice(0, 64))} where hex belongs`)
  return fromHex(word)
}

function latin1(word: string): Uint8Array {
  return Uint8Array.from(word, (char) => char.charCodeAt(0))
}

interface Place {
  readonly entry: number
  readonly at: number
}

function asciiOf(bytes: Uint8Array, place: Place): string {
  if (bytes.length === 0 || bytes.some((byte) => byte <= 0x20 || byte >= 0x7f))
    throw failure('STRUCTURE', place, `has the name ${hex(bytes.subarray(0, 32))}, which is no ASCII`)
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
}

function bounded(lengthBytes: number, max: number, place: Place, what: string): number {
  if (lengthBytes > max) throw failure('LIMIT', place, `has ${what} of ${lengthBytes} bytes; at most ${max} are read`)
  return lengthBytes
}

function checkCount(place: Place): void {
  if (place.entry === IMA_ENTRIES_MAX) throw failure('LIMIT', place, `is one more than ${IMA_ENTRIES_MAX}`)
}

function failure(code: 'STRUCTURE' | 'LIMIT', { entry, at }: Place, what: string): EvidenceError {
  return new EvidenceError(code, {
    message: `IMA list: entry ${entry} at offset ${at} ${what}`,
    hint: 'give the list as /sys/kernel/security/ima/binary_runtime_measurements or ascii_runtime_measurements has it',
    data: { offsetBytes: at, entry },
  })
}
