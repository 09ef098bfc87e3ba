import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, hex, utf8 } from '../bytes/index.ts'
import { allMet, evaluateHostRules, type HostLogs, assessHost, quotedOf, wantedRegisters } from './index.ts'
import { decodeHostRules, type HostRules } from './host-rules.ts'
import { measurerOf, weaker } from './measurer.ts'
import { decodeOwnLog, encodeOwnLog, OWN_LOG_PCR, ownLogValues, type OwnLog } from './own-log.ts'

const hash = (algorithm: string, data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash(algorithm).update(data).digest())
const sha256 = (data: Uint8Array): Uint8Array => hash('sha256', data)
const digest = (text: string): string => hex(sha256(utf8(text)))

const log: OwnLog = {
  begin: { kind: 'begin', register: '00'.repeat(32), resetCount: 3, restartCount: 0 },
  measurements: [
    { kind: 'node', sha256: digest('node'), v8: '14', version: '26' },
    { kind: 'rewriter', version: '1' },
  ],
}

describe('the own log', () => {
  test('decodes to what was encoded, and its digests replay', () => {
    const bytes = utf8(encodeOwnLog(log, sha256))
    expect(decodeOwnLog(bytes, sha256)).toEqual(log)
    expect(ownLogValues(log, sha256)).toHaveLength(4)
  })

  test('with one byte changed is refused or says something else in its digests', () => {
    const bytes = utf8(encodeOwnLog(log, sha256))
    const end = hex(ownLogValues(log, sha256).at(-1) as Uint8Array)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const changed = bytes.map((byte, i) => (i === at ? byte ^ bits : byte))
        let read: OwnLog
        try {
          read = decodeOwnLog(changed, sha256)
        } catch {
          return
        }
        expect(hex(ownLogValues(read, sha256).at(-1) as Uint8Array)).not.toBe(end)
      }),
    )
  })

  test.each([
    ['no beginning', log.measurements.map((content) => ({ content }))],
    ['nothing', []],
  ])('with %s is refused', (_what, contents) => {
    expect(() => decodeOwnLog(utf8(JSON.stringify(contents)), sha256)).toThrow('$')
  })
})

describe('decodeHostRules', () => {
  const whole: HostRules = {
    engines: [digest('engine')],
    eventLog: [{ kind: 'secureBoot', state: 'on' }],
    onChange: 'stop',
    pcrs: { sha256: { '7': digest('7') } },
    tier: 'hardware',
  }

  test('reads what it should', () => {
    expect(decodeHostRules(structuredClone(whole))).toEqual(whole)
    expect(decodeHostRules({ onChange: 'record', tier: 'software' })).toEqual({ onChange: 'record', tier: 'software' })
  })

  test.each([
    ['nothing demanded', { onChange: 'stop' }, 'demands nothing'],
    ['no onChange', { tier: 'hardware' }, 'onChange is missing'],
    ['another onChange', { ...whole, onChange: 'ignore' }, 'onChange'],
    ['an unknown field', { ...whole, also: 1 }, '$.also'],
    ['a tier that there is not', { ...whole, tier: 'quantum' }, 'tier'],
    ['no register', { ...whole, pcrs: { sha256: {} } }, 'is empty'],
    ['a register too high', { ...whole, pcrs: { sha256: { '24': digest('x') } } }, 'register'],
    ['a register written otherwise', { ...whole, pcrs: { sha256: { '07': digest('x') } } }, 'register'],
    ['another bank', { ...whole, pcrs: { sha1: {} } }, 'sha1'],
    ['a value of another length', { ...whole, pcrs: { sha256: { '7': '00' } } }, '64 hex digits'],
    ['no engine', { ...whole, engines: [] }, 'is empty'],
    ['an engine that is no digest', { ...whole, engines: ['sha256:00'] }, 'engines[0]'],
    ['no rule', { ...whole, eventLog: [] }, 'is empty'],
    [
      'a rule for a register of SHA-1',
      { ...whole, eventLog: [{ bank: 'sha1', kind: 'pcr', pcr: 7, value: '00'.repeat(20) }] },
      'the one bank',
    ],
    ['a list', [], 'not an object'],
  ])('refuses %s', (_what, value, message) => {
    expect(() => decodeHostRules(value)).toThrow(message)
  })
})

