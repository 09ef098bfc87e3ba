/** What holds for every log: reading never fails in another way than it may, and a changed log shows nothing else as true. */

import { hash as digest } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, equal, hex, utf8 } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import type { BankHash, BankValues } from './bank.ts'
import { devicePathText } from './device-path.ts'
import {
  type BootFacts,
  compareRegisters,
  describeEvent,
  encodeEventLog,
  EV,
  type EventLog,
  type Fact,
  factsOf,
  parseEventLog,
  parseImaList,
  replayEventLog,
  replayImaList,
} from './index.ts'
import { u32le } from './little-endian.ts'
import { boot, sampleLog, type SampleEvent, sampleHeader } from './sample-logs.ts'
import { decodeGpt, decodeHandoffTables, decodeLoadOption, decodeSignatureLists, decodeVariable } from './uefi.ts'

const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))
/** Of the runs that fit into the inner loop. */
const MORE = process.env['REPRISE_TESTS'] === 'nightly' ? 50 : 1

const folder = new URL('../../../../vectors/event-log/', import.meta.url)
const read = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`${name}/input.bin`, folder)))
const real = readdirSync(folder).filter((name) => /^(arch|rhel8|cos85|nuc|server|x1carbon3|short|ima-t)/.test(name))

/** Undefined where the bytes are refused, as they may be. */
function tried<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    expect(error).toBeInstanceOf(EvidenceError)
    expect((error as EvidenceError).data).toHaveProperty('offsetBytes')
    return undefined
  }
}

function readWhole(bytes: Uint8Array): EventLog | undefined {
  const log = tried(() => parseEventLog(bytes))
  if (log === undefined) return undefined
  expect(equal(encodeEventLog(log), bytes)).toBe(true)
  for (const event of log.events) describeEvent(event, { bank: 'sha256', hash })
  const replay = replayEventLog(log, hash)
  factsOf({ log, comparison: compareRegisters({ log, replay, quoted: {}, hash }), hash })
  return log
}

/** Some bytes of `bytes` set to others. */
function changedBytes(bytes: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  const changed = bytes.slice()
  for (const [at, value] of changes) changed[at % changed.length] = value
  return changed
}

const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })

describe('any bytes', () => {
  test('are read or refused as a log', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void readWhole(bytes)))
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        (bytes) => void readWhole(concat(sampleHeader(['sha256']), bytes)),
      ),
    )
  })

  test('are read or refused as an IMA list', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom('', '10 ', '\n\0\0\0'), (bytes, start) => {
        const list = tried(() => parseImaList(concat(utf8(start), bytes)))
        if (list !== undefined) replayImaList({ list, bank: 'sha256', hash })
      }),
    )
  })

  test('are read or not as a structure of UEFI', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map((rest) => concat(new Uint8Array(16), u32le(4), u32le(0), u32le(9), rest)),
    )
    fc.assert(
      fc.property(bytes, (each) => {
        for (const decode of [devicePathText, decodeVariable, decodeSignatureLists, decodeLoadOption, decodeGpt])
          decode(each)
        decodeHandoffTables(each, true)
      }),
    )
  })
})

describe('a log of a machine with some bytes changed', () => {
  test.each(real)('%s is read or refused', (name) => {
    const bytes = read(name)
    fc.assert(
      fc.property(changes, fc.nat(), (change, cut) => {
        const changed = changedBytes(bytes, change)
        if (name.startsWith('ima-')) void tried(() => parseImaList(changed))
        else {
          readWhole(changed)
          readWhole(changed.subarray(0, cut % changed.length))
        }
      }),
      { numRuns: 15 * MORE },
    )
  })
})

const anyEvent: fc.Arbitrary<SampleEvent> = fc.record({
  pcr: fc.nat({ max: 23 }),
  type: fc.oneof(fc.constantFrom(...Object.values(EV)), fc.nat({ max: 0xffffffff })),
  data: fc.uint8Array({ maxLength: 80 }),
  measured: fc.uint8Array({ minLength: 1, maxLength: 8 }),
})

