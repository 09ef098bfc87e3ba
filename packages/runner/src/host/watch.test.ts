import { createHash } from 'node:crypto'
import {
  encodeTpmsAttest,
  engineDigest,
  hex,
  ownLogValues,
  TPM_ALG,
  TPM_ST,
  type Attestation,
  type HostLogs,
  type HostRules,
  type OwnLog,
} from '@reprise/core'
import { describe, expect, test } from 'vitest'
import { refusedHost, watchHost } from './watch.ts'

const sha256 = (data: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(data).digest())
const absent = { kind: 'absent', why: 'there is none' } as const
const logs: HostLogs = { boot: absent, ima: absent, own: absent }
const GOOD = '00'.repeat(32)
const BAD = '11'.repeat(32)

function receipt(seq: number, pcr7: string, restartCount = 0, others: Record<string, string> = {}): Attestation {
  const attest = encodeTpmsAttest({
    type: TPM_ST.ATTEST_QUOTE,
    qualifiedSigner: new Uint8Array(34),
    extraData: new Uint8Array(32),
    clockInfo: { clock: BigInt(seq), resetCount: 1, restartCount, safe: true },
    firmwareVersion: 1n,
    attested: { pcrSelect: [{ hash: TPM_ALG.SHA256, pcrs: [7] }], pcrDigest: new Uint8Array(32) },
  })
  const batch = { count: 1, index: 0, path: [], seq: String(seq) }
  return { attempt: 1, attest: hex(attest), batch, pcrs: { sha256: { '7': pcr7, ...others } }, seq, signature: '00' }
}

function watch(onChange: HostRules['onChange'], isRequired = true, rules?: HostRules) {
  const said: string[] = []
  const demanded = rules ?? { onChange, pcrs: { sha256: { '7': GOOD } } }
  const watching = watchHost({
    rules: demanded,
    logs,
    tier: { name: 'software', isKnown: true },
    isRequired,
    onTrouble: (message) => said.push(message),
  })
  return { ...watching, said }
}

describe('watchHost', () => {
  test('goes on as long as the rules are met', () => {
    const { look, stopped } = watch('stop')
    expect([0, 1, 2].map((seq) => look(receipt(seq, GOOD)))).toEqual(['go', 'go', 'go'])
    expect(stopped()).toBeUndefined()
  })

  test('stops at the first receipt that shows another host, and says which rule', () => {
    const { look, stopped } = watch('stop')
    expect([look(receipt(3, GOOD)), look(receipt(4, BAD))]).toEqual(['go', 'stop'])
    expect(stopped()).toMatchObject({
      seq: 4,
      isFirst: false,
      rules: [{ at: 'pcrs.sha256.7', answer: 'unmet', found: BAD }],
    })
  })

  test.each(['stop', 'record'] as const)(
    'never begins on another host, whatever becomes of a change (%s)',
    (onChange) => {
      const { look, stopped } = watch(onChange)
      expect(look(receipt(5, BAD))).toBe('stop')
      expect(stopped()).toMatchObject({ isFirst: true })
    },
  )

  test('goes on where a change is to be recorded, and says so once', () => {
    const { look, stopped, said } = watch('record')
    expect([look(receipt(0, GOOD)), look(receipt(1, BAD)), look(receipt(2, BAD))]).toEqual(['go', 'go', 'go'])
    expect(stopped()).toBeUndefined()
    expect(said).toHaveLength(1)
  })

  test('reports to a repetition, and lets it go on', () => {
    const { look, said } = watch('stop', false)
    expect([look(receipt(0, BAD)), look(receipt(1, BAD))]).toEqual(['go', 'go'])
    expect(said).toMatchObject([expect.stringContaining('which a repetition need not be')])
  })

  test('does not take what is unknown for met', () => {
    const rules: HostRules = { eventLog: [{ kind: 'secureBoot', state: 'on' }], onChange: 'stop' }
    const { look, stopped } = watch('stop', true, rules)
    expect(look(receipt(0, GOOD))).toBe('stop')
    expect(stopped()).toMatchObject({ rules: [{ answer: 'unknown' }] })
    const { message } = refusedHost({ rules: stopped()?.rules ?? [] })
    expect(message).toContain('eventLog[0] (secureBoot) is unknown: expected Secure Boot is on; found there is none')
  })

  test('asks again in another power cycle, to which the own log does not belong', () => {
    const files = [{ name: 'main.js', sha256: BAD }]
    const engine = engineDigest(files, sha256)
    const log: OwnLog = {
      begin: { kind: 'begin', register: GOOD, resetCount: 1, restartCount: 0 },
      measurements: [
        { kind: 'engine', files, form: 'bundle', sha256: engine, version: '1' },
        { kind: 'node', sha256: BAD, v8: '14', version: '26' },
      ],
    }
    const register = hex(ownLogValues(log, sha256).at(-1) as Uint8Array)
    const { look } = watchHost({
      rules: { engines: [engine, BAD], onChange: 'stop' },
      logs: { ...logs, own: { kind: 'read', log } },
      tier: { name: 'software', isKnown: true },
      isRequired: true,
      onTrouble: undefined,
    })
    const at = (seq: number, restartCount: number): string => look(receipt(seq, GOOD, restartCount, { '13': register }))
    expect([at(0, 0), at(1, 0), at(2, 1)]).toEqual(['go', 'go', 'stop'])
  })

  test('does not begin when the own log is not what its register held', () => {
    const begin = { kind: 'begin', register: GOOD, resetCount: 1, restartCount: 0 } as const
    const { look, stopped } = watchHost({
      rules: undefined,
      logs: { ...logs, own: { kind: 'read', log: { begin, measurements: [] } } },
      tier: { name: 'software', isKnown: true },
      isRequired: true,
      onTrouble: undefined,
    })
    expect(look(receipt(0, GOOD))).toBe('stop')
    expect(stopped()).toMatchObject({ isFirst: true, ownLog: 'PCR 13 was not quoted' })
  })
})
