/** What the events of a real log say, and how much of it is shown. */

import { hash as digest } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, utf8 } from '../bytes/index.ts'
import { type BankHash, type DescribedEvent, describeEvent, EV, type LogEvent, parseEventLog } from './index.ts'
import { devicePathText } from './device-path.ts'
import { guidBytes, guidText } from './guid.ts'
import { u16le, u32le, utf16 } from './little-endian.ts'
import {
  decodeBootOrder,
  decodeHandoffTables,
  decodeLoadOption,
  decodeSignatureLists,
  decodeTaggedEvent,
} from './uefi.ts'

const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))

function described(name: string): (index: number) => DescribedEvent {
  const bytes = readFileSync(new URL(`../../../../vectors/event-log/${name}/input.bin`, import.meta.url))
  const { events } = parseEventLog(new Uint8Array(bytes))
  return (index) => describeEvent(events[index], { bank: 'sha256', hash })
}

describe('describeEvent', () => {
  const rhel = described('rhel8-gce-vm')
  const gentoo = described('x1carbon9-gentoo-2')

  test('a variable whose digest covers it', () => {
    const { content, proven, coverage } = rhel(3)
    expect(content).toMatchObject({
      kind: 'variable',
      variable: { name: 'SecureBoot' },
      meaning: { kind: 'flag', set: true },
    })
    expect([proven, coverage?.rule]).toEqual(['all', 'whole'])
  })

  test('signatures of a key database', () => {
    const { content } = rhel(6)
    if (content.kind !== 'variable' || content.meaning.kind !== 'signatures') throw new Error(content.kind)
    expect(content.meaning.signatures.map(({ type }) => type)).toEqual(
      Array<string>(2).fill('a5c059a1-94e4-4aa7-87b5-ab155c2bf072'),
    )
  })

  test('a boot variable of which only the value is shown', () => {
    const { content, proven, coverage } = rhel(9)
    expect(content).toMatchObject({
      variable: { name: 'BootOrder' },
      meaning: { kind: 'boot-order', order: [2, 0, 1] },
    })
    expect([proven, coverage?.rule]).toEqual(['value', 'variable-data'])
    expect(rhel(10).content).toMatchObject({
      meaning: { kind: 'load-option', option: { description: 'Red Hat Enterprise Linux' } },
    })
  })

  test('an image, whose path is a claim', () => {
    const { content, proven, coverage } = rhel(23)
    const path = 'PciRoot(0x0)/Pci(0x3,0x0)/Scsi(0x1,0x0)/HD(1,GPT,ef72374c-2630-46a1-88d6-082693781140,0x800,0x64000)/'
    expect(content).toMatchObject({ kind: 'image', image: { path: `${path}\\EFI\\redhat\\shimx64.efi` } })
    expect([proven, coverage]).toEqual(['none', undefined])
  })

  test('a text of GRUB, whose label is a claim', () => {
    const { content, proven, coverage } = rhel(28)
    expect(content).toEqual({ kind: 'boot-text', label: 'grub_cmd', text: 'set pager=1' })
    expect([proven, coverage?.rule]).toEqual(['value', 'text'])
  })

  test('a text of systemd-boot', () => {
    const { content, coverage } = described('arch-workstation')(24)
    expect(content).toMatchObject({ kind: 'boot-text', label: '' })
    expect(content.kind === 'boot-text' && content.text.endsWith(' l1tf=off')).toBe(true)
    expect(coverage?.rule).toBe('utf-16')
  })

  test('the name of a section', () => {
    expect(gentoo(57)).toMatchObject({
      content: { kind: 'boot-text', text: '.linux' },
      coverage: { rule: 'section-name' },
      proven: 'value',
    })
    expect(gentoo(58)).toMatchObject({ content: { kind: 'boot-text', text: '.linux' }, proven: 'none' })
  })

  test('the other kinds', () => {
    expect(rhel(8).content).toEqual({ kind: 'separator', error: false })
    expect(rhel(13).content).toEqual({ kind: 'text', text: 'Calling EFI Application from Boot Option' })
    expect(rhel(1).content).toEqual({ kind: 'text', text: 'GCE Virtual Firmware v1' })
    expect(rhel(22).content).toMatchObject({ kind: 'gpt', gpt: { partitions: { length: 2 } } })
    expect(gentoo(4).content.kind).toBe('firmware-blob')
    expect(gentoo(45).content).toMatchObject({ kind: 'handoff-tables', tables: { length: 1 } })
    expect(gentoo(66).content).toMatchObject({ kind: 'tagged', tagged: { tag: 0x8f3b22ec } })
    expect(rhel(2).content).toEqual({ kind: 'bytes' })
  })

  test('an error separator', () => {
    const measured = hash('sha256', u32le(1)) ?? new Uint8Array()
    const event: LogEvent = {
      index: 1,
      offsetBytes: 0,
      pcr: 0,
      type: EV.SEPARATOR,
      digests: [{ alg: 0x0b, digest: measured }],
      data: utf8('which error'),
    }
    const { content, coverage } = describeEvent(event, { bank: 'sha256', hash })
    expect(content).toEqual({ kind: 'separator', error: true })
    expect(coverage?.rule).toBe('error-separator')
  })
})

