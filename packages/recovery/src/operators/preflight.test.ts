/** Predictions beside what TPMs of real machines held after the update: vectors/event-log. */
import { readFileSync } from 'node:fs'
import { type EventLog, fromHex, hex, parseEventLog, TPM_ALG, utf8 } from '@reprise/core'
import { describe, expect, test } from 'vitest'
import type { Plan } from '../types.ts'
import { changeBoots, encodeBoots, readBoots } from './boots-file.ts'
import { changedRegisters, judgeUpdate, predictBoot, readUpdate, type Update } from './preflight.ts'
import { testOperator, testPlan } from './testing.ts'

const folder = new URL('../../../../vectors/event-log/', import.meta.url)
const read = (name: string): Buffer => readFileSync(new URL(name, folder))
const logOf = (name: string): EventLog => parseEventLog(new Uint8Array(read(`${name}/input.bin`)))

/** What a vendor would publish: every event of these registers whose digest is another one in the later log. */
function updateBetween(before: EventLog, after: EventLog, pcrs: readonly number[]): Update {
  const sha256 = (log: EventLog, pcr: number): readonly (Uint8Array | undefined)[] =>
    log.events
      .filter((event) => event.pcr === pcr)
      .map(({ digests }) => digests.find(({ alg }) => alg === TPM_ALG.SHA256)?.digest)
  const components = pcrs.flatMap((pcr) => {
    const later = sha256(after, pcr)
    return sha256(before, pcr).flatMap((digest, i) => {
      const now = later[i]
      if (digest === undefined || now === undefined || hex(digest) === hex(now)) return []
      return [{ pcr, replaces: hex(digest), with: hex(now) }]
    })
  })
  return readUpdate(utf8(JSON.stringify({ schema: 'reprise/firmware-components/v1', name: 'later', components })), 'x')
}

const dell = (log: number): string => `quoted-dell-7520-windows-5logs-log${log}`

describe('a predicted boot', () => {
  test('has the registers that the TPM quoted after it (Dell, Windows; registers 12 to 14)', () => {
    const before = logOf(dell(0))
    const prediction = predictBoot(before, updateBetween(before, logOf(dell(4)), [12, 13, 14]))
    const { quoted } = JSON.parse(read(`${dell(4)}/expected.json`).toString()) as {
      quoted: { sha256: Record<string, string> }
    }
    expect(changedRegisters(prediction)).toEqual([12, 13, 14])
    for (const { pcr, value } of prediction.predicted) expect([pcr, hex(value)]).toEqual([pcr, quoted.sha256[pcr]])
  })

  test('has register 0 of another BIOS of the same laptop (Lenovo, locality 3)', () => {
    const [before, after] = [logOf('quoted-x1carbon9-gentoo-good'), logOf('x1carbon9-gentoo-2')]
    const update = updateBetween(before, after, [0])
    expect(update.components.length).toBeGreaterThan(5)
    const { secondReplay } = JSON.parse(read('x1carbon9-gentoo-2/expected.json').toString()) as {
      secondReplay: { sha256: Record<string, string> }
    }
    const prediction = predictBoot(before, update)
    expect(changedRegisters(prediction)).toEqual([0])
    expect(hex(prediction.predicted[0].value)).toBe(secondReplay.sha256['0'])
  })

  test('names the component that is in no event, and a log without the bank', () => {
    const log = logOf(dell(0))
    const gone = {
      name: 'x',
      components: [{ name: 'a driver', replaces: new Uint8Array(32), with: new Uint8Array(32) }],
    }
    expect(() => predictBoot(log, gone)).toThrow('a driver')
    const place = { pcr: 0, type: 'EV_S_CRTM_VERSION', with: new Uint8Array(32) }
    expect(changedRegisters(predictBoot(log, { name: 'x', components: [place] }))).toEqual([0])
    expect(() => predictBoot(log, { name: 'x', components: [place, place] })).toThrow('two components')
    expect(() => predictBoot(log, { name: 'x', components: [{ ...place, nth: 9 }] })).toThrow('EV_S_CRTM_VERSION 9')
    expect(() => predictBoot(logOf('sha1-only'), { name: 'x', components: [place] })).toThrow('SHA-256')
  })
})

