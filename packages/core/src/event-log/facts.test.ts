/** Facts of real machines, beside the registers that their logs replay to. */

import { hash as digest } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  type BankHash,
  type BankValues,
  type BootFacts,
  compareRegisters,
  factsOf,
  parseEventLog,
  replayEventLog,
} from './index.ts'
import { startValue } from './bank.ts'

const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))

function factsOfVector(name: string): BootFacts {
  const path = new URL(`../../../../vectors/event-log/${name}/input.bin`, import.meta.url)
  const log = parseEventLog(new Uint8Array(readFileSync(path)))
  const replay = replayEventLog(log, hash)
  const quoted: BankValues = Object.fromEntries(
    replay.banks.map(({ bank, registers }) => {
      const values = Array.from({ length: 24 }, (_, pcr) => registers.get(pcr)?.value ?? startValue(bank, pcr))
      return [bank, Object.fromEntries(values.map((value, pcr) => [pcr, value]))]
    }),
  )
  return factsOf({ log, comparison: compareRegisters({ log, replay, quoted, hash }), hash, sha1: 'accept' })
}

describe('factsOf', () => {
  test.each<[string, 'on' | 'off' | RegExp]>([
    ['rhel8-gce-vm', 'on'],
    ['sp800-155-gce-vm', 'on'],
    ['quoted-hpe-dl160-ubuntu', 'on'],
    ['x1carbon9-gentoo-2', 'on'],
    ['windows-gcp-vm', 'on'],
    ['gdc-host-server', 'off'],
    ['supermicro-h12ssl', 'off'],
    ['keylime-host-locality3', 'off'],
    ['glinux-laptop-locality3', 'off'],
    ['arch-workstation', /neither 0 nor 1/],
    ['nuc-sha1-legacy', /neither 0 nor 1/],
    // An old shim that measures something else than it logs.
    ['cos85-sev-vm', /not what was measured/],
    ['debian10-gce-vm-legacy', /not what was measured/],
    ['laptop-postcode', /not what was measured/],
    ['short-no-action', /PCR 7 has no separator/],
  ])('Secure Boot of %s', (name, expected) => {
    const { secureBoot } = factsOfVector(name)
    if (typeof expected === 'string') expect(secureBoot).toMatchObject({ known: true, value: expected })
    else expect(secureBoot).toMatchObject({ known: false, why: expect.stringMatching(expected) as string })
  })

  test.each<[string, number[]]>([
    ['rhel8-gce-vm', [23, 26, 77]],
    ['cos85-sev-vm', [22, 23, 41]],
    ['supermicro-h12ssl', [33, 37]],
    ['arch-workstation', [22, 23]],
    ['x1carbon9-gentoo-2', [49, 56]],
    ['windows-gcp-vm', [9]],
    // The firmware started something of its own before the separator.
    ['keylime-host-locality3', [26, 52, 57]],
  ])('what %s started', (name, events) => {
    const { applications } = factsOfVector(name)
    expect(applications.known && applications.value.map(({ event }) => event)).toEqual(events)
  })

  test.each<[string, string | undefined, RegExp]>([
    [
      'rhel8-gce-vm',
      '(hd0,gpt2)/boot/vmlinuz-4.18.0-240.22.1.el8_3.x86_64',
      /^root=UUID=f3948fb4.* console=ttyS0,38400n8$/,
    ],
    ['supermicro-h12ssl', '/boot/vmlinuz-5.15.0-46-generic', /^root=UUID=.* ro ima_appraise=off .* vt\.handoff=7$/],
    ['cos85-sev-vm', '/syslinux/vmlinuz.A', /^init=\/usr\/lib\/systemd\/systemd .*"dm=1 vroot none ro .*"$/],
    ['server-hcrtm-sm3', '/vmlinuz-5.4.18-csv', /^root=UUID=/],
    ['arch-workstation', undefined, /^initrd=\\intel-ucode\.img .* l1tf=off$/],
  ])('the command line of %s', (name, image, options) => {
    const { commandLines } = factsOfVector(name)
    expect(commandLines).toMatchObject({
      known: true,
      value: [{ kind: 'text', image, options: expect.stringMatching(options) as string }],
    })
  })

  test('a command line that GRUB did not measure', () => {
    const { commandLines } = factsOfVector('xeon-uefi-64k-ff-tail')
    expect(commandLines).toMatchObject({ known: false, why: expect.stringMatching(/may not have measured/) as string })
  })

  test('sections of a unified kernel image', () => {
    const { sections, commandLines } = factsOfVector('x1carbon9-gentoo-2')
    expect(sections.known && sections.value.map(({ name }) => name)).toEqual([
      '.linux',
      '.osrel',
      '.cmdline',
      '.initrd',
    ])
    expect(commandLines).toMatchObject({ known: true, value: [{ kind: 'section', event: 62 }] })
  })

  test('what Windows measures in PCR 11 and 12 is no section and no text', () => {
    const { sections, commandLines } = factsOfVector('windows-gcp-vm')
    expect([sections.known, commandLines.known]).toEqual([false, false])
  })
})
