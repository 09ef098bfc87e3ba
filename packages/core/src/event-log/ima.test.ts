/** IMA lists of each template, and how far a quoted register covers them. */

import { hash as digest } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, hex, utf8 } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import {
  type BankHash,
  canonicalEventLog,
  coveredImaEntries,
  inconsistentImaEntries,
  parseEventLog,
  parseImaList,
  replayImaList,
} from './index.ts'
import { u32le, utf16 } from './little-endian.ts'

const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))
const sized = (bytes: Uint8Array): Uint8Array => concat(u32le(bytes.length), bytes)
const sha1 = (data: Uint8Array): Uint8Array => new Uint8Array(digest('sha1', data, 'buffer'))
const content = new Uint8Array(32).fill(7)
const vector = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../../vectors/event-log/${name}/input.bin`, import.meta.url)))

function binary(template: string, fields: readonly Uint8Array[], pcr = 10): Uint8Array {
  const data = concat(...fields.map(sized))
  return concat(u32le(pcr), sha1(data), sized(utf8(template)), sized(data))
}

const hashed = concat(utf8('sha256:\0'), content)
const name = utf8('/usr/bin/x\0')
const ng = binary('ima-ng', [hashed, name])

describe('parseImaList', () => {
  test.each<[string, Uint8Array[], object]>([
    ['ima-ng', [hashed, name], { algorithm: 'sha256', name: '/usr/bin/x' }],
    ['ima-sig', [hashed, name, Uint8Array.of(3, 2)], { signature: Uint8Array.of(3, 2) }],
    ['ima-ngv2', [concat(utf8('ima:'), hashed), name], { algorithm: 'sha256' }],
    ['ima-sigv2', [concat(utf8('verity:'), hashed), name, new Uint8Array()], { algorithm: 'sha256' }],
    ['ima-buf', [hashed, utf8('.ima\0'), utf8('key')], { name: '.ima' }],
    ['ima-modsig', [hashed, name, new Uint8Array(), new Uint8Array(), new Uint8Array()], { digest: content }],
  ])('reads the template %s', (template, fields, file) => {
    const { entries } = parseImaList(binary(template, fields))
    expect(entries).toHaveLength(1)
    expect(entries[0]).toMatchObject({ pcr: 10, template, violation: false, file })
    expect(inconsistentImaEntries({ form: 'binary', entries }, hash)).toEqual([])
  })

  test('reads the template ima, whose digest pads the name', () => {
    const digestOfFile = new Uint8Array(20).fill(9)
    const data = concat(digestOfFile, utf8('/init'), new Uint8Array(251))
    const list = parseImaList(concat(u32le(10), sha1(data), sized(utf8('ima')), digestOfFile, sized(utf8('/init'))))
    expect(list.entries[0].file).toMatchObject({ algorithm: 'sha1', digest: digestOfFile, name: '/init' })
    expect(inconsistentImaEntries(list, hash)).toEqual([])
  })

  test('keeps the data of a template that is not known', () => {
    const [entry] = parseImaList(binary('own', [utf8('anything')])).entries
    expect(entry.file).toBeUndefined()
    expect(entry.templateData).toEqual(sized(utf8('anything')))
  })

  test('reads the same from both forms', () => {
    const line = `10 ${hex(ng.subarray(4, 24))} ima-ng sha256:${hex(content)} /usr/bin/x\n`
    const { form, entries } = parseImaList(utf8(line))
    expect(form).toBe('ascii')
    expect(entries).toEqual(parseImaList(ng).entries)
  })

  test('reads an ASCII list with a register of one digit and a signature', () => {
    const line = ` 9 ${'0'.repeat(40)} ima-sig sha1:${'0'.repeat(40)} /x 0302\n`
    expect(parseImaList(utf8(line)).entries[0]).toMatchObject({
      pcr: 9,
      violation: true,
      file: { algorithm: 'sha1', signature: Uint8Array.of(3, 2) },
    })
  })

  test('names an entry whose digest is not of its data', () => {
    const changed = ng.slice()
    changed[changed.length - 2] ^= 1
    expect(inconsistentImaEntries(parseImaList(changed), hash)).toEqual([0])
  })

  test.each<[string, Uint8Array, number]>([
    ['an entry that is cut off', concat(ng, ng.subarray(0, 30)), 1],
    ['a register that there is not', binary('ima-ng', [hashed, name], 24), 0],
    ['a field too few', binary('ima-ng', [hashed]), 0],
    ['a field too many', binary('ima-ng', [hashed, name, name]), 0],
    ['a digest without an algorithm', binary('ima-ng', [content, name]), 0],
    [
      'a field longer than its entry',
      concat(u32le(10), new Uint8Array(20), sized(utf8('ima-ng')), sized(u32le(99))),
      0,
    ],
    ['a template without a name', concat(u32le(10), new Uint8Array(20), sized(new Uint8Array())), 0],
    ['a name longer than any', concat(u32le(10), new Uint8Array(20), u32le(1 << 30)), 0],
    ['a line without an end', utf8('10 aa'), 0],
    ['a line that is none', utf8(`${'10 x'.repeat(20)}\n`), 0],
    ['a line with a word too many', utf8(`10 ${'0'.repeat(40)} ima-ng sha1:00 /x 00 00\n`), 0],
    ['a line with other things than hex', utf8(`10 ${'0'.repeat(40)} ima-ng sha1:zz /x\n`), 0],
  ])('refuses %s', (_what, bytes, entry) => {
    let refused: unknown
    try {
      parseImaList(bytes)
    } catch (error) {
      refused = error
    }
    expect(refused).toBeInstanceOf(EvidenceError)
    expect((refused as EvidenceError).data).toMatchObject({ entry })
  })
})

describe('coveredImaEntries', () => {
  const list = parseImaList(
    concat(ng, binary('ima-ng', [hashed, utf8('/a\0')], 11), binary('ima-ng', [hashed, utf8('/b\0')]), ng),
  )
  const first = (count: number): Uint8Array =>
    replayImaList({ list: { ...list, entries: list.entries.slice(0, count) }, bank: 'sha256', hash })!

  test.each([
    [0, 0, 3],
    [1, 1, 2],
    [2, 1, 2],
    [3, 2, 1],
    [4, 3, 0],
  ])('finds the first %i entries', (count, entries, beyond) => {
    const covered = coveredImaEntries({ list, bank: 'sha256', hash, quoted: first(count) })
    expect(covered).toEqual({ pcr: 10, bank: 'sha256', rule: 'own-digest', entries, beyond })
  })

  test('finds the rule of older kernels', () => {
    const quoted = replayImaList({ list, bank: 'sha256', hash, rule: 'padded-sha1' })!
    expect(coveredImaEntries({ list, bank: 'sha256', hash, quoted })).toMatchObject({ rule: 'padded-sha1', beyond: 0 })
  })

  test('finds nothing where an entry was left out or changed', () => {
    const quoted = first(4)
    const cut = { ...list, entries: list.entries.slice(1) }
    expect(coveredImaEntries({ list: cut, bank: 'sha256', hash, quoted })).toBeUndefined()
    const [entry, ...rest] = list.entries
    const changed = { ...list, entries: [{ ...entry, templateData: utf8('other') }, ...rest] }
    expect(coveredImaEntries({ list: changed, bank: 'sha256', hash, quoted })).toBeUndefined()
  })

  test('does not take a violation for an entry', () => {
    const violation = concat(
      u32le(10),
      new Uint8Array(20),
      sized(utf8('ima-ng')),
      sized(concat(sized(hashed), sized(name))),
    )
    const violated = parseImaList(violation)
    expect(violated.entries[0].violation).toBe(true)
    const once = hash('sha256', concat(new Uint8Array(32), new Uint8Array(32).fill(0xff)))!
    expect(replayImaList({ list: violated, bank: 'sha256', hash })).toEqual(once)
  })

  test('answers nothing without data or without the hash', () => {
    const ascii = parseImaList(utf8(`10 ${'1'.repeat(40)} own something\n`))
    expect(replayImaList({ list: ascii, bank: 'sha256', hash })).toBeUndefined()
    expect(replayImaList({ list: ascii, bank: 'sha1', hash })).toBeDefined()
    expect(coveredImaEntries({ list, bank: 'sha256', hash: () => undefined, quoted: first(4) })).toBeUndefined()
  })
})

describe('canonicalEventLog', () => {
  test('numbers records for each register and carries both logs', () => {
    const records = canonicalEventLog({ firmware: parseEventLog(vector('rhel8-gce-vm')), ima: parseImaList(ng), hash })
    expect(records).toHaveLength(84)
    expect(records[1]).toMatchObject({
      recnum: 1,
      pcr: 0,
      digests: [
        { hashAlg: 'sha1', digest: '3f708bdbaff2006655b540360e16474c100c1310' },
        { hashAlg: 'sha256', digest: 'd0fcf11a32a8fbf5a4e1a58cd74dd2357d07e7503b5b6afd5a7989a98e17be7f' },
        { hashAlg: 'sha384' },
      ],
      content_type: 'pcclient_std',
      content: { event_type: 'ev_s_crtm_version', event_data: hex(utf16('GCE Virtual Firmware v1\0')) },
    })
    expect(records.at(-1)).toEqual({
      recnum: 0,
      pcr: 10,
      digests: [
        { hashAlg: 'sha1', digest: hex(ng.subarray(4, 24)) },
        { hashAlg: 'sha256', digest: hex(hash('sha256', ng.subarray(38))!) },
      ],
      content_type: 'ima_template',
      content: { template_name: 'ima-ng', template_data: hex(ng.subarray(38)) },
    })
  })

  test('leaves out what has no register', () => {
    const log = parseEventLog(vector('x1carbon3-windows-tpm12'))
    expect(canonicalEventLog({ firmware: log, hash })).toHaveLength(log.events.length - 1)
  })

  test('writes a type that nobody knows as its number', () => {
    const bytes = vector('nuc-sha1-legacy').slice(0, 32)
    bytes.set([0x45, 0x23, 0x01, 0], 4)
    bytes.set(u32le(0), 28)
    const [record] = canonicalEventLog({ firmware: parseEventLog(bytes), hash })
    expect(record.content).toEqual({ event_type: 0x12345, event_data: '' })
    expect(fromHex(record.digests[0].digest)).toEqual(bytes.slice(8, 28))
  })
})
