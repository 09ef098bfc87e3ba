/** The same logs read by tpm2_eventlog of tpm2-tools, event by event and register by register. */

import { hash as digest } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { hex } from '../bytes/index.ts'
import { type BankHash, eventTypeName, type EventLog, parseEventLog, replayEventLog } from './index.ts'

const folder = new URL('../../../../vectors/event-log/', import.meta.url)
const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))

/** Where its answer is known to be wrong; the README of each case says why. */
const WITHOUT_ANSWER = ['option-rom-ff-padded', 'x1carbon3-windows-tpm12', 'xeon-uefi-64k-ff-tail', 'short-no-action']
/** It extends EV_NO_ACTION events, and knows neither StartupLocality nor H-CRTM. */
const WRONG: Readonly<Record<string, number>> = {
  'gdc-host-server': 0,
  'glinux-laptop-locality3': 0,
  'keylime-host-locality3': 0,
  'locality-3': 0,
  'locality-late': 0,
  'quoted-dell-7520-windows-5logs-log0': 0,
  'quoted-dell-7520-windows-5logs-log1': 0,
  'quoted-dell-7520-windows-5logs-log2': 0,
  'quoted-dell-7520-windows-5logs-log3': 0,
  'quoted-dell-7520-windows-5logs-log4': 0,
  'quoted-x1carbon9-gentoo-good': 0,
  'quoted-x1carbon9-gentoo-pcr0-differs-a': 0,
  'secure-boot-not-extended': 7,
  'secure-boot-only-after-separator': 7,
  'server-hcrtm-sm3': 0,
  'sp800-155-gce-vm': 0,
  'x1carbon9-gentoo-2': 0,
}

const names = readdirSync(folder).filter((name) => !/^ima-|_fail$|README/.test(name) && !WITHOUT_ANSWER.includes(name))

interface Opinion {
  events: string[]
  registers: Record<string, Record<string, string>>
}

/** Its YAML, of which only lines of one form are needed. */
function parseOpinion(text: string): Opinion {
  const [events, registers] = text.split('\npcrs:\n')
  const values: Opinion['registers'] = {}
  let bank = ''
  for (const line of registers.split('\n')) {
    const [, name] = /^ {2}(\w+):$/.exec(line) ?? []
    const [, pcr, value] = /^ {4}(\d+) *: 0x([0-9a-f]+)$/.exec(line) ?? []
    if (name !== undefined) values[(bank = name)] = {}
    else if (pcr !== undefined) values[bank][pcr] = value
  }
  const each = events.split('\n  PCRIndex: ').slice(1)
  return { events: each.map(eventLine), registers: values }
}

function eventLine(event: string, index: number): string {
  // The one type in these logs that version 5.4 has no name for.
  const named = event.replace('Unknown event type', 'EV_EFI_HCRTM_EVENT')
  const field = (name: string): string => new RegExp(`^ +${name}: (.*)$`, 'm').exec(named)?.[1] ?? ''
  const digests = [...event.matchAll(/^ +Digest: "([0-9a-f]*)"$/gm)].map(([, value]) => value)
  return [index, event.split('\n')[0], field('EventType'), field('EventSize'), ...digests].join(' ')
}

function ownEvents({ events }: EventLog): string[] {
  return events.map(({ index, pcr, type, data, digests }) =>
    [index, pcr, eventTypeName(type), data.length, ...digests.map((each) => hex(each.digest))].join(' '),
  )
}

describe('tpm2_eventlog', () => {
  test.each(names)('agrees on %s', (name) => {
    const path = fileURLToPath(new URL(`${name}/input.bin`, folder))
    const tool = spawnSync('tpm2_eventlog', [path], { encoding: 'utf8', maxBuffer: 1 << 26 })
    expect([tool.error?.message, tool.status]).toEqual([undefined, 0])
    const opinion = parseOpinion(tool.stdout)
    const log = parseEventLog(new Uint8Array(readFileSync(path)))
    expect(ownEvents(log)).toEqual(opinion.events)
    for (const { bank, registers } of replayEventLog(log, hash).banks) {
      for (const [pcr, { value }] of registers) {
        if (pcr === WRONG[name]) continue
        expect([bank, pcr, hex(value)]).toEqual([bank, pcr, opinion.registers[bank]?.[String(pcr)]])
      }
    }
  })
})
