/** Every departure that is read all the same is noted, with where it stands. */

import { hash as digest } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concat, utf8 } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import { type BankHash, EV, EVENT_LOG_BYTES_MAX, parseEventLog, replayEventLog } from './index.ts'
import { u16le, u32le } from './little-endian.ts'
import { EVENT_DATA_BYTES_MAX, EVENTS_MAX } from './parse.ts'
import { sampleHeader, sampleLog, type SampleEvent, separator } from './sample-logs.ts'

const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))
const informative = (text: string, pcr = 0): SampleEvent => ({ pcr, type: EV.NO_ACTION, data: utf8(text) })
const hcrtm: SampleEvent = { pcr: 0, type: EV.EFI_HCRTM_EVENT, data: utf8('HCRTM') }

function notesOf(bytes: Uint8Array): string[] {
  const log = parseEventLog(bytes)
  return [...log.notes, ...replayEventLog(log, hash).notes].map(({ code, event }) => `${code} ${event ?? '-'}`)
}

describe('notes', () => {
  const log = sampleLog({ truth: [separator(0), separator(7)] }, hash)
  const logOf = (...truth: SampleEvent[]): Uint8Array => sampleLog({ truth }, hash)
  const header = sampleHeader(['sha1', 'sha256'])
  const marked = header.slice()
  marked[8] = 1
  const alien = concat(header.slice(0, 28), u32le(header.length - 32 + 4))
  const withAlien = concat(
    alien,
    header.slice(32, 56),
    u32le(3),
    header.slice(60, 68),
    u16le(0x27),
    u16le(32),
    header.slice(68),
  )

  test.each<[string, Uint8Array, string[]]>([
    ['none for a log as it should be', log, []],
    ['a digest of the Spec ID event', concat(marked, log.slice(header.length)), ['HEADER_DIGEST 0']],
    ['filling of ones', concat(log, new Uint8Array(5).fill(0xff)), ['TAIL_FF -']],
    ['filling of zeros', concat(log, new Uint8Array(500)), ['TAIL_ZERO -']],
    ['an event of no register', logOf(separator(0), { ...informative('x'), pcr: 0xffffffff }), ['PCR_NONE 2']],
    ['a type of nobody', logOf({ ...separator(3), type: 0x12345 }), ['TYPE_UNKNOWN 1']],
    [
      'an informative event with a digest',
      logOf({ ...informative('x'), digests: { sha1: new Uint8Array(20).fill(1) } }, separator(0)),
      ['NO_ACTION_DIGEST 1'],
    ],
    ['an event without a digest', logOf({ ...separator(0), without: ['sha1'] }), ['DIGEST_MISSING 1']],
    ['a zero digest', logOf({ ...separator(0), digests: { sha1: new Uint8Array(20) } }), ['DIGEST_ZERO 1']],
    ['a second Spec ID event', logOf(informative('Spec ID Event03\0'), separator(0)), ['SPEC_ID_AGAIN 1']],
    ['a register of a dynamic launch', logOf(separator(17)), ['DYNAMIC_PCR 1']],
    ['a bank of an unknown algorithm', withAlien, ['BANK_UNKNOWN 0']],
    ['a start at locality 3', logOf(informative('StartupLocality\0\x03'), separator(0)), ['LOCALITY 1']],
    ['none for a start at locality 0', logOf(informative('StartupLocality\0\0'), separator(0)), []],
    ['a locality that there is not', logOf(informative('StartupLocality\0\x05'), separator(0)), ['LOCALITY_IGNORED 1']],
    ['a locality of two bytes', logOf(informative('StartupLocality\0\x03\x03')), ['LOCALITY_IGNORED 1']],
    ['a locality of another register', logOf(informative('StartupLocality\0\x03', 6)), ['LOCALITY_IGNORED 1']],
    ['a locality too late', logOf(separator(0), informative('StartupLocality\0\x03')), ['LOCALITY_IGNORED 2']],
    [
      'a second locality',
      logOf(informative('StartupLocality\0\x03'), informative('StartupLocality\0\0')),
      ['LOCALITY 1', 'LOCALITY_IGNORED 2'],
    ],
    ['an H-CRTM', logOf(hcrtm), ['HCRTM 1']],
    ['an H-CRTM that comes too late', logOf(separator(0), hcrtm), ['HCRTM_IGNORED 2']],
    ['an H-CRTM of another register', logOf({ ...hcrtm, pcr: 1 }), ['HCRTM_IGNORED 1']],
  ])('%s', (_what, bytes, notes) => {
    expect(notesOf(bytes)).toEqual(notes)
  })

  test('a bank whose hash is not there', () => {
    const replay = replayEventLog(parseEventLog(log), (bank, data) => (bank === 'sha1' ? undefined : hash(bank, data)))
    expect(replay.notes.map(({ code }) => code)).toEqual(['BANK_NO_HASH'])
    expect(replay.banks.map(({ bank }) => bank)).toEqual(['sha256'])
  })
})

describe('limits', () => {
  const codeOf = (bytes: Uint8Array): string => {
    try {
      parseEventLog(bytes)
    } catch (error) {
      if (error instanceof EvidenceError) return error.code
    }
    return 'read'
  }

  test.each<[string, () => Uint8Array]>([
    ['a log too long', () => new Uint8Array(EVENT_LOG_BYTES_MAX + 1)],
    [
      'data too long',
      () => sampleLog({ truth: [{ ...separator(0), data: new Uint8Array(EVENT_DATA_BYTES_MAX + 1) }] }, hash),
    ],
    [
      'too many events',
      () => {
        const event = concat(u32le(0), u32le(EV.ACTION), new Uint8Array(20).fill(1), u32le(0))
        const bytes = new Uint8Array((EVENTS_MAX + 1) * event.length)
        for (let i = 0; i <= EVENTS_MAX; i++) bytes.set(event, i * event.length)
        return bytes
      },
    ],
  ])('%s', (_what, bytes) => {
    expect(codeOf(bytes())).toBe('LIMIT')
  })
})