const absent = { kind: 'absent', why: 'there is none' } as const
const logs: HostLogs = { boot: absent, ima: absent, own: { kind: 'read', log } }
const zeros = Object.fromEntries(Array.from({ length: 8 }, (_, pcr) => [pcr, '00'.repeat(32)]))
const own = hex(ownLogValues(log, sha256).at(-1) as Uint8Array)
const power = { resetCount: 3, restartCount: 0 }

describe('assessHost', () => {
  const stateOf = (register: string, counts = power, of: HostLogs = logs) =>
    assessHost(of, quotedOf({ ...zeros, [OWN_LOG_PCR]: register }, counts), hash).own

  test('finds the own log in its register, from its start', () => {
    expect(stateOf(own)).toMatchObject({ kind: 'replays', from: 'start' })
  })

  test('does not take another value, power cycle, or a quote without the register', () => {
    expect(stateOf('11'.repeat(32))).toMatchObject({ kind: 'differs', why: expect.stringContaining('replays to') })
    expect(stateOf(own, { ...power, resetCount: 4 })).toMatchObject({ kind: 'differs' })
    expect(stateOf(own, { ...power, restartCount: 1 })).toMatchObject({ kind: 'differs' })
    expect(assessHost(logs, quotedOf(zeros, power), hash).own).toMatchObject({ kind: 'differs' })
  })

  test('says when something was extended before it', () => {
    const later: OwnLog = { ...log, begin: { ...log.begin, register: '22'.repeat(32) } }
    const value = hex(ownLogValues(later, sha256).at(-1) as Uint8Array)
    const of: HostLogs = { ...logs, own: { kind: 'read', log: later } }
    expect(stateOf(value, power, of)).toMatchObject({ kind: 'replays', from: 'unknown' })
  })
})

test('wantedRegisters are those of firmware, logs and rules', () => {
  expect(wantedRegisters({ boot: absent, ima: absent, own: absent }, undefined)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  const rules = decodeHostRules({ onChange: 'stop', pcrs: { sha256: { '23': digest('x') } } })
  expect(wantedRegisters(logs, rules)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 13, 23])
})