describe('devicePathText', () => {
  const end = fromHex('7fff0400')
  const node = (type: number, subtype: number, body: Uint8Array): Uint8Array =>
    concat(Uint8Array.of(type, subtype), u16le(4 + body.length), body)

  test.each<[string, Uint8Array]>([
    ['Pci(0x1F,0x2)', node(1, 1, Uint8Array.of(2, 0x1f))],
    ['Acpi(0xA0841D0,0x1)', node(2, 1, concat(u32le(0x0a0841d0), u32le(1)))],
    ['USB(0xB,0x0)', node(3, 5, Uint8Array.of(11, 0))],
    ['Sata(0x1,0xFFFF,0x0)', node(3, 18, concat(u16le(1), u16le(0xffff), u16le(0)))],
    ['NVMe(0x1,00-25-38-B3-11-B3-39-33)', node(3, 23, concat(u32le(1), fromHex('3339b311b3382500')))],
    ['Fv(5b1b31a1-9562-11d2-8e3f-00a0c969723b)', node(4, 7, guidBytes('5b1b31a1-9562-11d2-8e3f-00a0c969723b'))],
    ['\\EFI\\x.efi', node(4, 4, utf16('\\EFI\\x.efi\0'))],
    ['Path(4,4,5c00)', node(4, 4, utf16('\\'))],
    ['Path(9,9,01)', node(9, 9, Uint8Array.of(1))],
    ['Path(1,1,020300)', node(1, 1, Uint8Array.of(2, 3, 0))],
  ])('%s', (text, bytes) => {
    expect(devicePathText(concat(bytes, end))?.toLowerCase()).toBe(text.toLowerCase())
  })

  test('what is no path', () => {
    expect(devicePathText(node(1, 1, Uint8Array.of(2, 3)))).toBeUndefined()
    expect(devicePathText(concat(node(1, 1, Uint8Array.of(2)), end))).toBeUndefined()
    expect(devicePathText(concat(end, end))).toBeUndefined()
    expect(devicePathText(fromHex('010103007fff0400'))).toBeUndefined()
    expect(
      devicePathText(concat(...Array.from({ length: 65 }, () => node(1, 1, Uint8Array.of(0, 0))), end)),
    ).toBeUndefined()
  })
})

describe('structures of UEFI', () => {
  test('a GUID and its bytes', () => {
    const text = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
    expect(guidText(guidBytes(text))).toBe(text)
    expect(guidBytes(text)).toEqual(fromHex('61dfe48bca93d211aa0d00e098032b8c'))
  })

  test('nothing that is not exactly one', () => {
    expect(decodeBootOrder(Uint8Array.of(1, 0, 2))).toBeUndefined()
    expect(decodeLoadOption(concat(u32le(1), u16le(0), utf16('name')))).toBeUndefined()
    expect(decodeTaggedEvent(concat(u32le(1), u32le(2), Uint8Array.of(1, 2, 3)))).toBeUndefined()
    expect(decodeHandoffTables(concat(u32le(1), u32le(1)), false)).toBeUndefined()
    // Lists whose entries do not fill them, or have no room for an owner.
    const list = (bytes: number, entry: number): Uint8Array =>
      concat(new Uint8Array(16), u32le(bytes), u32le(0), u32le(entry), new Uint8Array(48))
    expect(decodeSignatureLists(list(76, 48))).toHaveLength(1)
    expect(decodeSignatureLists(list(76, 47))).toBeUndefined()
    expect(decodeSignatureLists(list(76, 16))).toBeUndefined()
    expect(decodeSignatureLists(list(20, 48))).toBeUndefined()
  })
})
