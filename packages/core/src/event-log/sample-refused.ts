/** Cases of vectors/event-log that are no logs, made here. */

import { concat, utf8 } from '../bytes/index.ts'
import type { BankHash } from './bank.ts'
import { EV } from './event-type.ts'
import { u16le, u32le } from './little-endian.ts'
import { sampleHeader, sampleLog, secureBoot, separator } from './sample-logs.ts'

export interface RefusedCase {
  readonly name: string
  readonly why: string
  readonly bytes: Uint8Array
  readonly event: number
  readonly offsetBytes: number
}

/** All are refused with `STRUCTURE`. */
export function refusedCases(hash: BankHash): readonly RefusedCase[] {
  const log = sampleLog({ banks: ['sha256'], truth: [secureBoot(1), separator(7)] }, hash)
  const header = sampleHeader(['sha256'])
  const second = log.length - (4 + 4 + 4 + 2 + 32 + 4 + 4)
  const event = (digests: readonly Uint8Array[], count = digests.length): Uint8Array =>
    concat(u32le(7), u32le(EV.SEPARATOR), u32le(count), ...digests, u32le(4), new Uint8Array(4))
  const sha256 = concat(u16le(0x0b), new Uint8Array(32).fill(1))
  const at = (offsetBytes: number, name: string, why: string, bytes: Uint8Array, index = 1): RefusedCase => ({
    name: `${name}_fail`,
    why,
    bytes,
    event: index,
    offsetBytes,
  })
  return [
    at(0, 'empty', 'A file without a byte.', new Uint8Array(), 0),
    at(0, 'filling-only', 'An area of the firmware that nothing was written to.', new Uint8Array(64).fill(0xff), 0),
    at(second, 'cut-in-digest', 'The log ends inside of a digest.', log.slice(0, second + 20), 2),
    at(log.length - 8, 'cut-in-data', 'The log ends inside of the data of an event.', log.slice(0, -1), 2),
    at(
      log.length,
      'tail-of-text',
      'Text after the last event.',
      concat(log, utf8('and so on, and so on, and so on')),
      3,
    ),
    at(
      log.length,
      'tail-mixed',
      'Filling that is not all of one kind.',
      concat(log, new Uint8Array(9).fill(0xff), u16le(0)),
      3,
    ),
    at(
      header.length,
      'pcr-24',
      'An event in a register that there is not.',
      concat(header, u32le(24), event([sha256]).slice(4)),
    ),
    at(
      header.length,
      'digests-too-many',
      'More digests than the log has banks.',
      concat(header, event([sha256, sha256])),
    ),
    at(
      sampleHeader(['sha1', 'sha256']).length + 46,
      'digest-twice',
      'Two digests of one bank.',
      concat(sampleHeader(['sha1', 'sha256']), event([sha256, sha256])),
    ),
    at(
      header.length + 12,
      'digest-of-no-bank',
      'A digest of a bank that the Spec ID event does not list.',
      concat(header, event([concat(u16le(0x0c), new Uint8Array(48))])),
    ),
    at(
      header.length + 46,
      'data-beyond-end',
      'Data longer than all that is left.',
      concat(header, u32le(7), u32le(EV.SEPARATOR), u32le(1), sha256, u32le(0x7fffffff), new Uint8Array(4)),
    ),
    ...headerCases(header),
  ]
}

const HEADER_DATA = 32

function headerCases(header: Uint8Array): RefusedCase[] {
  const changed = (name: string, why: string, at: number, value: Uint8Array): RefusedCase => {
    const bytes = header.slice()
    bytes.set(value, HEADER_DATA + at)
    return { name: `${name}_fail`, why, bytes, event: 0, offsetBytes: 0 }
  }
  const longer = concat(
    header.slice(0, 28),
    u32le(header.length - HEADER_DATA + 1),
    header.slice(HEADER_DATA),
    Uint8Array.of(0),
  )
  return [
    changed('spec-id-version', 'A Spec ID event of version 1.', 21, Uint8Array.of(1)),
    changed('spec-id-no-banks', 'A Spec ID event without banks.', 24, u32le(0)),
    changed('spec-id-digest-length', 'SHA-256 with digests of 20 bytes.', 30, u16le(20)),
    changed('spec-id-uintn', 'Addresses of three words.', 23, Uint8Array.of(3)),
    {
      name: 'spec-id-trailing_fail',
      why: 'A Spec ID event with a byte too many.',
      bytes: longer,
      event: 0,
      offsetBytes: 0,
    },
  ]
}