describe('measurerOf', () => {
  const all: HostRules = {
    engines: [digest('engine')],
    eventLog: [
      { digests: [], kind: 'bootLoader' },
      { digests: [], kind: 'kernel' },
      { compare: { kind: 'exact', text: '' }, kind: 'commandLine' },
    ],
    onChange: 'stop',
  }
  const data = concat(
    Uint8Array.of(40, 0, 0, 0),
    utf8('sha256:\0'),
    fromHex(digest('node')),
    Uint8Array.of(2, 0, 0, 0),
    utf8('n\0'),
  )
  const entry = {
    index: 0,
    pcr: 10,
    templateDigest: hash('sha1', data),
    template: 'ima-ng',
    templateData: data,
    violation: false,
    file: { algorithm: 'sha256', digest: fromHex(digest('node')), name: 'n', signature: new Uint8Array() },
  }
  const coverage = { pcr: 10, bank: 'sha256', rule: 'own-digest', entries: 1, beyond: 0 } as const
  const good = {
    tier: 'hardware',
    state: {
      boot: {
        kind: 'read',
        comparison: { registers: [], notQuoted: [], firstMisfit: undefined },
        facts: {},
        misfits: [],
      },
      own: { kind: 'replays', log, from: 'start' },
    },
    reader: { rules: all, isMet: true },
    ima: {
      state: { kind: 'read', entries: 1, coverage },
      list: { kind: 'read', log: { form: 'binary', entries: [entry] } },
    },
  } as unknown as Parameters<typeof measurerOf>[0]
  type Asked = typeof good

  test('is runtime where all of it holds', () => {
    expect(measurerOf(good)).toMatchObject({ measurer: 'runtime' })
  })

  const bootOnly: readonly (readonly [string, Partial<Asked>])[] = [
    ['without a list', { ima: { state: absent, list: absent } }],
    [
      'with a list that the register does not hold',
      { ima: { ...good.ima, state: { kind: 'read', entries: 1, coverage: undefined } } },
    ],
    [
      'bound by SHA-1',
      { ima: { ...good.ima, state: { kind: 'read', entries: 1, coverage: { ...coverage, rule: 'padded-sha1' } } } },
    ],
    [
      'with the engine only behind what is covered',
      { ima: { ...good.ima, state: { kind: 'read', entries: 1, coverage: { ...coverage, entries: 0 } } } },
    ],
    [
      'with a violation',
      {
        ima: { ...good.ima, list: { kind: 'read', log: { form: 'binary', entries: [{ ...entry, violation: true }] } } },
      },
    ],
    [
      'of other files',
      {
        ima: { ...good.ima, list: { kind: 'read', log: { form: 'binary', entries: [{ ...entry, file: undefined }] } } },
      },
    ],
  ]
  test.each(bootOnly)('is boot %s', (_what, change) => {
    expect(measurerOf({ ...good, ...change })).toMatchObject({ measurer: 'boot' })
  })

  const without = (kind: string): HostRules => ({
    ...all,
    eventLog: (all.eventLog ?? []).filter((rule) => rule.kind !== kind),
  })
  const { engines: _engines, ...withoutEngines } = all
  const words: HostRules = {
    ...all,
    eventLog: [
      ...(without('commandLine').eventLog ?? []),
      { compare: { contains: ['ro'], kind: 'words', lacks: [] }, kind: 'commandLine' },
    ],
  }
  const nothing: readonly (readonly [string, Partial<Asked>])[] = [
    ['of a software TPM', { tier: 'software' }],
    ['without rules of the reader', { reader: undefined }],
    ['that does not meet them', { reader: { rules: all, isMet: false } }],
    ['with any boot loader', { reader: { rules: without('bootLoader'), isMet: true } }],
    ['with any kernel', { reader: { rules: without('kernel'), isMet: true } }],
    ['with any command line', { reader: { rules: without('commandLine'), isMet: true } }],
    ['with a command line that is not pinned', { reader: { rules: words, isMet: true } }],
    ['with any engine', { reader: { rules: withoutEngines, isMet: true } }],
    ['without a boot log', { state: { ...good.state, boot: absent } }],
    [
      'with a boot log that does not fit',
      { state: { ...good.state, boot: { ...good.state.boot, misfits: [{}] } as unknown as Asked['state']['boot'] } },
    ],
    ['whose own log does not hold', { state: { ...good.state, own: { kind: 'differs', log, why: '' } } }],
    ['whose own log began late', { state: { ...good.state, own: { kind: 'replays', log, from: 'unknown' } } }],
  ]
  test.each(nothing)('is unmeasured: a host %s', (_what, change) => {
    expect(measurerOf({ ...good, ...change })).toMatchObject({ measurer: 'unmeasured' })
  })

  test('is the weaker of two attestations', () => {
    const [boot, none] = [{ measurer: 'boot', why: 'a' } as const, { measurer: 'unmeasured', why: 'b' } as const]
    expect([weaker(boot, none), weaker(none, boot), weaker(boot, boot)]).toEqual([none, none, boot])
  })
})

test('evaluateHostRules answers each rule, and unknown is not met', () => {
  const quoted = quotedOf({ ...zeros, [OWN_LOG_PCR]: own }, power)
  const host = {
    state: assessHost(logs, quoted, hash),
    quoted,
    tier: { name: 'firmware', isKnown: true },
    hash,
  } as const
  const ask = (rules: object) => evaluateHostRules(decodeHostRules({ onChange: 'stop', ...rules }), host)
  expect(ask({ tier: 'firmware' })).toMatchObject([{ answer: 'met' }])
  expect(ask({ tier: 'hardware' })).toMatchObject([{ answer: 'unmet', at: 'tier' }])
  const stranger = { ...host, tier: { name: 'software', isKnown: false } } as const
  expect(evaluateHostRules({ onChange: 'stop', tier: 'firmware' }, stranger)).toMatchObject([{ answer: 'unknown' }])
  expect(ask({ pcrs: { sha256: { '7': '00'.repeat(32), '14': '00'.repeat(32) } } })).toMatchObject([
    { answer: 'met', at: 'pcrs.sha256.7' },
    { answer: 'unknown', at: 'pcrs.sha256.14' },
  ])
  const boot = ask({
    eventLog: [
      { kind: 'secureBoot', state: 'on' },
      { bank: 'sha256', kind: 'pcr', pcr: 1, value: '00'.repeat(32) },
    ],
  })
  expect(boot).toMatchObject([{ answer: 'unknown', found: 'there is none' }, { answer: 'met' }])
  // Node is listed and no engine was measured.
  expect(ask({ engines: [digest('node')] })).toMatchObject([{ answer: 'unknown', found: 'no engine was measured' }])
  expect(allMet(boot)).toBe(false)
})