test('decoding a log and encoding it gives the same bytes', () => {
  fc.assert(
    fc.property(
      fc.array(anyEvent, { maxLength: 12 }),
      fc.constantFrom(0, 0xff),
      fc.nat({ max: 90 }),
      (truth, filling, length) => {
        // An event whose every byte is zero is filling, so the last one is none.
        const last: SampleEvent = { pcr: 7, type: EV.SEPARATOR, data: utf8('end') }
        const log = sampleLog({ truth: [...truth, last] }, hash)
        const bytes = concat(log, new Uint8Array(length).fill(filling))
        const parsed = parseEventLog(bytes)
        expect(equal(encodeEventLog(parsed), bytes)).toBe(true)
        expect(parsed.events).toHaveLength(truth.length + 2)
        expect(parsed.tail).toHaveLength(length)
      },
    ),
  )
})

function quotedBy(log: EventLog): BankValues {
  const { banks } = replayEventLog(log, hash)
  return Object.fromEntries(
    banks.map(({ bank, registers }) => {
      const empty = hash(bank, new Uint8Array())?.length ?? 0
      const values = Array.from({ length: 17 }, (_, pcr) => registers.get(pcr)?.value ?? new Uint8Array(empty))
      return [bank, Object.fromEntries(values.map((value, pcr) => [pcr, value]))]
    }),
  )
}

/** What a fact says, without what the log claims beside it and without the numbers of events. */
function said(facts: BootFacts): Record<string, string | undefined> {
  const text = <T>(fact: Fact<T>): string | undefined =>
    fact.known
      ? JSON.stringify(fact.value, (key, value: unknown) => (key === 'claimed' || key === 'event' ? undefined : value))
      : undefined
  const { secureBoot, applications, commandLines, files, sections } = facts
  return {
    secureBoot: text(secureBoot),
    applications: text(applications),
    commandLines: text(commandLines),
    files: text(files),
    sections: text(sections),
  }
}

describe('a changed log beside the true quote', () => {
  const logs = [
    ...['arch-workstation', 'rhel8-gce-vm', 'cos85-sev-vm', 'x1carbon9-gentoo-2', 'supermicro-h12ssl'].map(read),
    sampleLog({ banks: ['sha256'], truth: boot({}) }, hash),
  ]

  function factsBeside(log: EventLog, quoted: BankValues): BootFacts {
    return factsOf({
      log,
      comparison: compareRegisters({ log, replay: replayEventLog(log, hash), quoted, hash }),
      hash,
    })
  }

  test.each(logs.map((bytes, i) => [i, bytes] as const))('shows what is true or less: log %i', (_i, bytes) => {
    const log = parseEventLog(bytes)
    const quoted = quotedBy(log)
    const truth = said(factsBeside(log, quoted))
    expect(Object.values(truth).some((each) => each !== undefined)).toBe(true)
    fc.assert(
      fc.property(changes, (change) => {
        const changed = tried(() => parseEventLog(changedBytes(bytes, change)))
        if (changed === undefined) return
        for (const [name, text] of Object.entries(said(factsBeside(changed, quoted))))
          if (text !== undefined) expect([name, text]).toEqual([name, truth[name]])
      }),
      { numRuns: 60 * MORE },
    )
  })

  test('a byte that changes no register stands in data, a type, the last size, or beside the events', () => {
    const bytes = sampleLog({ banks: ['sha256'], truth: boot({}) }, hash)
    const values = (log: EventLog): string =>
      replayEventLog(log, hash)
        .banks.flatMap(({ registers }) => [...registers].map(([pcr, { value }]) => `${pcr}:${hex(value)}`))
        .sort()
        .join()
    const truth = parseEventLog(bytes)
    const free = new Set<number>(Array.from({ length: sampleHeader(['sha256']).length }, (_, i) => i))
    for (const { offsetBytes, data } of truth.events.slice(1)) {
      for (let i = 0; i < 4; i++) free.add(offsetBytes + 4 + i)
      const start = offsetBytes + 4 + 4 + 4 + 2 + 32 + 4
      for (let i = 0; i < data.length; i++) free.add(start + i)
    }
    // The last data end with a zero, and zeros behind the last event are none.
    const lastSize = bytes.length - 4 - truth.events[truth.events.length - 1].data.length
    free.add(lastSize)
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, difference) => {
        const changed = tried(() => parseEventLog(changedBytes(bytes, [[at, bytes[at] ^ difference]])))
        if (changed !== undefined && values(changed) === values(truth)) expect(free.has(at)).toBe(true)
      }),
      { numRuns: 600 * MORE, examples: [[lastSize, 1]] },
    )
  })
})
