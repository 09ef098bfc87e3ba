/** Measured boot logs and lists of the Linux IMA, changed as bytes. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { hash as digest } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import {
  canonicalEventLog,
  compareRegisters,
  describeEvent,
  encodeEventLog,
  equal,
  EvidenceError,
  factsOf,
  hex,
  inconsistentImaEntries,
  parseEventLog,
  parseImaList,
  replayEventLog,
  replayImaList,
  type BankHash,
  type BankValues,
  type EventLog,
  type ImaList,
} from '@reprise/core'
import { mutateBytes } from '../mutate.ts'
import { pick } from '../random.ts'
import { unlessRefused, type FuzzTarget } from '../target.ts'

const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))
const folder = resolve(import.meta.dirname, '../../../vectors/event-log')
const IMA_PCR = 10
/** Changes of large logs find nothing that those of small ones do not, and take their time. */
const SAMPLE_BYTES_MAX = 36_000

function readSamples(isOfIma: boolean): Uint8Array[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('ima-') === isOfIma && name !== 'README.md')
    .map((name) => {
      const path = resolve(folder, name, 'input.bin')
      return new Uint8Array(existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`)))
    })
    .map((bytes) => bytes.subarray(0, isOfIma ? SAMPLE_BYTES_MAX : bytes.length))
    .filter((bytes) => bytes.length <= SAMPLE_BYTES_MAX)
}

/** The registers as a TPM would quote them that had extended what the log says. */
function quotedBy(log: EventLog): BankValues {
  return Object.fromEntries(
    replayEventLog(log, hash).banks.map(({ bank, registers }) => [
      bank,
      Object.fromEntries([...registers].map(([pcr, { value }]) => [pcr, value])),
    ]),
  )
}

/** All that facts say, without what the log claims beside it and without the numbers of events. */
function said(log: EventLog, quoted: BankValues): Map<string, string> {
  const comparison = compareRegisters({ log, replay: replayEventLog(log, hash), quoted, hash })
  const facts = factsOf({ log, comparison, hash })
  const text = (value: unknown): string =>
    JSON.stringify(value, (key, each: unknown) => (key === 'claimed' || key === 'event' ? undefined : each))
  const { secureBoot, applications, commandLines, files, sections } = facts
  const all = { secureBoot, applications, commandLines, files, sections }
  return new Map(Object.entries(all).flatMap(([name, fact]) => (fact.known ? [[name, text(fact.value)]] : [])))
}

export const eventLogs: FuzzTarget = {
  name: 'event-log',
  claim:
    'a changed event log is refused, or encodes to the same bytes and shows nothing else as true beside the true quote',
  byDay: 1200,
  prepare() {
    const logs = readSamples(false).flatMap((bytes) => {
      const log = unlessRefused(EvidenceError, () => parseEventLog(bytes))
      if (log === undefined) return [{ bytes, quoted: {}, truth: new Map<string, string>() }]
      const quoted = quotedBy(log)
      return [{ bytes, quoted, truth: said(log, quoted) }]
    })
    const others = logs.map(({ bytes }) => bytes)
    return Promise.resolve((random) => {
      const sample = pick(random, logs)
      const bytes = mutateBytes(random, sample.bytes, others)
      const log = unlessRefused(EvidenceError, () => parseEventLog(bytes))
      if (log === undefined) return
      strictEqual(equal(encodeEventLog(log), bytes), true, 'decoding and encoding changes it')
      for (const event of log.events) describeEvent(event, { bank: 'sha256', hash })
      canonicalEventLog({ firmware: log, hash })
      for (const [name, text] of said(log, sample.quoted))
        strictEqual(text, sample.truth.get(name), `${name} is another one`)
    })
  },
}

/** What the register stands for: file after file. Nothing is known of one that changed while it was measured. */
function measured(list: ImaList): string[] {
  return list.entries
    .filter(({ pcr, violation }) => pcr === IMA_PCR && !violation)
    .map(({ file, template }) => JSON.stringify({ template, file }, asHex))
}

export const imaLists: FuzzTarget = {
  name: 'ima-list',
  claim: 'a changed IMA list is refused, or replays to another register unless it says the same',
  byDay: 800,
  prepare() {
    const lists = readSamples(true)
    const valueOf = (list: ImaList): string => JSON.stringify(replayImaList({ list, bank: 'sha256', hash }), asHex)
    const truth = lists.map((bytes) => {
      const list = unlessRefused(EvidenceError, () => parseImaList(bytes))
      return list && { value: valueOf(list), measured: measured(list) }
    })
    return Promise.resolve((random) => {
      const index = random(lists.length)
      const list = unlessRefused(EvidenceError, () => parseImaList(mutateBytes(random, lists[index], lists)))
      if (list === undefined) return
      const known = truth[index]
      const value = valueOf(list)
      const names = inconsistentImaEntries(list, hash).length === 0 ? measured(list) : []
      if (known !== undefined && value === known.value && names.length > 0)
        deepStrictEqual(names, known.measured, 'the same register stands for other files')
    })
  },
}

function asHex(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? hex(value) : value
}
