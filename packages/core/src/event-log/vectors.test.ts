/** Logs of real machines against what others said of them: vectors/event-log. */

import { hash as digest } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { equal, fromHex, hex } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import {
  type BankHash,
  type BankName,
  type BankValues,
  compareRegisters,
  coveredImaEntries,
  encodeEventLog,
  inconsistentImaEntries,
  parseEventLog,
  parseImaList,
  type Replay,
  replayEventLog,
  replayImaList,
} from './index.ts'

type Values = Partial<Record<BankName, Record<string, string>>>

interface Expected {
  source?: Values
  secondReplay?: Values
  quoted?: Values
  secondOpinion?: Partial<Record<BankName, { match: number[]; differ: number[] }>>
  error?: string
  offsetBytes?: number
  event?: number
}

const folder = new URL('../../../../vectors/event-log/', import.meta.url)
const names = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
const expectedOf = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`${name}/expected.json`, folder), 'utf8')) as T
const logs = names.filter((name) => !name.startsWith('ima-'))

function inputOf(name: string): Uint8Array {
  const packed = new URL(`${name}/input.bin.gz`, folder)
  if (existsSync(packed)) return new Uint8Array(gunzipSync(readFileSync(packed)))
  return new Uint8Array(readFileSync(new URL(`${name}/input.bin`, folder)))
}

const NODE_NAMES: Record<BankName, string> = {
  sha1: 'sha1',
  sha256: 'sha256',
  sha384: 'sha384',
  sha512: 'sha512',
  sm3_256: 'sm3',
}
const hash: BankHash = (bank, data) => new Uint8Array(digest(NODE_NAMES[bank], data, 'buffer'))

function banksOf(values: Values): BankValues {
  return Object.fromEntries(
    Object.entries(values).map(([bank, registers]) => [
      bank,
      Object.fromEntries(Object.entries(registers).map(([pcr, value]) => [pcr, fromHex(value)])),
    ]),
  )
}

function replayed({ banks }: Replay): Values {
  return Object.fromEntries(
    banks.map(({ bank, registers }) => [
      bank,
      Object.fromEntries([...registers].sort(([a], [b]) => a - b).map(([pcr, { value }]) => [pcr, hex(value)])),
    ]),
  )
}

describe('parseEventLog and replayEventLog', () => {
  test.each(logs.filter((name) => !name.endsWith('_fail')))('%s', (name) => {
    const bytes = inputOf(name)
    const expected = expectedOf<Expected>(name)
    const log = parseEventLog(bytes)
    expect(equal(encodeEventLog(log), bytes)).toBe(true)
    const replay = replayEventLog(log, hash)
    const values = replayed(replay)
    for (const [bank, registers] of Object.entries(expected.source ?? {}) as [BankName, Record<string, string>][]) {
      for (const [pcr, value] of Object.entries(registers)) {
        const own = values[bank]?.[pcr]
        if (own !== undefined) expect([bank, pcr, own]).toEqual([bank, pcr, value])
      }
    }
    if (expected.secondReplay !== undefined) expect(values).toEqual(expected.secondReplay)
  })
})

describe('compareRegisters', () => {
  test.each(logs.filter((name) => name.startsWith('quoted-')))('%s', (name) => {
    const expected = expectedOf<Required<Expected>>(name)
    const log = parseEventLog(inputOf(name))
    const replay = replayEventLog(log, hash)
    const { registers } = compareRegisters({ log, replay, quoted: banksOf(expected.quoted), hash })
    const opinion: typeof expected.secondOpinion = {}
    for (const { bank, pcr, state, events } of registers) {
      if (events.length === 0) continue
      const { match, differ } = (opinion[bank] ??= { match: [], differ: [] })
      if (state.kind === 'equal') match.push(pcr)
      else differ.push(pcr)
    }
    expect(opinion).toEqual(expected.secondOpinion)
  })
})

describe('what is no log', () => {
  test.each(logs.filter((name) => name.endsWith('_fail')))('%s is refused', (name) => {
    const { error, offsetBytes, event } = expectedOf<Expected>(name)
    let refused: unknown
    try {
      parseEventLog(inputOf(name))
    } catch (thrown) {
      refused = thrown
    }
    expect(refused).toBeInstanceOf(EvidenceError)
    const { code, data } = refused as EvidenceError
    expect({ error: code, ...data }).toEqual({ error, offsetBytes, event })
  })
})

describe('IMA lists', () => {
  interface ImaExpected {
    sha1: { 10: string }
    sha256?: { 10: string }
    sha256_zero_padded_sha1?: { 10: string }
    expected_from_tpm?: Record<'sha1' | 'sha256', { 10: string }>
  }

  test.each(names.filter((name) => name.startsWith('ima-')))('%s', (name) => {
    const expected = expectedOf<ImaExpected>(name)
    const list = parseImaList(inputOf(name))
    expect(hex(replayImaList({ list, bank: 'sha1', hash })!)).toBe(expected.sha1[10])
    if (expected.sha256 !== undefined)
      expect(hex(replayImaList({ list, bank: 'sha256', hash })!)).toBe(expected.sha256[10])
    if (expected.sha256_zero_padded_sha1 !== undefined)
      expect(hex(replayImaList({ list, bank: 'sha256', hash, rule: 'padded-sha1' })!)).toBe(
        expected.sha256_zero_padded_sha1[10],
      )
    for (const [bank, value] of Object.entries(expected.expected_from_tpm ?? {})) {
      const quoted = fromHex(value[10])
      expect(coveredImaEntries({ list, bank: bank as BankName, hash, quoted })).toEqual({
        pcr: 10,
        bank,
        rule: 'own-digest',
        entries: list.entries.length,
        beyond: 0,
      })
    }
    expect(inconsistentImaEntries(list, hash)).toEqual([])
  })
})