describe('components', () => {
  const whole = { schema: 'reprise/firmware-components/v1', name: 'x' }
  test.each([
    ['no JSON', '{'],
    ['none', JSON.stringify({ ...whole, components: [] })],
    ['one that names no event', JSON.stringify({ ...whole, components: [{ with: '0'.repeat(64) }] })],
    [
      'one by its type without a register',
      JSON.stringify({ ...whole, components: [{ type: 'EV_IPL', with: '0'.repeat(64) }] }),
    ],
    ['a digest of another length', JSON.stringify({ ...whole, components: [{ replaces: '00', with: '00' }] })],
    ['something else', JSON.stringify({ ...whole, components: [], more: 1 })],
  ])('are refused: %s', (_, text) => {
    expect(() => readUpdate(utf8(text), 'x.json')).toThrow(expect.objectContaining({ code: 'COMPONENTS' }))
  })
})

describe('the hosts of a plan', () => {
  const before = logOf(dell(0))
  const prediction = predictBoot(before, updateBetween(before, logOf(dell(4)), [12, 13, 14]))
  const at = (registers: typeof prediction.present, ...pcrs: readonly number[]) =>
    pcrs.map((pcr) => ({ pcr, value: hex(registers.find((each) => each.pcr === pcr)?.value ?? fromHex('')) }))
  const boots = (...list: Plan['boots']): Plan =>
    testPlan({ version: 4, operators: [testOperator('alice')], needed: 1, boots: list })
  const { present, predicted } = prediction

  test('would not unseal where a register of their boot changes, and would where it does not or was approved', () => {
    const mine = { name: 'mine', registers: at(present, 4, 12), hosts: ['h1'] }
    const steady = { name: 'steady', registers: at(present, 4, 7), hosts: ['h2'] }
    const other = { name: 'other', registers: [{ pcr: 4, value: '0'.repeat(64) }], hosts: ['h3'] }
    const judged = judgeUpdate(boots(mine, steady, other), prediction, 'later')
    expect(judged.hosts).toEqual([
      { host: 'h1', verdict: 'refused' },
      { host: 'h2', verdict: 'unseals' },
      { host: 'h3', verdict: 'unknown' },
    ])
    expect(judged.boots).toEqual([{ name: 'later', registers: at(predicted, 4, 12), hosts: ['h1'] }])
    const next = changeBoots(boots(mine, steady, other), { add: judged.boots, remove: [] })
    expect(next.roster.version).toBe(5)
    expect(judgeUpdate(next, prediction, 'later').hosts[0]).toEqual({ host: 'h1', verdict: 'unseals' })
  })

  test('keep registers that the log does not extend', () => {
    const registers = [...at(present, 12), { pcr: 15, value: '5'.repeat(64) }]
    const judged = judgeUpdate(boots({ name: 'mine', registers, hosts: ['h1'] }), prediction, 'Later Firmware')
    const expected = [...at(predicted, 12), { pcr: 15, value: '5'.repeat(64) }]
    expect(judged.boots).toMatchObject([{ registers: expected, hosts: ['h1'] }])
    expect(judged.boots[0].name).toMatch(/^boot-/)
  })

  test('get boots from a file, and lose them with the approvals that were made for them', () => {
    const list = [{ name: 'later', registers: at(predicted, 4, 12), hosts: ['h1'] }]
    expect(readBoots(utf8(encodeBoots(list)), 'x')).toEqual(list)
    expect(readBoots(utf8(encodeBoots([{ ...list[0], hosts: undefined }])), 'x')[0].hosts).toBeUndefined()
    expect(() => readBoots(utf8('{}'), 'x')).toThrow(expect.objectContaining({ code: 'COMPONENTS' }))
    const plan = testPlan({ version: 1, operators: [testOperator('alice')], needed: 1 })
    const less = changeBoots(plan, { add: [], remove: ['two'] })
    expect(less.boots.map(({ name }) => name)).toEqual(['one'])
    expect(less.roster.hosts.map(({ approvals }) => approvals)).toEqual([8, 7, 7, 7])
    for (const change of [
      { add: [], remove: ['nine'] },
      { add: plan.boots, remove: [] },
    ])
      expect(() => changeBoots(plan, change)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
