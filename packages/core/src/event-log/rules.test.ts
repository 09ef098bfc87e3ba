/** Rules as JSON, and words of a command line. What rules answer to logs: sample.test.ts. */

import { hash as digest } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { hex } from '../bytes/index.ts'
import { EvidenceError } from '../error.ts'
import { startValue } from './bank.ts'
import { fitsWords } from './command-line.ts'
import { RULE_DIGESTS_MAX, RULES_MAX } from './decode-rules.ts'
import {
  type BankHash,
  type BankValues,
  compareRegisters,
  decodeEventLogRules,
  evaluateRules,
  factsOf,
  parseEventLog,
  replayEventLog,
} from './index.ts'

const hash: BankHash = (bank, data) => new Uint8Array(digest(bank === 'sm3_256' ? 'sm3' : bank, data, 'buffer'))
const sha256 = `sha256:${'0a'.repeat(32)}`

describe('decodeEventLogRules', () => {
  const good = [
    { kind: 'secureBoot', state: 'on' },
    { kind: 'bootLoader', digests: [sha256, `sha384:${'00'.repeat(48)}`, `sm3_256:${'00'.repeat(32)}`] },
    { kind: 'kernel', digests: [] },
    { kind: 'files', digests: [sha256] },
    { kind: 'commandLine', compare: { kind: 'words', contains: ['ro'], lacks: [] } },
    { kind: 'pcr', bank: 'sha1', pcr: 0, value: '00'.repeat(20) },
    { kind: 'pcr', bank: 'sha256', pcr: 0, value: '00'.repeat(32) },
  ]

  test('reads every kind', () => {
    expect(decodeEventLogRules(good)).toEqual(good)
    expect(decodeEventLogRules([{ kind: 'commandLine', compare: { kind: 'exact', text: '' } }])).toHaveLength(1)
  })

  test.each<[string, unknown, string]>([
    ['what is no list', {}, 'STRUCTURE'],
    ['a kind of nobody', [{ kind: 'firmware' }], 'STRUCTURE'],
    ['a field of nobody', [{ kind: 'secureBoot', state: 'on', also: 1 }], 'STRUCTURE'],
    ['a state of nobody', [{ kind: 'secureBoot', state: 'maybe' }], 'STRUCTURE'],
    ['a second rule of a kind', [good[0], { kind: 'secureBoot', state: 'off' }], 'STRUCTURE'],
    ['a second value of a register', [good[5], good[5]], 'STRUCTURE'],
    ['a digest without its bank', [{ kind: 'kernel', digests: ['0a'.repeat(32)] }], 'STRUCTURE'],
    ['a digest too short', [{ kind: 'kernel', digests: [sha256.slice(0, -2)] }], 'STRUCTURE'],
    ['a digest in capitals', [{ kind: 'kernel', digests: [sha256.replaceAll('a', 'A')] }], 'STRUCTURE'],
    ['a register that there is not', [{ ...good[5], pcr: 24 }], 'STRUCTURE'],
    ['a value of another bank', [{ ...good[5], bank: 'sha256' }], 'STRUCTURE'],
    [
      'a word with a space',
      [{ kind: 'commandLine', compare: { kind: 'words', contains: ['a b'], lacks: [] } }],
      'STRUCTURE',
    ],
    ['no word at all', [{ kind: 'commandLine', compare: { kind: 'words', contains: [], lacks: [] } }], 'STRUCTURE'],
    ['too many rules', Array.from({ length: RULES_MAX + 1 }, () => good[0]), 'LIMIT'],
    ['too many digests', [{ kind: 'kernel', digests: Array<string>(RULE_DIGESTS_MAX + 1).fill(sha256) }], 'LIMIT'],
  ])('refuses %s', (_what, value, code) => {
    let refused: unknown
    try {
      decodeEventLogRules(value)
    } catch (error) {
      refused = error
    }
    expect(refused).toBeInstanceOf(EvidenceError)
    expect((refused as EvidenceError).code).toBe(code)
  })
})

describe('fitsWords', () => {
  const fits = (options: string, contains: string[], lacks: string[] = []): boolean | undefined =>
    fitsWords({ contains, lacks }, options)

  test.each<[string, string[], string[], boolean | undefined]>([
    ['root=/dev/sda ro', ['ro'], [], true],
    ['root=/dev/sda ro', ['rw'], [], false],
    ['root=/dev/sda rodata=off', ['ro'], [], false],
    ['a=1 a=2', ['a=1'], [], false],
    ['a=1 a=2', ['a=1', 'a=2'], [], true],
    ['ima-appraise=fix', ['ima_appraise=fix'], [], true],
    ['ima_appraise=enforce ima-appraise=off', ['ima_appraise=enforce'], [], false],
    ['quiet -- ro', ['ro'], [], false],
    ['quiet -- init=/x', ['quiet'], ['init=/x'], false],
    ['quiet\tinit=/x', ['quiet'], ['init=/x'], false],
    ['quiet "init=/x"', ['quiet'], ['init=/x'], undefined],
    ['quiet x=\\"', ['quiet'], [], undefined],
    ['quiet\u00a0init=/x', ['quiet'], ['init=/x'], undefined],
    ['', [], ['x'], true],
  ])('%s', (options, contains, lacks, answer) => {
    expect(fits(options, contains, lacks)).toBe(answer)
  })
})

describe('rules for registers and lists', () => {
  const folder = new URL('../../../../vectors/event-log/honest/', import.meta.url)
  const log = parseEventLog(new Uint8Array(readFileSync(new URL('input.bin', folder))))
  const replay = replayEventLog(log, hash)
  const quoted: BankValues = Object.fromEntries(
    replay.banks.map(({ bank, registers }) => [
      bank,
      Object.fromEntries([...registers].map(([pcr, { value }]) => [pcr, value])),
    ]),
  )
  const facts = factsOf({ log, comparison: compareRegisters({ log, replay, quoted, hash }), hash })
  const answer = (rules: unknown): string[] =>
    evaluateRules({ rules: decodeEventLogRules(rules), facts, quoted, hash }).map((each) => each.answer)
  const pcr7 = hex(quoted.sha256![7])

  test('a register is what was quoted, another one, or not quoted', () => {
    expect(answer([{ kind: 'pcr', bank: 'sha256', pcr: 7, value: pcr7 }])).toEqual(['met'])
    expect(answer([{ kind: 'pcr', bank: 'sha256', pcr: 6, value: pcr7 }])).toEqual(['unmet'])
    expect(answer([{ kind: 'pcr', bank: 'sha256', pcr: 23, value: pcr7 }])).toEqual(['unknown'])
    expect(answer([{ kind: 'pcr', bank: 'sha384', pcr: 7, value: `${pcr7}${pcr7.slice(32)}` }])).toEqual(['unknown'])
  })

  test('a list of other banks leaves the question open, an empty one does not', () => {
    const other = [`sha384:${'00'.repeat(48)}`]
    expect(answer([{ kind: 'bootLoader', digests: other }])).toEqual(['unknown'])
    expect(answer([{ kind: 'kernel', digests: other }])).toEqual(['unknown'])
    expect(answer([{ kind: 'bootLoader', digests: [] }])).toEqual(['unmet'])
    expect(answer([{ kind: 'kernel', digests: [] }])).toEqual(['unmet'])
  })

  test('registers that a fact needs and nobody quoted leave it unknown', () => {
    expect(facts.commandLines).toMatchObject({ known: false, why: 'PCR 11 of bank sha256 was not quoted' })
    expect(facts.secureBoot.known).toBe(true)
  })

  test('SHA-1 serves where that is accepted', () => {
    const legacy = parseEventLog(new Uint8Array(readFileSync(new URL('../windows-gcp-vm/input.bin', folder))))
    const registers = replayEventLog(legacy, hash).banks[0].registers
    const values = { sha1: Object.fromEntries([...registers].map(([pcr, { value }]) => [pcr, value])) }
    const comparison = compareRegisters({ log: legacy, replay: replayEventLog(legacy, hash), quoted: values, hash })
    expect(factsOf({ log: legacy, comparison, hash }).secureBoot.known).toBe(false)
    expect(factsOf({ log: legacy, comparison, hash, sha1: 'accept' }).secureBoot).toMatchObject({ value: 'on' })
  })

  test('a start that the log does not say is named', () => {
    const started = parseEventLog(new Uint8Array(readFileSync(new URL('../locality-3/input.bin', folder))))
    const value = replayEventLog(started, hash).banks[1].registers.get(0)!.value
    const { registers } = compareRegisters({ log, replay, quoted: { sha256: { 0: value } }, hash })
    expect(registers[0].state).toEqual({ kind: 'other-start', locality: 3 })
  })

  test('registers without events, and banks without a log', () => {
    const zero = new Uint8Array(32)
    const { registers, notQuoted, firstMisfit } = compareRegisters({
      log,
      replay,
      quoted: {
        sha256: { 15: zero, 16: zero.slice().fill(1), 17: zero.slice().fill(0xff) },
        sha384: { 0: new Uint8Array(48) },
      },
      hash,
    })
    expect(registers.map(({ pcr, state }) => [pcr, state.kind])).toEqual([
      [15, 'untouched'],
      [16, 'unlogged'],
      [17, 'untouched'],
      [0, 'no-bank'],
    ])
    expect(notQuoted).toHaveLength(20)
    expect(firstMisfit).toBeUndefined()
    const short = parseEventLog(new Uint8Array(readFileSync(new URL('../short-no-action/input.bin', folder))))
    const started = { sha1: { 0: startValue('sha1', 0, 3) } }
    expect(
      compareRegisters({ log: short, replay: replayEventLog(short, hash), quoted: started, hash }).registers[0].state
        .kind,
    ).toBe('untouched')
  })
})
